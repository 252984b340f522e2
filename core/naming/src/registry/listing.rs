//! A look at everything the registry knows, for operators. Changes nothing.

use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{Handle, RegistryId, Revision, ServiceName, ServiceUrl, SessionId};

use super::Registry;
use crate::{AttributeLayers, InstanceRecord};

/// One instance as operators see it.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// What watchers see; pending ones are listed too.
    pub record: &'a Arc<InstanceRecord>,
    /// Where each attribute comes from.
    pub layers: &'a AttributeLayers,
    /// Whose it is.
    pub session: SessionId,
    /// Time since a frame of the session came last.
    pub silent_for: Duration,
}

impl Registry {
    /// The life of this registry.
    pub const fn id(&self) -> RegistryId {
        self.id
    }

    /// The newest revision.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether it started lately, so that what is absent is unknown.
    pub const fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// How many sessions there are, lost ones included.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many instances there are, pending ones included.
    pub fn instance_count(&self) -> usize {
        self.instances.len()
    }

    /// One incarnation, as watchers see it; pending ones too.
    pub fn record(&self, handle: Handle) -> Option<&Arc<InstanceRecord>> {
        self.instances.get(&handle).map(|instance| &instance.record)
    }

    /// Every instance, by service name and then by instance, as of `now`.
    pub fn instances(&self, now: Duration) -> impl Iterator<Item = Listed<'_>> {
        self.instances_after(None, now)
    }

    /// As [`instances`](Self::instances), from the one after `last` on: for who looks in parts,
    /// between which the registry may change.
    pub fn instances_after<'a>(
        &'a self,
        last: Option<&'a ServiceUrl>,
        now: Duration,
    ) -> impl Iterator<Item = Listed<'a>> {
        let from = last.map_or(Unbounded, |last| Included(&last.name));
        let services = self.services.range::<ServiceName, _>((from, Unbounded));
        let handles = services.flat_map(move |(name, service)| {
            let last = last.filter(|last| last.name == *name);
            let from = last.map_or(Unbounded, |last| Excluded(last.instance));
            service.roster.range((from, Unbounded)).map(|(_, handle)| handle)
        });
        handles.map(move |handle| {
            let instance = self.instance(*handle);
            let heard = self.sessions.owner(instance.session).heard;
            Listed {
                record: &instance.record,
                layers: &instance.layers,
                session: instance.session,
                silent_for: now.saturating_sub(heard),
            }
        })
    }
}
