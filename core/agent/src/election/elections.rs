//! All elections of one agent: the shell around [`Leaderships`], and what is known of those that
//! are watched.
//!
//! One lock guards it, so that what is to be said to the nameserver leaves in the order in which it
//! was decided, and events enter the inboxes in that order too. The lock is held for no I/O; messages
//! never take it.

mod instances;
mod nameserver;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skymesh_naming::election::Term;
use skymesh_naming::{LeadershipAction, LeadershipInput, LeadershipSaying, Leaderships};
use skymesh_types::{Handle, ServiceName};
use tokio::sync::Notify;

use super::known::ElectionCore;
use super::leadership::Leadership;
use super::standing::{Standing, Terms};
use crate::inbox::{Event, Queue};
use crate::instance::Instance;
use crate::runtime::Runtime;
use crate::uplink::{Reply, RequestError};
pub(crate) use nameserver::result;

/// See the module.
#[derive(Debug)]
pub(crate) struct Elections {
    state: Mutex<State>,
    terms: Terms,
    /// Time in the core is counted from then.
    started: Instant,
    /// The next deadline may be another one.
    deadline_moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    core: Leaderships,
    /// What the core wants said on the present connection. Empty while there is none. What users do
    /// adds to it only with a place in the uplink's queue of commands, and there is at most one
    /// `GiveUp` for each `Run`: so that queue bounds it.
    says: VecDeque<LeadershipSaying>,
    /// What the nameserver does not know yet of who watches.
    watch_changes: BTreeMap<ServiceName, WatchChange>,
    candidates: HashMap<Handle, Candidate>,
    /// Which candidacy a request was about.
    asked: HashMap<u64, Handle>,
    watches: HashMap<ServiceName, Arc<ElectionCore>>,
    last_life: u64,
    actions: Vec<LeadershipAction>,
}

/// What has become of a watch since the nameserver heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchChange {
    Begun,
    Ended,
    /// It has ended and begun again: how the election stands is to be said anew.
    Renewed,
}

/// What the elections want said: first about watches.
#[derive(Debug, PartialEq)]
pub(crate) struct Says {
    pub(crate) watches: BTreeMap<ServiceName, WatchChange>,
    pub(crate) leaderships: VecDeque<LeadershipSaying>,
}

/// An instance of this agent that stands.
#[derive(Debug)]
struct Candidate {
    instance: Instance,
    /// Which of its candidacies, so that guarded work of an earlier one is not taken for this one's.
    life: u64,
    /// Whether the nameserver has said yes.
    accepted: bool,
    waiting: Vec<Reply<(), RequestError>>,
}

impl Elections {
    /// For a nameserver that speaks `protocol`; time counts from `started`.
    pub(crate) fn new(protocol: u32, started: Instant) -> Self {
        let terms = if protocol == 1 { Terms::NotSupported } else { Terms::Known };
        Self { state: Mutex::default(), terms, started, deadline_moved: Notify::new() }
    }

    pub(super) fn knows_terms(&self) -> bool {
        self.terms == Terms::Known
    }

    /// Ends what is over by the clock, for as long as the agent runs.
    pub(crate) async fn run(&self, runtime: &Arc<Runtime>) {
        loop {
            let next = self.lock().core.next_deadline().map(|due| self.started + due);
            let due = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = runtime.stopped.cancelled() => return,
                () = self.deadline_moved.notified() => {}
                () = due => self.tick(runtime),
            }
        }
    }

    /// Ends what is over by the clock.
    pub(crate) fn tick(&self, runtime: &Runtime) {
        self.feed(runtime, LeadershipInput::Tick);
    }

    /// Feeds the core, does what it says, and has the uplink say the rest.
    fn feed(&self, runtime: &Runtime, input: LeadershipInput) {
        let mut state = self.lock();
        self.feed_locked(&mut state, input);
        let speaks = !state.says.is_empty();
        drop(state);
        if speaks {
            runtime.errands.speak();
        }
    }

    fn feed_locked(&self, state: &mut State, input: LeadershipInput) {
        // Read under the lock: the core's time never goes back.
        let now = self.started.elapsed();
        let mut actions = std::mem::take(&mut state.actions);
        state.core.handle(now, input, &mut actions);
        for action in actions.drain(..) {
            match action {
                LeadershipAction::Say(saying) => state.says.push_back(saying),
                LeadershipAction::Elected { handle, term, deadline } => {
                    self.elected(state, handle, term, deadline);
                }
                LeadershipAction::Extended { handle, deadline } => {
                    if let Some(candidate) = state.candidates.get(&handle) {
                        candidate.queue().belief().extended(self.started + deadline);
                    }
                }
                LeadershipAction::Ended { handle, term, why } => {
                    if let Some(candidate) = state.candidates.get(&handle) {
                        let queue = candidate.queue();
                        let (name, shown) = (candidate.name(), self.terms.shown(term));
                        let event = Event::Unseated { name, term: shown, why };
                        queue.push_event_and(event, || queue.belief().ended(term, why));
                    }
                }
            }
        }
        state.actions = actions;
        let core = &state.core;
        state.candidates.retain(|handle, candidate| {
            let stands = core.stands(*handle);
            if !stands {
                candidate.answer(&Err(RequestError::Withdrawn));
            }
            stands
        });
        self.deadline_moved.notify_one();
    }

    fn elected(&self, state: &State, handle: Handle, term: Term, deadline: Duration) {
        let Some(candidate) = state.candidates.get(&handle) else { return };
        let leadership = self
            .knows_terms()
            .then(|| Leadership::new(candidate.instance.clone(), term, candidate.life));
        let (queue, event) =
            (candidate.queue(), Event::Elected { name: candidate.name(), leadership });
        let deadline = self.started + deadline;
        queue.push_event_and(event, || queue.belief().elected(term, deadline, handle));
    }

    /// The watch of a name, opened if there is none; `also` is done to it under the same lock.
    pub(super) fn watch(
        &self,
        runtime: &Runtime,
        name: &ServiceName,
        also: impl FnOnce(&ElectionCore),
    ) -> Arc<ElectionCore> {
        let (core, new) = {
            let mut state = self.lock();
            let (core, new) = state.watch(name);
            // Under the lock, so that no change falls between the first event and the rest, and nobody
            // ends the watch before it is of use.
            also(&core);
            (core, new)
        };
        if new {
            runtime.errands.speak();
        }
        core
    }

    /// Ends the watch of a name if `ends` says so.
    pub(super) fn unwatch(
        &self,
        runtime: &Runtime,
        name: &ServiceName,
        ends: impl FnOnce(&ElectionCore) -> bool,
    ) {
        let mut state = self.lock();
        if !state.watches.get(name).is_some_and(|core| ends(core)) {
            return;
        }
        if let Some(core) = state.watches.remove(name) {
            core.show(Standing::Loading);
        }
        // Under the lock, as a watch begins: the nameserver hears of both in their order.
        match state.watch_changes.remove(name) {
            Some(WatchChange::Begun) => return,
            Some(WatchChange::Ended | WatchChange::Renewed) | None => {}
        }
        state.watch_changes.insert(name.clone(), WatchChange::Ended);
        drop(state);
        runtime.errands.speak();
    }

    /// A receiver refused what was for the leader, and says who leads in a term, if it knows.
    pub(crate) fn hint(
        &self,
        name: &ServiceName,
        refused_by: Handle,
        (term, leader): (Term, Option<Handle>),
    ) {
        let core = self.lock().watches.get(name).cloned();
        if let Some(core) = core {
            core.hint(refused_by, term, leader);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn watch(&mut self, name: &ServiceName) -> (Arc<ElectionCore>, bool) {
        if let Some(core) = self.watches.get(name) {
            return (Arc::clone(core), false);
        }
        let core = Arc::new(ElectionCore::new(name.clone()));
        self.watches.insert(name.clone(), Arc::clone(&core));
        let change = match self.watch_changes.get(name) {
            Some(_) => WatchChange::Renewed,
            None => WatchChange::Begun,
        };
        self.watch_changes.insert(name.clone(), change);
        (core, true)
    }
}

impl Candidate {
    fn queue(&self) -> &Arc<Queue> {
        &self.instance.queue
    }

    fn name(&self) -> ServiceName {
        self.instance.url().name.clone()
    }

    /// Answers everybody who asked to stand; whether there was anybody.
    fn answer(&mut self, result: &Result<(), RequestError>) -> bool {
        let asked = !self.waiting.is_empty();
        for reply in self.waiting.drain(..) {
            let _ = reply.send(result.clone());
        }
        asked
    }
}

#[cfg(test)]
mod tests;
