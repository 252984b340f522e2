//! What lies in an inbox's queue.

use std::sync::Arc;

use bytes::Bytes;
use skymesh_types::Handle;
use skymesh_wire::{KeyTrailer, Kind};

use super::{Event, Settle, Source};

/// Names a lane or a source in the receiver's table, so that a letter carries two small numbers
/// instead of two reference counts that both sides would fight over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(pub(super) u32);

impl Slot {
    /// No slot at all.
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One message, as ranges of the chunk that precedes it in the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter {
    pub(crate) lane: Slot,
    pub(crate) source: Slot,
    pub(crate) source_handle: Handle,
    pub(crate) kind: u8,
    pub(crate) flags: u32,
    pub(crate) epoch: u64,
    pub(crate) correlation: u64,
    /// Start and length within the chunk.
    pub(crate) payload: (u32, u32),
    /// Start and length within the chunk.
    pub(crate) metadata: (u32, u32),
}

/// What a message costs of its window beside its payload and metadata, so that empty ones are bounded too.
pub(crate) const MESSAGE_COST: u64 = 64;

impl Letter {
    /// What this message takes of its lane's window, in bytes.
    pub(crate) fn cost(&self) -> u64 {
        MESSAGE_COST + u64::from(self.payload.1) + u64::from(self.metadata.1)
    }

    /// Where its metadata lies, with the trailer behind it if it came by key.
    pub(crate) fn trailed_metadata(&self) -> (u32, u32) {
        let trailer = if Kind(self.kind).is_keyed() { KeyTrailer::BYTES as u32 } else { 0 };
        (self.metadata.0, self.metadata.1 + trailer)
    }
}

#[derive(Debug)]
pub(crate) enum Entry {
    Letter(Letter),
    /// The bytes that the letters after it are ranges of.
    Chunk(Bytes),
    Event(Event),
    OpenLane(Slot, Arc<dyn Settle>),
    OpenSource(Slot, Arc<Source>),
    /// The slot's connection is gone; nothing after this names it.
    Close(Slot),
}
