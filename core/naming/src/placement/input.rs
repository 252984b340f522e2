//! What a [`KeyedRouter`](super::KeyedRouter) is told and what it wants done: plain values.

use std::sync::Arc;
use std::time::Duration;

use super::{Epoch, Placement, Preparation, RoundEnd, RoundId};
use crate::InstanceRecord;

/// One keyed message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel<M> {
    /// What decides who gets it.
    pub key: u64,
    /// What it counts for while it is held.
    pub bytes: usize,
    /// The message.
    pub message: M,
    /// When it came back first, by the router's clock.
    bounced_at: Option<Duration>,
    /// How often it came back.
    bounces: u32,
    /// It was sent before, and goes before those that were not.
    returned: bool,
}

impl<M> Parcel<M> {
    /// A message that was not sent yet.
    pub const fn new(key: u64, bytes: usize, message: M) -> Self {
        Self { key, bytes, message, bounced_at: None, bounces: 0, returned: false }
    }

    /// It came back once more: when it did so first, and how often by now.
    pub(super) fn bounced(&mut self, now: Duration) -> (Duration, u32) {
        self.bounces += 1;
        self.returned = true;
        (*self.bounced_at.get_or_insert(now), self.bounces)
    }

    /// It waited for room and never got out: no receiver has seen it, so no time runs against it.
    pub(super) const fn stayed(&mut self) {
        (self.bounced_at, self.bounces, self.returned) = (None, 0, true);
    }

    pub(super) const fn is_returned(&self) -> bool {
        self.returned
    }
}

/// A receiver did not take a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounced<M> {
    /// The parcel, back.
    pub parcel: Parcel<M>,
    /// The epoch that it was sent in.
    pub sent: Epoch,
    /// The receiver's epoch; `None` if that incarnation is no longer there.
    pub known: Option<Epoch>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum PlacementInput<M> {
    /// The registry spoke of the service: this is the placement that the agent knows, changed or not.
    /// Not to be said of what comes while the registry is recovering
    /// ([`Cache::is_recovering`](crate::Cache::is_recovering)): it knows of no placement then.
    Placed(Placement),
    /// The registry asks to prepare.
    Prepare(Arc<Preparation>),
    /// What was sent before [`PlacementAction::Settle`] of that round has arrived, or never will.
    Settled(RoundId),
    /// A round has ended.
    Ended(RoundId, RoundEnd),
    /// The registry is out of reach: how a round ends is not known. What was prepared is held until
    /// it speaks again, or time is up.
    Disconnected,
    /// A receiver sent a parcel back.
    Bounced(Bounced<M>),
    /// Time passed.
    Tick,
}

/// One thing to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum PlacementAction<M> {
    /// Send a parcel, with its epoch.
    Send {
        /// To whom.
        to: Arc<InstanceRecord>,
        /// With which epoch.
        epoch: Epoch,
        /// What.
        parcel: Parcel<M>,
    },
    /// Wait until what was sent so far has arrived or never will, then say
    /// [`PlacementInput::Settled`]. Moving keys are held from here on. It begins anew with each
    /// action, also if it names a round that was named before: parcels may have left in between.
    Settle(RoundId),
    /// Tell the registry that this router has prepared.
    Prepared(RoundId),
    /// A parcel can't be delivered: tell its sender.
    Undelivered(Parcel<M>, Undelivered),
}

/// Why a parcel was given back to its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Undelivered {
    /// The service has no owners.
    #[error("the service has no instance that owns keys")]
    NoOwner,
    /// Nothing was heard of the service in time.
    #[error("nothing was heard of the service in time")]
    Unresolved,
    /// Its receivers were of other epochs until time was up.
    #[error("router and receiver did not agree on the placement in time")]
    WrongEpoch,
}

/// The router holds as much as it may: the sender waits, as for any window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the router holds as much as `{limit}` = {value} allows while keys move; send again later")]
pub struct Full<M> {
    /// The parcel, back.
    pub parcel: Parcel<M>,
    /// The limit's name.
    pub limit: &'static str,
    /// Its value.
    pub value: usize,
}
