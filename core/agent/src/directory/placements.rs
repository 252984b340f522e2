//! What the agent knows of placements: who owns keys, which epochs its own instances admit, and the
//! keyed sides of its routers.

use std::sync::{Arc, PoisonError};

use skymesh_naming::InstanceRecord;
use skymesh_naming::placement::{Epoch, EpochGate, Placement, Preparation, RoundId};
use skymesh_types::{Handle, ServiceName};

use super::Directory;
use crate::keyed::Keyed;
use crate::peer::Route;
use crate::runtime::Runtime;
use crate::sender::Sender;

impl Directory {
    /// Who owns the keys of a service; `None` while the nameserver does not know it (any more).
    pub(crate) fn placement(&self, name: &ServiceName) -> Option<Placement> {
        let state = self.lock();
        state.cache.placement(name).filter(|_| !state.cache.is_recovering(name))
    }

    /// Whether a service has instances that own keys, and the nameserver is about to say which. (One of
    /// protocol 1 never does.)
    pub(crate) fn awaits_placement(&self, name: &ServiceName) -> bool {
        let state = self.lock();
        let known = state.cache.known(name).filter(|_| state.cache.is_recovering(name));
        known.is_some_and(|known| known.members.iter().any(|member| member.record.hash_key != 0))
    }

    /// The route to a member of a placement; `None` if that incarnation is gone.
    pub(crate) fn placed_route(
        &self,
        runtime: &Arc<Runtime>,
        member: &Arc<InstanceRecord>,
    ) -> Option<Arc<Route>> {
        if let Some(route) = self.known_route(member.handle) {
            return Some(route);
        }
        let there = self.local(member.handle).is_some()
            || self.lock().cache.record(&member.url).is_some_and(|r| r.handle == member.handle);
        there.then(|| self.route_to(runtime, member))
    }

    /// The gate of a service's own instances. Answers whether the nameserver has to be asked about
    /// the service.
    pub(crate) fn open_gate(&self, name: &ServiceName) -> (Arc<EpochGate>, bool) {
        let mut state = self.lock();
        let new = state.cache.watch(name);
        let known = state.cache.placement(name);
        let gate = Arc::clone(state.gates.entry(name.clone()).or_default());
        if let Some(placement) = known {
            gate.heard(placement.epoch);
        }
        (gate, new)
    }

    /// A round is open, for routers that are opened before its end.
    pub(crate) fn note_preparation(&self, preparation: &Arc<Preparation>) {
        let name = preparation.name.clone();
        self.lock().preparations.insert(name, Arc::clone(preparation));
    }

    /// The round of a service that is open.
    pub(crate) fn preparation(&self, name: &ServiceName) -> Option<Arc<Preparation>> {
        self.lock().preparations.get(name).cloned()
    }

    /// A round has ended.
    pub(crate) fn forget_preparation(&self, name: &ServiceName, round: RoundId) {
        let mut state = self.lock();
        if state.preparations.get(name).is_some_and(|open| open.round == round) {
            state.preparations.remove(name);
        }
    }

    /// Rounds are asked for anew when the nameserver is back.
    pub(crate) fn forget_preparations(&self) {
        self.lock().preparations.clear();
    }

    /// Waits until the nameserver was heard on an epoch, for ever if need be. Cancel safe.
    pub(crate) async fn heard_of(&self, gate: &EpochGate, epoch: Epoch) {
        loop {
            let heard = self.heard.notified();
            tokio::pin!(heard);
            // Registered before the look, so that a word in between is not missed.
            heard.as_mut().enable();
            if gate.known() >= epoch {
                return;
            }
            heard.await;
        }
    }

    /// The sending side of an instance of this process.
    pub(crate) fn sender(&self, handle: Handle) -> Option<Arc<Sender>> {
        self.lock().senders.get(&handle).cloned()
    }

    /// Keeps the keyed side of a router for the agent's life; `make` gets the tag that names it.
    pub(crate) fn keep_keyed(&self, make: impl FnOnce(u32) -> Arc<Keyed>) -> Arc<Keyed> {
        let mut all = self.keyed.lock().unwrap_or_else(PoisonError::into_inner);
        // One per service name that is routed to.
        let keyed = make(u32::try_from(all.len()).unwrap_or(u32::MAX));
        all.push(Arc::clone(&keyed));
        keyed
    }

    /// The keyed side that a tag names.
    pub(crate) fn keyed_by(&self, tag: u32) -> Option<Arc<Keyed>> {
        let all = self.keyed.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(tag as usize).cloned()
    }

    /// All keyed sides.
    pub(crate) fn keyed(&self) -> Vec<Arc<Keyed>> {
        self.keyed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
