//! What is different on a connection that a v1 peer dialled. Nothing may be written to it, and it
//! brings no introductions: every message names its source, but not where that is reached, and not
//! whether it is still of the mesh. So the nameserver is asked before a source's first message is
//! taken, which also lets its online event precede that message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::InstanceRecord;
use skymesh_proto::msg::Body;
use skymesh_proto::{Msg, Ping, Pong};
use skymesh_types::Handle;
use skymesh_wire::{Frames, decode_msg, encode_msg, message};
use tokio::time::{Instant, timeout_at};

use super::{Dispatch, DispatchError, INTRODUCTIONS};
use crate::convert;
use crate::directory::Acquaintance;
use crate::inbox::Queue;
use crate::peer::Peer;

/// How long the nameserver may take to say who a source is. Its word on a new instance is on its way
/// before that instance may send, so in the rule nothing is waited for. When the time is over, the
/// messages are taken without an online event.
const WORD: Duration = Duration::from_secs(1);

/// What is kept for a v1 dialler.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// Inboxes that have to be read before this connection is.
    pub(super) full: Vec<Arc<Queue>>,
    /// The way to the dialler's own listener, once it has pinged.
    way_back: Option<Arc<Peer>>,
}

impl Dispatch {
    /// Meets whoever sends for the first time in `frames`. Who is of another app, or has left the
    /// mesh, stays unknown, and its messages are refused.
    pub(super) async fn meet_sources(
        &mut self,
        frames: &Frames,
        skip: usize,
    ) -> Result<(), DispatchError> {
        let mut deadline = None;
        for frame in frames.iter().skip(skip) {
            if let Some(read) = message::read(frame.body()) {
                self.meet_source(&read, &mut deadline).await?;
                continue;
            }
            match decode_msg(frame.to_bytes())?.body {
                Some(Body::Message(said)) => {
                    self.meet_source(&message::MessageRef::from(&said), &mut deadline).await?;
                }
                Some(Body::Ping(ping)) => self.note_address(&ping),
                _ => {}
            }
        }
        Ok(())
    }

    async fn meet_source(
        &mut self,
        read: &message::MessageRef<'_>,
        deadline: &mut Option<Instant>,
    ) -> Result<(), DispatchError> {
        let handle = read.envelope.source;
        if self.sources.contains_key(&handle) {
            return Ok(());
        }
        if self.sources.len() >= INTRODUCTIONS {
            return Err(DispatchError::Introductions);
        }
        let said = convert::v1_source(&read.source, handle, &self.guest.address);
        let said = said.ok().filter(|said| said.url.name.is_in(&self.runtime.app));
        let source = match said {
            Some(said) => {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + WORD);
                self.ask_for(said, deadline).await
            }
            None => None,
        };
        if let Some(record) = source {
            let source = self.runtime.directory.source(&record);
            self.keep(handle, &source);
            self.last = None;
        }
        Ok(())
    }

    /// The record of a source by the nameserver's word, or by its own if there is none; `None` for
    /// one that has left the mesh.
    async fn ask_for(
        &self,
        said: Arc<InstanceRecord>,
        deadline: Instant,
    ) -> Option<Arc<InstanceRecord>> {
        self.runtime.observe(&said.url.name);
        let known = self.runtime.directory.acquaintance(&said.url, said.handle);
        let known = match known {
            Acquaintance::Unheard if !self.runtime.is_cut_off() => {
                let word = self.runtime.directory.word_on(&said.url, said.handle);
                timeout_at(deadline, word).await.unwrap_or(known)
            }
            known => known,
        };
        match known {
            Acquaintance::Online(record) => Some(record),
            Acquaintance::Left => None,
            Acquaintance::Unheard => Some(said),
        }
    }

    /// Waits until every inbox that this connection filled has been read.
    pub(super) async fn await_room(&mut self) {
        while let Some(queue) = self.v1.full.last() {
            queue.room().await;
            self.v1.full.pop();
        }
    }

    /// Answers a ping over a connection to the address that it names. One for each connection that a
    /// v1 peer holds is the most that there are of these, and they lead to where that one comes from:
    /// nobody can have this agent dial a third party.
    pub(super) fn ping_of_v1(&mut self, ping: &Ping) {
        self.note_address(ping);
        let local = Handle::new(ping.destination).ok();
        let answers = local.is_some_and(|handle| self.runtime.directory.local(handle).is_some());
        if !answers || self.guest.address != ping.server_address {
            return;
        }
        let runtime = &self.runtime;
        let dial = || runtime.directory.v1_peer(runtime, &self.guest.address);
        let peer = self.v1.way_back.get_or_insert_with(dial);
        if let Some(link) = peer.link() {
            let pong = Msg::from(Pong { seq: ping.seq, handle: ping.destination });
            // An error means that the connection is gone; the next ping finds another.
            let _ = link.outbox().push_control(|out| encode_msg(&pong, out));
        }
    }

    /// A v1 dialler says in its pings alone where it listens.
    fn note_address(&mut self, ping: &Ping) {
        let address: Option<SocketAddr> = ping.server_address.parse().ok();
        if self.guest.address.is_empty()
            && address.is_some_and(|address| address.ip() == self.guest.host)
        {
            self.guest.address.clone_from(&ping.server_address);
        }
    }
}
