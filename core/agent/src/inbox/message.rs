//! A message as its receiver sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use skymesh_naming::InstanceRecord;
use skymesh_naming::election::Term;
use skymesh_types::{Handle, ServiceUrl};
use skymesh_wire::Kind;

use super::Letter;

/// Who sent a message. Answer it with [`Instance::send`](crate::Instance::send) to
/// [`handle`](Self::handle), even if its service is not watched; then for as long as it is
/// connected.
#[derive(Debug)]
pub struct Source {
    record: Arc<InstanceRecord>,
    /// Set before the offline event enters any inbox, read under the inbox's lock: so no message
    /// follows that event.
    offline: AtomicBool,
    /// Connections on which it was introduced. Without any, nothing is known of where it is now.
    connections: AtomicUsize,
}

impl Source {
    pub(crate) fn new(record: Arc<InstanceRecord>) -> Self {
        Self { record, offline: AtomicBool::new(false), connections: AtomicUsize::new(0) }
    }

    /// The incarnation that sent it.
    pub fn handle(&self) -> Handle {
        self.record.handle
    }

    /// The instance that sent it.
    pub fn url(&self) -> &ServiceUrl {
        &self.record.url
    }

    /// The protocol that its agent speaks: 1 for the origin's agents, which put nothing but the
    /// payload on the wire, 2 for ours.
    pub fn protocol(&self) -> u32 {
        self.record.protocol.version
    }

    pub(crate) fn record(&self) -> &Arc<InstanceRecord> {
        &self.record
    }

    /// One more connection on which it sends.
    pub(crate) fn arrived(&self) {
        self.connections.fetch_add(1, Ordering::AcqRel);
    }

    /// One connection less; answers whether it was the last.
    pub(crate) fn left(&self) -> bool {
        self.connections.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(crate) fn set_offline(&self, offline: bool) {
        self.offline.store(offline, Ordering::Release);
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    source: Arc<Source>,
    payload: Bytes,
    metadata: Bytes,
    kind: u8,
    flags: u32,
    epoch: u64,
    correlation: u64,
}

impl Message {
    pub(super) fn new(source: Arc<Source>, letter: &Letter, chunk: &Bytes) -> Self {
        Self {
            source,
            payload: cut(chunk, letter.payload),
            metadata: cut(chunk, letter.metadata),
            kind: Kind(letter.kind).plain().0,
            flags: letter.flags,
            epoch: letter.epoch,
            correlation: letter.correlation,
        }
    }

    /// Who sent it.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What was sent. Keeping it keeps the whole read chunk that it lies in (up to 64 KiB, or the one message) alive;
    /// copy what is to be kept for long.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload, without the rest.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// The envelope's metadata; empty for plain messages.
    pub fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    /// The envelope's kind; 0 for plain messages.
    pub fn kind(&self) -> u8 {
        self.kind & Kind::MAX.0
    }

    /// The term in which its source leads, if it was sent as leader: by
    /// [`Leadership::send`](crate::Leadership::send). It may be over already; see [`FenceGate`].
    ///
    /// [`FenceGate`]: crate::FenceGate
    pub fn term(&self) -> Option<Term> {
        (self.kind & Kind::BY_LEADER != 0).then_some(Term(self.epoch))
    }

    /// The envelope's flags.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// The placement epoch or leader's term that the sender knew; 0 if it named none.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Pairs a response with its request; 0 for plain messages.
    pub fn correlation(&self) -> u64 {
        self.correlation
    }
}

/// A range of the chunk; an empty one keeps no chunk alive.
fn cut(chunk: &Bytes, (start, len): (u32, u32)) -> Bytes {
    match len {
        0 => Bytes::new(),
        _ => chunk.slice(start as usize..start as usize + len as usize),
    }
}
