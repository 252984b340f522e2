//! Placement of stateful services: which instance owns which key, version by version. The words that
//! registry and agents share; the router's side is in `placement/router.rs`, the receiver's in
//! `placement/gate.rs`, the registry's in `registry/rounds.rs`.

mod gate;
mod hold;
mod input;
mod router;

use std::fmt;
use std::sync::Arc;

use skymesh_types::{Handle, ServiceName};

use crate::{InstanceRecord, InstanceState};

pub use gate::{EpochGate, WrongEpoch};
pub use hold::HoldLimits;
pub use input::{Bounced, Full, Parcel, PlacementAction, PlacementInput, Undelivered};
pub use router::KeyedRouter;

/// The version of a stateful service's placement: strictly increasing per service name, for ever.
/// All who know the same epoch know the same members. 0 stands for "unknown".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which round of agreement, by the registry's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RoundId(pub u64);

/// What the routers of a service are asked to prepare for.
#[derive(Debug, Clone, PartialEq)]
pub struct Preparation {
    /// The service.
    pub name: ServiceName,
    /// The round; who has prepared says so by its number.
    pub round: RoundId,
    /// Instances that would own keys.
    pub joining: Vec<Arc<InstanceRecord>>,
    /// Instances that would own none any more.
    pub leaving: Vec<Handle>,
}

impl Preparation {
    /// The members that it would make of `members`, sorted by instance id.
    pub(crate) fn of(&self, members: &[Arc<InstanceRecord>]) -> Vec<Arc<InstanceRecord>> {
        let stays = |one: &&Arc<InstanceRecord>| {
            !self.leaving.contains(&one.handle) && self.joining.iter().all(|new| new.url != one.url)
        };
        let stay = members.iter().filter(stays);
        let mut future: Vec<_> = stay.chain(&self.joining).cloned().collect();
        future.sort_by_key(|one| one.url.instance);
        future
    }
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundEnd {
    /// As prepared, or with what time had left of it, from this epoch on.
    Committed(Epoch),
    /// Nothing came of it: the placement is as before.
    Aborted,
}

/// Who owns keys, in one epoch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Placement {
    /// The version.
    pub epoch: Epoch,
    /// The owners, sorted by instance id.
    pub members: Arc<[Arc<InstanceRecord>]>,
}

/// Whether an instance owns keys: it is stateful, agreed, and not on its way out.
pub fn is_placed(record: &InstanceRecord) -> bool {
    let state = matches!(record.state, InstanceState::Online | InstanceState::Suspect);
    record.hash_key != 0 && state
}

/// Picks the owner of a key among members that are sorted by instance id: the strategy behind a
/// stateful service's routers. Equal members and keys must give equal owners in every process, or
/// two routers send one key to two instances.
pub trait Placing {
    /// The owner's index; `None` if there are no members.
    fn owner(&self, members: &[Arc<InstanceRecord>], key: u64) -> Option<usize>;
}
