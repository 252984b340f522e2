//! One service name in the registry: which instances it has, who watches it, and what its watchers
//! have not been told yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skymesh_types::{AppId, Handle, InstanceId, RegistryId, Revision, ServiceName};

use super::guard::Losses;
use super::history::History;
use super::input::ConnectionId;
use super::pace::Pace;
use super::round::Agreement;
use crate::placement::Epoch;
use crate::{InstanceRecord, Snapshot};

/// What a watcher says it knows.
pub(super) type Position = Option<(RegistryId, Revision)>;

/// Whether a change may wait to share a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It may: an addition, attributes.
    CanWait,
    /// It may not: somebody must stop being chosen.
    AtOnce,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: ServiceName,
    pub(super) app: AppId,
    /// Pending instances are in here too.
    pub(super) roster: BTreeMap<InstanceId, Handle>,
    pub(super) history: History,
    pub(super) pace: Pace,
    /// Something that is not published may not wait.
    pub(super) urgent: bool,
    pub(super) losses: Losses,
    /// How many instances the mass-loss guard holds.
    pub(super) held: usize,
    pub(super) watchers: BTreeSet<ConnectionId>,
    /// Came while something was unpublished: they are answered when it is, instead of making
    /// everybody's batch smaller.
    pub(super) joining: BTreeMap<ConnectionId, Position>,
    /// The last snapshot made, while nothing has changed since.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// Of its placement; 0 while it has no stateful instances.
    pub(super) epoch: Epoch,
    pub(super) agreement: Agreement,
}

impl Service {
    pub(super) fn new(name: ServiceName, at: Revision) -> Self {
        let app = name.app().parse().expect("invariant: the app of a checked name is checked");
        Self {
            name,
            app,
            roster: BTreeMap::new(),
            history: History::starting_at(at),
            pace: Pace::default(),
            urgent: false,
            losses: Losses::default(),
            held: 0,
            watchers: BTreeSet::new(),
            joining: BTreeMap::new(),
            snapshot: None,
            epoch: Epoch(0),
            agreement: Agreement::default(),
        }
    }

    /// Notes a change; `replaced` is the revision of the incarnation's change before it.
    pub(super) fn note(
        &mut self,
        replaced: Option<Revision>,
        record: Arc<InstanceRecord>,
        urgency: Urgency,
    ) {
        self.history.note(replaced, record);
        self.urgent |= urgency == Urgency::AtOnce;
        self.snapshot = None;
    }

    /// Forgets a watcher.
    pub(super) fn leave(&mut self, connection: ConnectionId) {
        self.watchers.remove(&connection);
        self.joining.remove(&connection);
    }

    /// Nobody would miss it. What watchers that resume may ask for is a short snapshot then.
    pub(super) fn is_idle(&self) -> bool {
        self.roster.is_empty()
            && self.watchers.is_empty()
            && self.joining.is_empty()
            && !self.history.has_unpublished()
            && self.agreement.is_idle()
    }
}
