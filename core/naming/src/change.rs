//! What travels from the registry to the caches: snapshots and deltas of one service name.

use std::sync::Arc;

use skymesh_types::{RegistryId, Revision, ServiceName};

use crate::InstanceRecord;
use crate::placement::Epoch;

/// Everything about one service name at a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The service.
    pub name: ServiceName,
    /// The life of the registry that counts `revision`.
    pub registry: RegistryId,
    /// The service's newest revision.
    pub revision: Revision,
    /// Its instances, sorted by instance id. Never pending or offline ones.
    pub instances: Vec<Arc<InstanceRecord>>,
    /// The registry started lately: what is absent here is unknown, not offline.
    pub recovering: bool,
    /// Of the service's placement; 0 while it is unknown, and where nothing is stateful.
    pub epoch: Epoch,
}

/// The changes of one service name between two of its revisions, in the registry's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// The service.
    pub name: ServiceName,
    /// The life of the registry that counts the revisions.
    pub registry: RegistryId,
    /// The revision that this delta follows.
    pub previous: Revision,
    /// The revision after it.
    pub revision: Revision,
    /// Each changed instance as it is afterwards; `state` is [`Offline`](crate::InstanceState::Offline)
    /// for one that went away.
    pub changes: Vec<Arc<InstanceRecord>>,
    /// Of the service's placement afterwards; 0 as in [`Snapshot::epoch`].
    pub epoch: Epoch,
}
