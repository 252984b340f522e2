//! One round of agreement on a service's placement, and the wishes for the next one. Plain
//! bookkeeping; what begins, ends and is told is the registry's work (`rounds.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skymesh_types::Handle;

use super::input::{ConnectionId, RequestId};
use crate::placement::RoundId;

/// Whom to answer when a wish has come true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) to: ConnectionId,
    pub(super) request: RequestId,
}

/// Instances that want in or out, and who asked.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) joining: BTreeMap<Handle, Option<Asked>>,
    pub(super) leaving: BTreeMap<Handle, Option<Asked>>,
}

impl Wishes {
    pub(super) fn is_empty(&self) -> bool {
        self.joining.is_empty() && self.leaving.is_empty()
    }

    /// Takes a wish back. Answers whether there was one.
    pub(super) fn remove(&mut self, handle: Handle) -> bool {
        self.joining.remove(&handle).is_some() | self.leaving.remove(&handle).is_some()
    }

    /// Adds the wishes of a round that came to nothing.
    pub(super) fn add(&mut self, other: Self) {
        self.joining.extend(other.joining);
        self.leaving.extend(other.leaving);
    }
}

#[derive(Debug)]
pub(super) struct Round {
    pub(super) id: RoundId,
    pub(super) wishes: Wishes,
    pub(super) deadline: Duration,
    /// Routers that have not said yet that they are prepared.
    pub(super) awaited: BTreeSet<ConnectionId>,
    /// Routers that have.
    pub(super) prepared: BTreeSet<ConnectionId>,
}

/// What a service keeps of its placement.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    pub(super) wishes: Wishes,
    pub(super) round: Option<Round>,
    /// Connections of protocol 1 that route to the service.
    pub(super) routers_v1: BTreeSet<ConnectionId>,
}

impl Agreement {
    pub(super) fn is_idle(&self) -> bool {
        self.wishes.is_empty() && self.round.is_none() && self.routers_v1.is_empty()
    }

    /// A router is gone: nobody waits for it.
    pub(super) fn leave(&mut self, connection: ConnectionId) {
        if let Some(round) = &mut self.round {
            round.awaited.remove(&connection);
            round.prepared.remove(&connection);
        }
    }
}
