//! The agent's cache: what it knows of the service names that it watches, and the events that
//! follow from what it hears. It answers with typed states, never with an empty list that means
//! something else; it sends nothing itself.

mod entry;
mod event;
mod resolve;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{Handle, RegistryId, Revision, ServiceName, ServiceUrl};

use crate::placement::Placement;
use crate::{Delta, InstanceRecord, Snapshot};
use entry::Entry;
pub use event::{Event, OfflineCause};
pub use resolve::{Known, Member, Resolve};

/// Where a watch stands, as the agent tells the nameserver when it asks or asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchPosition {
    /// The service.
    pub name: ServiceName,
    /// The registry and revision that the cache is at; `None` asks for a snapshot.
    pub at: Option<(RegistryId, Revision)>,
}

/// What became of a delta.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a gap means that the watch must be asked for again"]
pub enum Applied {
    /// It followed what was known.
    Events(Vec<Event>),
    /// It does not follow what is known: ask for a snapshot.
    Gap,
}

/// A peer introduced an instance that the registry has already declared gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} went offline; its messages are refused")]
pub struct GoneOffline(pub Handle);

/// All watched service names of one agent.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<ServiceName, Entry>,
    /// When the nameserver was lost; `None` while it is there. Before the first contact too.
    lost_at: Option<Duration>,
}

impl Cache {
    /// A cache that watches nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts to watch `name`; does nothing if it is watched already. Answers whether it is new,
    /// so that the caller asks the nameserver just once.
    pub fn watch(&mut self, name: &ServiceName) -> bool {
        if self.entries.contains_key(name) {
            return false;
        }
        self.entries.insert(name.clone(), Entry::default());
        true
    }

    /// Forgets `name`.
    pub fn unwatch(&mut self, name: &ServiceName) {
        self.entries.remove(name);
    }

    /// Whether `name` is watched.
    pub fn watches(&self, name: &ServiceName) -> bool {
        self.entries.contains_key(name)
    }

    /// Every watch with its position, for a new connection to the nameserver.
    pub fn positions(&self) -> Vec<WatchPosition> {
        self.entries
            .iter()
            .map(|(name, e)| WatchPosition { name: name.clone(), at: e.at() })
            .collect()
    }

    /// Takes a snapshot from the nameserver. One for a name that is not watched changes nothing.
    pub fn apply_snapshot(&mut self, snapshot: &Snapshot) -> Vec<Event> {
        match self.entries.get_mut(&snapshot.name) {
            Some(entry) => entry.apply_snapshot(snapshot),
            None => Vec::new(),
        }
    }

    /// Takes a delta from the nameserver. One for a name that is not watched changes nothing.
    pub fn apply_delta(&mut self, delta: &Delta) -> Applied {
        match self.entries.get_mut(&delta.name) {
            Some(entry) => entry.apply_delta(delta),
            None => Applied::Events(Vec::new()),
        }
    }

    /// Takes an instance from its own agent's introduction, ahead of the nameserver, so that its
    /// online event precedes its first message. The nameserver's word confirms or ends it later.
    ///
    /// `registry` is the one that counted `record.revision`.
    ///
    /// # Errors
    /// [`GoneOffline`] if that incarnation is known to be gone: its messages must be refused.
    pub fn adopt(
        &mut self,
        record: &Arc<InstanceRecord>,
        registry: RegistryId,
    ) -> Result<Vec<Event>, GoneOffline> {
        match self.entries.get_mut(&record.url.name) {
            Some(entry) => entry.adopt(record, registry),
            None => Ok(Vec::new()),
        }
    }

    /// The nameserver is out of reach since `now`.
    pub fn uplink_lost(&mut self, now: Duration) {
        self.lost_at.get_or_insert(now);
    }

    /// The nameserver is there again; its word on each watch follows.
    pub fn uplink_restored(&mut self) {
        self.lost_at = None;
    }

    /// Notes whether the agent's own pings reach an instance. Answers whether that changes the
    /// view of `name`: who can't be reached counts as suspect there.
    pub fn note_reachable(&mut self, name: &ServiceName, handle: Handle, reachable: Reach) -> bool {
        self.entries.get_mut(name).is_some_and(|entry| entry.note_reachable(handle, reachable))
    }

    /// The members of `name`; `None` while nothing is known of it, or it is not watched.
    pub fn known(&self, name: &ServiceName) -> Option<Known> {
        self.entries.get(name)?.known()
    }

    /// Who owns the keys of `name`, as the registry said it last; `None` while nothing is known, or it
    /// is not watched. A recovering registry leaves it as it was.
    pub fn placement(&self, name: &ServiceName) -> Option<Placement> {
        self.entries.get(name)?.placement().cloned()
    }

    /// Whether the nameserver started lately and has not said yet who is there: what it says of
    /// `name` until then is no word on its placement.
    pub fn is_recovering(&self, name: &ServiceName) -> bool {
        self.entries.get(name).is_some_and(Entry::is_recovering)
    }

    /// One instance; `None` if it is not there, or its service not watched.
    pub fn record(&self, url: &ServiceUrl) -> Option<&Arc<InstanceRecord>> {
        self.entries.get(&url.name)?.record(url.instance)
    }

    /// Whether that incarnation is known to have gone offline. Only the newest of those are
    /// remembered.
    pub fn has_left(&self, name: &ServiceName, handle: Handle) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.has_left(handle))
    }

    /// How long the nameserver has been out of reach at `now`; `None` while it is there.
    pub fn stale_for(&self, now: Duration) -> Option<Duration> {
        self.lost_at.map(|lost| now.saturating_sub(lost))
    }
}

/// Whether pings of this agent reach an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// They do, or nothing is known to the contrary.
    Reached,
    /// Several in a row were lost.
    Lost,
}

#[cfg(test)]
mod tests;
