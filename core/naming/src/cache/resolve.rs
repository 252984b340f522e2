//! The typed answer of a router: unknown is never encoded as empty.

use std::sync::Arc;
use std::time::Duration;

use skymesh_types::Revision;

use crate::{InstanceRecord, InstanceState};

/// What is known of one service name.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolve {
    /// The nameserver has not been heard on it yet.
    Loading,
    /// The members, as the nameserver keeps them.
    Ready(Known),
    /// The nameserver says that there is none.
    Empty,
    /// The nameserver has been out of reach for that long; the last members keep serving.
    Stale(Known, Duration),
}

impl Resolve {
    /// The answer for what is known (`None`: nothing yet) while the nameserver has been out of reach
    /// for so long (`None`: it is there).
    pub fn new(known: Option<Known>, stale_for: Option<Duration>) -> Self {
        match (known, stale_for) {
            (None, _) => Self::Loading,
            (Some(known), None) if known.members.is_empty() => Self::Empty,
            (Some(known), None) => Self::Ready(known),
            (Some(known), Some(age)) => Self::Stale(known, age),
        }
    }
}

impl Resolve {
    /// The members, fresh or stale; none while loading or empty. Sorted by instance id.
    pub fn members(&self) -> &[Member] {
        match self {
            Self::Loading | Self::Empty => &[],
            Self::Ready(known) | Self::Stale(known, _) => &known.members,
        }
    }
}

/// The members of a service at a revision, sorted by instance id.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The service's revision.
    pub revision: Revision,
    /// Sorted by instance id, so that equal members give equal order in every process.
    pub members: Arc<[Member]>,
}

/// One member of a [`Known`] set.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The instance.
    pub record: Arc<InstanceRecord>,
    /// Whether selectors should prefer others: its session is in doubt, or this agent's own pings
    /// do not reach it.
    pub suspect: bool,
}

impl Member {
    pub(super) fn new(record: &Arc<InstanceRecord>, reached: bool) -> Self {
        let suspect = record.state == InstanceState::Suspect || !reached;
        Self { record: Arc::clone(record), suspect }
    }
}
