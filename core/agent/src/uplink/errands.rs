//! What is to be said to the nameserver from where nothing can wait. It is kept until the uplink comes for
//! it; each thing once, so it is bounded by the names and instances that the agent knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use skymesh_naming::placement::RoundId;
use skymesh_types::{Handle, ServiceName};
use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Errands {
    open: Mutex<Open>,
    waiting: Notify,
}

/// Errands that nobody has taken yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// Names that are watched from now on.
    pub(super) watches: BTreeSet<ServiceName>,
    /// Services whose router holds what a round would move, and the newest such round: the ones before
    /// have ended.
    pub(super) prepared: BTreeMap<ServiceName, RoundId>,
    /// Instances that leave the mesh, and nobody waits for an answer.
    pub(super) left: BTreeSet<Handle>,
}

impl Errands {
    pub(crate) fn watch(&self, name: ServiceName) {
        self.lock().watches.insert(name);
        self.waiting.notify_one();
    }

    pub(crate) fn prepared(&self, name: ServiceName, round: RoundId) {
        self.lock().prepared.insert(name, round);
        self.waiting.notify_one();
    }

    /// To be called when nobody can find the instance any more: see
    /// [`Directory::remove_local`](crate::directory::Directory::remove_local).
    pub(crate) fn leave(&self, handle: Handle) {
        self.lock().left.insert(handle);
        self.waiting.notify_one();
    }

    /// The elections have something to say, which they keep themselves.
    pub(crate) fn speak(&self) {
        self.waiting.notify_one();
    }

    pub(super) fn take(&self) -> Open {
        std::mem::take(&mut *self.lock())
    }

    /// Waits until there may be something to do. For the uplink alone. Cancel safe.
    pub(super) async fn waiting(&self) {
        self.waiting.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
