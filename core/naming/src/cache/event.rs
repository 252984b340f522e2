//! What a watcher is told.

use std::sync::Arc;

use skymesh_types::Attributes;

use crate::{InstanceRecord, InstanceState};

/// One change of a watched service, in the registry's order. The revision is that of the record.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An instance is there. It precedes the first message from that instance.
    Online(Arc<InstanceRecord>),
    /// An instance is gone. No message from it follows.
    Offline {
        /// The instance as it was last known.
        record: Arc<InstanceRecord>,
        /// What is known of why.
        cause: OfflineCause,
    },
    /// Its attributes changed.
    AttributesChanged {
        /// The instance as it is now.
        record: Arc<InstanceRecord>,
        /// The attributes before.
        old: Arc<Attributes>,
        /// The keys whose value changed, in order.
        keys: Vec<String>,
    },
    /// It moved between online, suspect and draining.
    StateChanged {
        /// The instance as it is now.
        record: Arc<InstanceRecord>,
        /// The state before.
        old: InstanceState,
    },
}

impl Event {
    /// The instance that the event is about, as it is after the event (or was last, if offline).
    pub fn record(&self) -> &Arc<InstanceRecord> {
        match self {
            Self::Online(record)
            | Self::Offline { record, .. }
            | Self::AttributesChanged { record, .. }
            | Self::StateChanged { record, .. } => record,
        }
    }
}

/// Why an instance is no longer there, as far as the watcher can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfflineCause {
    /// The nameserver said so.
    Announced,
    /// A new incarnation of the same instance took its place.
    Replaced,
    /// A complete snapshot no longer holds it.
    Absent,
}
