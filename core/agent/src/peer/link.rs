//! A link: one connection to a peer, from before it is dialled until it is lost. A lost link is
//! never used again; the peer gets a new one.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use skymesh_proto::msg::Body;
use skymesh_proto::{Introduction, Msg, UnregisterService};
use skymesh_transport::{Outbox, TryPushError, Turn};
use skymesh_types::Handle;
use skymesh_wire::{Envelope, encode_msg, message};

use super::{Lane, NotPosted, Post, Refusal};
use crate::codecs::{DataCodec, LinkCodecs};
use crate::config::MIN_WINDOW_BYTES;
use crate::convert;
use crate::sender::Sender;

/// What an envelope may add to metadata and payload, in any stock codec.
pub(crate) const ENVELOPE_BYTES: usize = 1024;

/// What a lane to a v1 peer may use: such a peer never credits anything, so the connection's outbox
/// alone holds its senders back. Half of what fits, so that sums stay in range.
const NO_WINDOW_BYTES: u64 = u64::MAX / 2;

/// Which protocol the peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The origin's: messages and pings go out in its form, nothing comes back on this connection.
    V1,
    /// Ours.
    V2,
}

/// Memory that a thread or a connection keeps for the next message; what a larger one took is freed
/// at once.
const KEPT_BYTES: usize = 256 * 1024;

/// A buffer for the next message: this one, unless a large message has grown it.
pub(crate) fn warm(buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() > KEPT_BYTES { Vec::new() } else { buffer }
}

thread_local! {
    /// What a codec plugin has written, on its way into an outbox. One per thread, kept warm.
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Link {
    id: u64,
    outbox: Outbox,
    dialect: Dialect,
    max_frame_bytes: usize,
    codecs: LinkCodecs,
    /// Sending instances that the receiver knows.
    introduced: ArcSwap<HashSet<Handle>>,
    lanes: Mutex<Lanes>,
    /// Counts what was read from the peer, read by read.
    heard: AtomicU64,
}

#[derive(Debug)]
struct Lanes {
    by_handle: HashMap<Handle, Arc<Lane>>,
    /// Messages of forgotten lanes that the receiver has neither taken nor refused yet.
    forgotten_open: u64,
    /// As [`Lane::mark`], of forgotten lanes.
    forgotten_marked: u64,
    /// What a new lane starts with: the least until the peer has said what it grants.
    window_bytes: u64,
}

impl Link {
    pub(super) fn new(
        outbox: Outbox,
        dialect: Dialect,
        max_frame_bytes: usize,
        codecs: LinkCodecs,
    ) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let window_bytes = match dialect {
            Dialect::V1 => NO_WINDOW_BYTES,
            Dialect::V2 => MIN_WINDOW_BYTES,
        };
        let by_handle = HashMap::new();
        let lanes = Lanes { by_handle, forgotten_open: 0, forgotten_marked: 0, window_bytes };
        Self {
            id: LAST.fetch_add(1, Relaxed) + 1,
            outbox,
            dialect,
            max_frame_bytes,
            codecs,
            introduced: ArcSwap::default(),
            lanes: Mutex::new(lanes),
            heard: AtomicU64::new(0),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The peer said something.
    pub(super) fn note_heard(&self) {
        self.heard.fetch_add(1, Relaxed);
    }

    /// Grows whenever the peer says something.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    pub(super) fn codecs(&self) -> &LinkCodecs {
        &self.codecs
    }

    /// The lane to `destination`, opened if there is none.
    pub(super) fn lane(&self, destination: Handle) -> Arc<Lane> {
        let mut lanes = self.lanes();
        let window_bytes = lanes.window_bytes;
        let open = || Arc::new(Lane::new(destination, window_bytes));
        Arc::clone(lanes.by_handle.entry(destination).or_insert_with(open))
    }

    /// Nobody sends on `lane` any more.
    pub(super) fn forget_lane(&self, lane: &Arc<Lane>) {
        let mut lanes = self.lanes();
        let known = lanes.by_handle.get(&lane.destination());
        if known.is_some_and(|known| Arc::ptr_eq(known, lane)) {
            lanes.by_handle.remove(&lane.destination());
            // Who waits for room there finds that the instance is gone.
            lanes.forgotten_open += lane.end();
        }
    }

    /// Tells the receiver that `sender` sends nothing more, so that it can forget it.
    pub(crate) fn retire(&self, sender: &Sender) {
        let handle = sender.source.handle();
        self.introduced.rcu(|known| {
            let mut known = HashSet::clone(known);
            known.remove(&handle);
            known
        });
        if self.dialect == Dialect::V1 {
            return;
        }
        let retired = Msg::from(UnregisterService { handle: handle.get() });
        // An error means that the connection is gone, and the receiver has forgotten it already.
        let _ = self.outbox.push_control(|out| encode_msg(&retired, out));
    }

    /// Posts a message without waiting: the way from `send` to the wire.
    #[inline]
    pub(super) fn post(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        codec: Option<&DataCodec>,
        post: &Post<'_>,
    ) -> Result<Turn, NotPosted> {
        let bytes = post.bytes();
        if bytes + ENVELOPE_BYTES > self.max_frame_bytes {
            return Err(NotPosted::Refused(Refusal::TooLarge));
        }
        if post.sender.source.is_offline() {
            return Err(NotPosted::Refused(Refusal::SourceOffline));
        }
        self.introduce(post.sender)?;
        if !lane.has_room() {
            return Err(NotPosted::NoRoom(Arc::clone(lane)));
        }
        let envelope = Envelope { destination: lane.destination().get(), ..post.envelope };
        match codec {
            None => self.append(lane, post, |out| append_v1(self.dialect, post, envelope, out)),
            // A plugin runs outside of the outbox's lock, so it writes elsewhere first.
            Some(codec) => ENCODED.with_borrow_mut(|encoded| {
                encoded.clear();
                let appended = self
                    .encode(codec, &envelope, encoded)
                    .and_then(|()| self.append(lane, post, |out| out.extend_from_slice(encoded)));
                // It may have asked for ever more space.
                *encoded = warm(std::mem::take(encoded));
                appended
            }),
        }
    }

    #[inline]
    fn encode(
        &self,
        codec: &DataCodec,
        envelope: &Envelope<'_>,
        encoded: &mut Vec<u8>,
    ) -> Result<(), NotPosted> {
        let refused = |reason| NotPosted::Refused(Refusal::Codec(reason));
        codec.append(envelope, encoded).map_err(|error| refused(error.to_string()))?;
        // A codec may make more of it than the envelope's allowance.
        let (bytes, limit) = (encoded.len(), self.max_frame_bytes);
        if bytes > limit {
            return Err(refused(format!("it made {bytes} bytes, over max_frame_bytes = {limit}")));
        }
        Ok(())
    }

    /// Has the frame written into the outbox, unless the message may not go any more.
    #[inline]
    fn append(
        self: &Arc<Self>,
        lane: &Lane,
        post: &Post<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Turn, NotPosted> {
        let mut moved = false;
        let pushed = self.outbox.take_turn(|out| {
            moved = !post.may_go();
            if !moved {
                write(out);
                lane.note_sent(post.bytes());
            }
        });
        match pushed {
            Ok(_) if moved => Err(NotPosted::Moved),
            pushed => pushed.map_err(|error| self.not_pushed(&error)),
        }
    }

    /// Waits for whoever is appending a message just now.
    pub(crate) fn fence(&self) {
        self.outbox.buffered();
    }

    /// Tells the receiver who the sender is, once per link.
    #[inline]
    fn introduce(self: &Arc<Self>, sender: &Sender) -> Result<(), NotPosted> {
        if sender.last_link.load(Relaxed) == self.id {
            return Ok(());
        }
        self.introduce_first(sender)
    }

    #[cold]
    fn introduce_first(self: &Arc<Self>, sender: &Sender) -> Result<(), NotPosted> {
        let handle = sender.source.handle();
        if !self.introduced.load().contains(&handle) {
            // A v1 peer knows no introduction: every message says who sends it.
            if self.dialect == Dialect::V2 {
                let msg = Msg::from(Body::Introduction(introduction(sender)));
                let pushed = self.outbox.try_push(|out| encode_msg(&msg, out));
                pushed.map_err(|error| self.not_pushed(&error))?;
            }
            // Noted after it is in the buffer: who sees it noted, sends after it.
            self.introduced.rcu(|known| {
                let mut known = HashSet::clone(known);
                known.insert(handle);
                known
            });
            sender.note_link(self);
        }
        sender.last_link.store(self.id, Relaxed);
        Ok(())
    }

    #[cold]
    fn not_pushed(self: &Arc<Self>, error: &TryPushError) -> NotPosted {
        match error {
            TryPushError::Full { .. } => NotPosted::Busy(Arc::clone(self)),
            TryPushError::TooLarge { .. } => NotPosted::Refused(Refusal::TooLarge),
            _ => NotPosted::Broken,
        }
    }

    /// What a ping may be sent to so that the peer answers once it has all that was sent before: the
    /// agent itself, or with v1, which knows no such thing, an instance of it.
    pub(crate) fn barrier_destination(&self) -> u64 {
        match self.dialect {
            Dialect::V2 => 0,
            Dialect::V1 => self.lanes().by_handle.keys().next().map_or(0, |handle| handle.get()),
        }
    }

    /// A ping is about to be pushed. A v1 peer's answer to it is the only word on its messages.
    pub(crate) fn mark(&self) {
        if self.dialect == Dialect::V1 {
            let mut lanes = self.lanes();
            lanes.by_handle.values().for_each(|lane| lane.mark());
            lanes.forgotten_marked = lanes.forgotten_open;
        }
    }

    /// The ping of the last [`mark`](Self::mark) was answered.
    pub(crate) fn confirm(&self) {
        if self.dialect == Dialect::V1 {
            let mut lanes = self.lanes();
            lanes.by_handle.values().for_each(|lane| lane.confirm());
            lanes.forgotten_open -= std::mem::take(&mut lanes.forgotten_marked);
        }
    }

    /// The peer said what it grants each lane.
    pub(super) fn welcome(&self, window_bytes: u64) {
        let mut lanes = self.lanes();
        let more = window_bytes.saturating_sub(lanes.window_bytes);
        lanes.window_bytes += more;
        lanes.by_handle.values().for_each(|lane| lane.grant(more, 0));
    }

    /// The peer settled messages to `destination`.
    pub(crate) fn settle(&self, destination: Handle, bytes: u64, messages: u64) {
        let mut lanes = self.lanes();
        match lanes.by_handle.get(&destination) {
            Some(lane) => lane.grant(bytes, messages),
            None => lanes.forgotten_open = lanes.forgotten_open.saturating_sub(messages),
        }
    }

    /// Whether a message to `destination` that the peer sends back may be one that was sent over this link
    /// and is neither taken nor refused.
    pub(crate) fn may_return(&self, destination: Handle, bytes: u64) -> bool {
        let lanes = self.lanes();
        match lanes.by_handle.get(&destination) {
            Some(lane) => lane.may_return(bytes, lanes.window_bytes),
            None => lanes.forgotten_open > 0,
        }
    }

    /// A message to `destination` [came back](Self::may_return), and has its place on this side.
    pub(crate) fn take_back(&self, destination: Handle, bytes: u64) {
        self.settle(destination, bytes, 1);
    }

    /// Whether the peer has taken or refused all that was sent over this link.
    pub(crate) fn is_settled(&self) -> bool {
        let lanes = self.lanes();
        lanes.forgotten_open == 0 && lanes.by_handle.values().all(|lane| lane.is_settled())
    }

    /// The connection is gone. Answers how many messages were never settled.
    pub(super) fn end(&self) -> u64 {
        let lanes = self.lanes();
        lanes.forgotten_open + lanes.by_handle.values().map(|lane| lane.end()).sum::<u64>()
    }

    /// To whom anything was ever sent over this link.
    pub(super) fn destinations(&self) -> Arc<[Handle]> {
        self.lanes().by_handle.keys().copied().collect()
    }

    /// The instances of this process that have sent over it.
    pub(super) fn senders(&self) -> impl Iterator<Item = Handle> {
        HashSet::clone(&self.introduced.load()).into_iter()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append_v1(dialect: Dialect, post: &Post<'_>, envelope: Envelope<'_>, out: &mut Vec<u8>) {
    let url = post.sender.source.url();
    let source = message::Source { service_name: url.name.as_str(), instance: url.instance.get() };
    let envelope = match dialect {
        Dialect::V2 => envelope,
        // Nothing but the payload has a place there.
        Dialect::V1 => {
            let Envelope { destination, source, payload, .. } = envelope;
            Envelope { destination, source, payload, ..Envelope::default() }
        }
    };
    message::append(source, &envelope, out);
}

fn introduction(sender: &Sender) -> Introduction {
    let record = sender.record();
    let (registry, revision) = sender.registered_at();
    Introduction {
        info: Some(convert::info(record)),
        options: convert::options(record),
        server_address: record.address.to_string(),
        attributes: record.attributes.to_json().into(),
        weight: record.weight,
        revision,
        registry,
        codecs: record.protocol.codecs.to_vec(),
    }
}

#[cfg(test)]
mod tests;
