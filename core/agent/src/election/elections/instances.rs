//! What the instances of this agent do in their elections.

use std::time::Instant;

use skymesh_naming::LeadershipInput;
use skymesh_naming::election::Term;
use skymesh_types::Handle;

use super::{Candidate, Elections};
use crate::election::leadership::{Leadership, NotLeading};
use crate::instance::Instance;
use crate::runtime::Runtime;
use crate::uplink::{Reply, RequestError};

impl Elections {
    /// An instance stands from now on; `reply` is told what the nameserver says. The election is
    /// watched then, so that instances that do not lead can say who does.
    pub(in crate::election) fn stand(
        &self,
        instance: &Instance,
        priority: i64,
        reply: Reply<(), RequestError>,
    ) {
        let mut state = self.lock();
        let (handle, name) = (instance.handle(), instance.url().name.clone());
        if instance.sender.source.is_offline() || instance.queue.is_closed() {
            let _ = reply.send(Err(RequestError::Unknown(handle)));
            return;
        }
        // Its place in the queue has the uplink say this as well.
        state.watch(&name).0.watch_for_hints();
        state.last_life += 1;
        let life = state.last_life;
        let make =
            || Candidate { instance: instance.clone(), life, accepted: false, waiting: Vec::new() };
        let candidate = state.candidates.entry(handle).or_insert_with(make);
        if candidate.accepted {
            let _ = reply.send(Ok(()));
            return;
        }
        candidate.waiting.push(reply);
        self.feed_locked(&mut state, LeadershipInput::Run { handle, name, priority });
    }

    /// An instance stands no longer. Answers whether it did.
    pub(in crate::election) fn give_up(&self, runtime: &Runtime, handle: Handle) -> bool {
        let stood = self.lock().core.stands(handle);
        self.feed(runtime, LeadershipInput::GiveUp(handle));
        stood
    }

    /// As [`give_up`](Self::give_up), if that instance leads in `term`, still.
    pub(in crate::election) fn resign(&self, runtime: &Runtime, handle: Handle, term: Term) {
        let mut state = self.lock();
        let now = self.started.elapsed();
        if state.core.leads(handle, now).is_some_and(|(leads, _)| leads == term) {
            self.feed_locked(&mut state, LeadershipInput::GiveUp(handle));
            drop(state);
            runtime.errands.speak();
        }
    }

    /// The leadership of an instance.
    pub(in crate::election) fn leadership(&self, handle: Handle) -> Result<Leadership, NotLeading> {
        if !self.knows_terms() {
            return Err(NotLeading::NotSupported);
        }
        let state = self.lock();
        let candidate = state.candidates.get(&handle).ok_or(NotLeading::NotLeading)?;
        let leads = candidate.queue().belief().now().leads(Instant::now());
        let (term, _) = leads.ok_or(NotLeading::NotLeading)?;
        Ok(Leadership::new(candidate.instance.clone(), term, candidate.life))
    }

    /// Guarded work of a leader begins.
    pub(in crate::election) fn begin(&self, handle: Handle, term: Term) -> Result<(), NotLeading> {
        let mut state = self.lock();
        self.feed_locked(&mut state, LeadershipInput::Tick);
        let now = self.started.elapsed();
        if state.core.leads(handle, now).is_none_or(|(leads, _)| leads != term) {
            return Err(NotLeading::NotLeading);
        }
        if !state.core.may_begin(handle, now) {
            return Err(NotLeading::Resigning);
        }
        self.feed_locked(&mut state, LeadershipInput::Begin(handle));
        Ok(())
    }

    /// It has ended.
    pub(in crate::election) fn finish(&self, runtime: &Runtime, handle: Handle, life: u64) {
        if self.lock().candidates.get(&handle).is_some_and(|known| known.life == life) {
            self.feed(runtime, LeadershipInput::Finish(handle));
        }
    }

    /// An instance leaves the mesh: it stops leading at once.
    pub(crate) fn forget(&self, handle: Handle) {
        self.feed_locked(&mut self.lock(), LeadershipInput::Forget(handle));
    }

    /// Every instance gives up: guarded work is done first.
    pub(crate) fn give_up_all(&self, runtime: &Runtime) {
        let handles: Vec<Handle> = self.lock().candidates.keys().copied().collect();
        for handle in handles {
            self.feed(runtime, LeadershipInput::GiveUp(handle));
        }
    }

    /// The agent leaves the mesh.
    pub(crate) fn forget_all(&self) {
        let mut state = self.lock();
        let handles: Vec<Handle> = state.candidates.keys().copied().collect();
        for handle in handles {
            self.feed_locked(&mut state, LeadershipInput::Forget(handle));
        }
    }
}
