//! The task that reads an instance's inbox: segments go to their virtual connections, new
//! connections to the [`Incoming`](crate::Incoming). It never waits for any of them: what a peer
//! may send unread is bounded by its window.

use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream::SelectAll;
use futures_util::{FutureExt, StreamExt};
use skymesh_agent::{Delivery, Event, Message, SendError};
use skymesh_types::Handle;
use skymesh_wire::Kind;
use tokio::sync::mpsc;

use crate::connection::{Form, Line, Parcel, Shared, Tell, VirtualConnection};
use crate::exchange::{Exchange, Key, Watch};
use crate::failure::ConnectionError;
use crate::segment::{Command, End, Number, Segment};
use crate::v1;

/// How many deliveries are taken in a row before other tasks of the thread get their turn.
const BATCH: usize = 128;

/// See the module.
pub(crate) struct Driver<D> {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) deliveries: D,
    pub(crate) accepted: mpsc::Sender<VirtualConnection>,
    pub(crate) new_watches: mpsc::Receiver<Watch>,
    pub(crate) watches: SelectAll<Watch>,
}

impl<D: Stream<Item = Delivery> + Unpin> Driver<D> {
    /// Runs until the inbox ends: the instance is off the mesh.
    pub(crate) async fn run(mut self) {
        let _ended = Ended(Arc::clone(&self.exchange));
        let mut in_a_row = 0;
        loop {
            tokio::select! {
                delivery = self.deliveries.next() => match delivery {
                    Some(delivery) => self.take(delivery),
                    None => return,
                },
                Some(watch) = self.new_watches.recv() => self.watches.push(watch),
                Some(event) = self.watches.next(), if !self.watches.is_empty() => {
                    // What an instance sent before it left is in the inbox already.
                    while let Some(Some(delivery)) = self.deliveries.next().now_or_never() {
                        self.take(delivery);
                    }
                    self.watched(&event);
                }
            }
            in_a_row += 1;
            if in_a_row == BATCH {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    fn take(&self, delivery: Delivery) {
        match delivery {
            Delivery::Message(message) => match Kind(message.kind()) {
                Kind::STREAM => self.segment(&message),
                Kind::MESSAGE if message.source().protocol() == 1 => self.packet(&message),
                _ => self.exchange.counters.discarded.add(1),
            },
            Delivery::Event(event) => self.event(&event),
        }
    }

    /// A message of a v2 peer.
    fn segment(&self, message: &Message) {
        let Some(segment) = Segment::read(message.flags()) else {
            return self.exchange.counters.malformed.add(1);
        };
        let end = match segment.sender {
            End::Dialler => End::Acceptor,
            End::Acceptor => End::Dialler,
        };
        let peer = message.source().handle();
        let key = Key { peer, form: Form::V2, id: message.correlation(), end };
        self.receive(message, key, segment.command, segment.number, message.payload());
    }

    /// A message of a v1 peer.
    fn packet(&self, message: &Message) {
        let Some(packet) = v1::Packet::read(message.payload()) else {
            return self.exchange.counters.discarded.add(1);
        };
        let command = match packet.command {
            v1::Command::Data => Command::Data,
            v1::Command::Connect => Command::Connect,
            v1::Command::Close => Command::Close,
        };
        let key = Key::v1(message.source().handle(), packet.connection);
        self.receive(message, key, command, Number::of(packet.seq), &packet.bytes);
    }

    fn receive(
        &self,
        message: &Message,
        key: Key,
        command: Command,
        number: Number,
        bytes: &Bytes,
    ) {
        let known = self.exchange.find(key);
        let Some(shared) = known else {
            return match command {
                Command::Connect => self.accept(message, key),
                Command::Data | Command::HalfClose => self.unknown(key),
                // Both sides may end it at the same time.
                Command::Close | Command::Reset | Command::Window => {}
            };
        };
        let taken = match command {
            Command::Data => shared.data(number, bytes),
            Command::HalfClose => shared.half_closed(number),
            Command::Close => shared.closed(number),
            Command::Window => return self.granted(&shared, bytes),
            Command::Reset => {
                let reason = String::from_utf8_lossy(bytes).into_owned();
                return shared.fail(ConnectionError::Reset(reason), Tell::Nobody);
            }
            // One that was never closed, or a message that came twice: no way to tell.
            Command::Connect => {
                shared.fail(ConnectionError::Gap, Tell::Peer);
                Err(ConnectionError::Gap)
            }
        };
        match taken {
            Ok(()) => {}
            Err(ConnectionError::Overrun) => self.exchange.counters.overruns.add(1),
            Err(_) => self.exchange.counters.gaps.add(1),
        }
    }

    fn granted(&self, shared: &Shared, bytes: &Bytes) {
        match bytes[..].try_into().map(u32::from_le_bytes) {
            Ok(bytes) => shared.granted(u64::from(bytes)),
            Err(_) => self.exchange.counters.malformed.add(1),
        }
    }

    fn accept(&self, message: &Message, key: Key) {
        let line = self.line(key, End::Acceptor);
        let Ok(place) = self.accepted.try_reserve() else {
            return self.refuse(&line, "nobody serves gRPC here, or too slowly");
        };
        let Ok(shared) = self.exchange.open(line.clone()) else {
            return self.refuse(&line, "too many connections");
        };
        let name = &message.source().url().name;
        self.exchange.watch(name);
        place.send(VirtualConnection::new(shared, name.clone()));
    }

    fn refuse(&self, line: &Line, reason: &str) {
        self.exchange.counters.refused.add(1);
        self.tell(line, reason);
    }

    fn unknown(&self, key: Key) {
        self.exchange.counters.unknown_connection.add(1);
        self.tell(&self.line(key, key.end), "no such connection here");
    }

    fn tell(&self, line: &Line, reason: &str) {
        if line.try_post(&Parcel::reset(reason)).is_err() {
            self.exchange.counters.refusals_unsent.add(1);
        }
    }

    fn line(&self, key: Key, end: End) -> Line {
        let instance = self.exchange.instance.clone();
        Line { instance, peer: key.peer, form: key.form, id: key.id, end }
    }

    /// An event of the instance's own inbox.
    fn event(&self, event: &Event) {
        match event {
            Event::ConnectionLost { to, .. } => {
                let lost = |peer| to.contains(&peer).then_some(ConnectionError::Lost);
                self.exchange.fail(Tell::Peer, lost);
            }
            Event::SourceLeft { source } => {
                let lost = |peer| (peer == *source).then_some(ConnectionError::Lost);
                self.exchange.fail(Tell::Peer, lost);
            }
            Event::Undeliverable { to, reason, .. } => {
                let refused = ConnectionError::Undeliverable(*reason);
                self.exchange.fail(Tell::Peer, |peer| (peer == *to).then(|| refused.clone()));
            }
            _ => {}
        }
    }

    /// An event of a service that there are connections with.
    fn watched(&self, event: &Event) {
        match event {
            Event::Offline { record, .. } => self.gone(record.handle),
            Event::Lagged { .. } => {
                for peer in self.exchange.peers() {
                    let found = self.exchange.instance.try_resolve(peer);
                    if let Err(SendError::UnknownHandle(_)) = found {
                        self.gone(peer);
                    }
                }
            }
            _ => {}
        }
    }

    fn gone(&self, gone: Handle) {
        let offline = |peer| (peer == gone).then_some(ConnectionError::Offline);
        self.exchange.fail(Tell::Nobody, offline);
    }
}

/// Ends what is open, also if the driver itself breaks.
struct Ended(Arc<Exchange>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}
