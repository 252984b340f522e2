//! A peer's connection task: dial, introduce the agent, write what gathers in the link's outbox,
//! read what the peer answers, and again with a new link when the connection breaks.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use skymesh_proto::msg::Body;
use skymesh_proto::{AgentInfo, Msg, Refused};
use skymesh_transport::{Backoff, Connection, FrameReader, Outbox, Writer, dial};
use skymesh_types::{AgentId, Handle};
use skymesh_wire::{Frames, decode_msg, encode_msg};
use tokio::time::{Instant, timeout};

use super::link::Dialect;
use super::{Link, Shared};
use crate::codecs::LinkCodecs;
use crate::convert;
use crate::inbox::{Event, UndeliverableReason};
use crate::runtime::{Runtime, entropy};

/// A connection that lasted this long was a good one: the next is dialled soon.
const SERVED: Duration = Duration::from_secs(5);

/// How long a peer that is no longer routed to may take to read what was sent to it.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) fn start(runtime: Arc<Runtime>, shared: Arc<Shared>) {
    let writer = renew(&runtime, &shared);
    let tasks = runtime.tasks.clone();
    tasks.spawn(PeerTask { runtime, shared }.run(writer));
}

/// Gives the peer a new link, which buffers from now on.
fn renew(runtime: &Runtime, shared: &Shared) -> Writer {
    let (outbox, writer) = Outbox::new(runtime.outbox_config());
    let hot = runtime.hot.load();
    let codecs = LinkCodecs::new(&hot.codecs, &shared.codecs);
    let dialect = shared.key.dialect();
    let link = Link::new(outbox, dialect, runtime.settings.agent.max_frame_bytes, codecs);
    shared.link.store(Some(Arc::new(link)));
    writer
}

struct PeerTask {
    runtime: Arc<Runtime>,
    shared: Arc<Shared>,
}

impl PeerTask {
    async fn run(self, mut writer: Writer) {
        let mut backoff = Backoff::default();
        loop {
            let Some(link) = self.shared.link.load_full() else { return };
            let connection = match self.dial(&mut backoff).await {
                Some(connection) => connection,
                None => {
                    self.shared.link.store(None);
                    drop(writer.abandon());
                    self.account(&link);
                    return;
                }
            };
            let Connection { mut reader, write_half, .. } = connection;
            reader.introduced();
            self.runtime.tasks.spawn(writer.run(write_half, self.greeting(&link)));
            let served = Instant::now();
            let gone = self.serve(&link, &mut reader).await.is_break();
            if gone {
                self.shared.link.store(None);
                let _ = timeout(FAREWELL, self.farewell(&link, &mut reader)).await;
                return self.part(&link);
            }
            // The new link first: who waits on the old one finds it at once.
            writer = renew(&self.runtime, &self.shared);
            self.part(&link);
            // One that accepts and then refuses is no reason to dial it as fast as it can refuse.
            if served.elapsed() > SERVED {
                backoff.reset();
            }
            tokio::select! {
                () = self.shared.gone.cancelled() => {}
                () = tokio::time::sleep(backoff.next(entropy())) => {}
            }
        }
    }

    /// Dials until somebody is there; `None` once the peer is gone.
    async fn dial(&self, backoff: &mut Backoff) -> Option<Connection> {
        let address = &self.shared.key.address;
        let mut told = false;
        loop {
            let read = self.runtime.read_config();
            let deadline = self.runtime.hot.load().agent.dial_timeout;
            let dialled = tokio::select! {
                () = self.shared.gone.cancelled() => return None,
                dialled = dial(address, deadline, &read) => dialled,
            };
            match dialled {
                Ok(connection) => return Some(connection),
                Err(error) if !std::mem::replace(&mut told, true) => {
                    tracing::info!(%address, %error, "can't reach a peer yet; trying on");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = self.shared.gone.cancelled() => return None,
                () = tokio::time::sleep(backoff.next(entropy())) => {}
            }
        }
    }

    fn greeting(&self, link: &Link) -> Vec<u8> {
        let plain = AgentInfo {
            server_address: self.runtime.address.to_string(),
            app: self.runtime.app.to_string(),
            ..AgentInfo::default()
        };
        let hello = match self.shared.key.dialect() {
            Dialect::V1 => plain,
            Dialect::V2 => AgentInfo {
                protocol: 2,
                agent: self.runtime.agent.get(),
                data_codecs: link.codecs().ids().to_vec(),
                ..plain
            },
        };
        let mut greeting = Vec::new();
        encode_msg(&Msg::from(hello), &mut greeting);
        greeting
    }

    /// Reads the peer's answers until the connection breaks; breaks itself once the peer is gone.
    async fn serve(&self, link: &Arc<Link>, reader: &mut FrameReader) -> ControlFlow<()> {
        loop {
            let frames = tokio::select! {
                () = self.shared.gone.cancelled() => return ControlFlow::Break(()),
                _ = link.outbox().closed() => return ControlFlow::Continue(()),
                frames = reader.next() => frames,
            };
            match frames {
                Ok(Some(frames)) => {
                    link.note_heard();
                    if self.heed(link, &frames).is_break() {
                        return ControlFlow::Continue(());
                    }
                }
                Ok(None) => return ControlFlow::Continue(()),
                Err(error) => {
                    let address = &self.shared.key.address;
                    tracing::debug!(%address, %error, "lost the connection to a peer");
                    return ControlFlow::Continue(());
                }
            }
        }
    }

    /// Nobody routes to the peer any more: lets what was accepted go out, and hears what becomes
    /// of it.
    async fn farewell(&self, link: &Arc<Link>, reader: &mut FrameReader) {
        let hear = async {
            while let Ok(Some(frames)) = reader.next().await {
                if self.heed(link, &frames).is_break() {
                    return;
                }
            }
        };
        tokio::join!(link.outbox().close(), hear);
    }

    /// Heeds the peer's answers; breaks if the connection is of no use.
    fn heed(&self, link: &Link, frames: &Frames) -> ControlFlow<()> {
        for frame in frames {
            let body = match decode_msg(frame.to_bytes()) {
                Ok(msg) => msg.body,
                Err(error) => {
                    let address = &self.shared.key.address;
                    tracing::warn!(%address, %error, "a peer answers what can't be read");
                    return ControlFlow::Break(());
                }
            };
            match body {
                Some(Body::PeerWelcome(welcome)) => {
                    let agent = AgentId::new(welcome.agent).ok();
                    if self.shared.key.agent.is_some() && agent != self.shared.key.agent {
                        // Another process took the address: this one is gone, and nobody can be
                        // told more until its naming follows.
                        self.shared.gone.cancel();
                        return ControlFlow::Break(());
                    }
                    link.welcome(welcome.window_bytes);
                }
                Some(Body::Credit(credit)) => {
                    if let Ok(handle) = Handle::new(credit.destination) {
                        link.settle(handle, credit.bytes, credit.messages);
                    }
                }
                Some(Body::Refused(refused)) => self.refused(link, &refused),
                Some(Body::Bounced(bounced)) => self.runtime.bounced(link, bounced),
                Some(Body::Pong(pong)) => self.runtime.pings.answered(&self.runtime, &pong),
                Some(Body::Refusal(refusal)) => {
                    let (address, reason) = (&self.shared.key.address, refusal.reason);
                    tracing::warn!(%address, %reason, "a peer refuses this agent");
                    return ControlFlow::Break(());
                }
                _ => self.runtime.counters.unknown_commands.add(1),
            }
        }
        ControlFlow::Continue(())
    }

    /// Messages came back: their room is free again, and their sender learns of it.
    fn refused(&self, link: &Link, refused: &Refused) {
        let Ok(to) = Handle::new(refused.destination) else { return };
        link.settle(to, refused.bytes, refused.messages);
        self.runtime.counters.undeliverable.add(refused.messages);
        let reason = convert::undeliverable(refused);
        if let UndeliverableReason::NotLeader { term, leader } = reason
            && let Some(name) = self.runtime.directory.service_of(to)
        {
            self.runtime.elections.hint(&name, to, (term, leader));
        }
        let source = Handle::new(refused.source).ok();
        if let Some(queue) = source.and_then(|handle| self.runtime.directory.local(handle)) {
            let (messages, requests) = (refused.messages, refused.requests.as_slice().into());
            queue.push_event(Event::Undeliverable { to, reason, messages, requests });
        }
    }

    /// Gives a link up that was connected.
    fn part(&self, link: &Link) {
        link.outbox().abort();
        self.account(link);
    }

    /// Counts what the lost link leaves open, and tells who sent over it.
    fn account(&self, link: &Link) {
        let unconfirmed = link.end();
        self.runtime.counters.unconfirmed.add(unconfirmed);
        let to = link.destinations();
        if to.is_empty() {
            return;
        }
        for queue in link.senders().filter_map(|handle| self.runtime.directory.local(handle)) {
            queue.push_event(Event::ConnectionLost { to: Arc::clone(&to), unconfirmed });
        }
    }
}
