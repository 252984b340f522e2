//! What a message consists of before it is a letter: the numbers of its envelope, and where its bytes
//! lie. Knows no inbox.

use skymesh_plugin_api::Envelope;
use skymesh_types::Handle;

use crate::inbox::{Letter, MESSAGE_COST, Slot};

/// How messages of one instance to another go on: the places where both have been seated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) destination: u64,
    pub(super) source: Handle,
    pub(super) bay: usize,
    pub(super) lane: Slot,
    pub(super) slot: Slot,
}

impl Way {
    #[inline]
    pub(super) fn leads(&self, parts: &Parts) -> bool {
        self.destination == parts.destination && self.source.get() == parts.source
    }
}

/// Where the parts of one message lie.
pub(super) struct Parts {
    pub(super) destination: u64,
    pub(super) source: u64,
    pub(super) kind: u8,
    pub(super) flags: u32,
    pub(super) epoch: u64,
    pub(super) correlation: u64,
    pub(super) payload: (u32, u32),
    pub(super) metadata: (u32, u32),
}

impl Parts {
    pub(super) fn of(envelope: &Envelope<'_>, payload: (u32, u32), metadata: (u32, u32)) -> Self {
        Self {
            destination: envelope.destination,
            source: envelope.source,
            kind: envelope.kind,
            flags: envelope.flags,
            epoch: envelope.epoch,
            correlation: envelope.correlation,
            payload,
            metadata,
        }
    }

    pub(super) fn letter(&self, way: &Way) -> Letter {
        Letter {
            lane: way.lane,
            source: way.slot,
            source_handle: way.source,
            kind: self.kind,
            flags: self.flags,
            epoch: self.epoch,
            correlation: self.correlation,
            payload: self.payload,
            metadata: self.metadata,
        }
    }

    /// A letter without a way: its destination is gone.
    pub(super) fn loose(&self) -> Letter {
        let nobody = Handle::new(u64::MAX).expect("invariant: not zero");
        let slot = Slot::NONE;
        let (destination, source) = (self.destination, nobody);
        self.letter(&Way { destination, source, bay: usize::MAX, lane: slot, slot })
    }

    pub(super) fn cost(&self) -> u64 {
        MESSAGE_COST + u64::from(self.payload.1) + u64::from(self.metadata.1)
    }
}
