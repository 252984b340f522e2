//! A keyed message that is kept for a while: all that is needed to send it, whenever that will be.

use std::sync::Arc;

use bytes::Bytes;
use skymesh_types::Handle;
use skymesh_wire::{Envelope, Kind};

use crate::inbox::MESSAGE_COST;
use crate::peer::Post;
use crate::sender::Sender;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) sender: Arc<Sender>,
    pub(crate) kind: Kind,
    pub(crate) flags: u32,
    /// The term of a leader; else the placement's epoch takes its place.
    pub(crate) epoch: u64,
    pub(crate) correlation: u64,
    pub(crate) metadata: Bytes,
    pub(crate) payload: Bytes,
    /// Who the sender believes will answer; it is told if somebody else will.
    pub(crate) told: Option<Handle>,
}

impl Kept {
    /// A message that was not sent yet.
    pub(crate) fn of(sender: &Arc<Sender>, envelope: &Envelope<'_>, told: Option<Handle>) -> Self {
        // One buffer for both.
        let mut bytes = Vec::with_capacity(envelope.metadata.len() + envelope.payload.len());
        bytes.extend_from_slice(envelope.metadata);
        bytes.extend_from_slice(envelope.payload);
        let mut metadata = Bytes::from(bytes);
        let payload = metadata.split_off(envelope.metadata.len());
        let (kind, flags, correlation) = (envelope.kind, envelope.flags, envelope.correlation);
        let (sender, epoch) = (Arc::clone(sender), envelope.epoch);
        Self { sender, kind, flags, epoch, correlation, metadata, payload, told }
    }

    /// What it counts for while it is kept, in bytes.
    pub(crate) fn cost(&self) -> usize {
        MESSAGE_COST as usize + self.metadata.len() + self.payload.len()
    }

    pub(crate) fn source(&self) -> Handle {
        self.sender.source.handle()
    }

    pub(super) fn post(&self) -> Post<'_> {
        let envelope = Envelope {
            // The route knows it.
            destination: 0,
            source: self.source().get(),
            kind: self.kind,
            flags: self.flags,
            epoch: self.epoch,
            correlation: self.correlation,
            metadata: &self.metadata,
            payload: &self.payload,
        };
        Post { sender: &self.sender, envelope, live: None }
    }
}
