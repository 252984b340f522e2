//! What passes between the elections and the nameserver, as the uplink brings it.

use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::election::{self as naming, Leader};
use skymesh_naming::{LeadershipInput, Leading, ResultCode};
use skymesh_types::{Handle, ServiceName};

use super::{Elections, Says};
use crate::election::standing::Standing;
use crate::inbox::Event;
use crate::runtime::Runtime;
use crate::uplink::RequestError;

impl Elections {
    /// A connection was made, and every registration said on it. Answers the names whose elections
    /// are watched.
    pub(crate) fn connected(&self, lease: Duration) -> Vec<ServiceName> {
        let mut state = self.lock();
        state.says.clear();
        state.watch_changes.clear();
        state.asked.clear();
        self.feed_locked(&mut state, LeadershipInput::Connected { lease });
        state.watches.keys().cloned().collect()
    }

    pub(crate) fn disconnected(&self) {
        let mut state = self.lock();
        self.feed_locked(&mut state, LeadershipInput::Disconnected);
        state.says.clear();
        for core in state.watches.values() {
            core.show(core.standing().stale());
        }
    }

    /// What is to be said now.
    pub(crate) fn take_says(&self) -> Says {
        let mut state = self.lock();
        let watches = std::mem::take(&mut state.watch_changes);
        Says { watches, leaderships: std::mem::take(&mut state.says) }
    }

    /// The nameserver is asked by that number to let `handle` stand.
    pub(crate) fn note_asked(&self, request: u64, handle: Handle) {
        self.lock().asked.insert(request, handle);
    }

    /// Takes a reply; answers whether it was to a candidacy.
    pub(crate) fn replied(&self, request: u64, result: &Result<(), RequestError>) -> bool {
        let mut state = self.lock();
        let Some(handle) = state.asked.remove(&request) else { return false };
        let Some(candidate) = state.candidates.get_mut(&handle) else { return true };
        candidate.accepted = result.is_ok();
        let asked = candidate.answer(result);
        if let Err(error) = result {
            let (name, reason) = (candidate.name(), Arc::from(error.to_string()));
            let queue = Arc::clone(candidate.queue());
            // It is no candidate there, so there is nothing to give up.
            self.feed_locked(&mut state, LeadershipInput::Forget(handle));
            if !asked {
                queue.push_event(Event::CandidacyRefused { name, reason });
            }
        }
        true
    }

    /// A keepalive is about to be sent.
    pub(crate) fn beat_sent(&self, seq: u64) {
        self.feed_locked(&mut self.lock(), LeadershipInput::BeatSent(seq));
    }

    pub(crate) fn beat_answered(&self, seq: u64, leads: Vec<Leading>) {
        self.feed_locked(&mut self.lock(), LeadershipInput::BeatAnswered { seq, leads });
    }

    /// The nameserver says who leads.
    pub(crate) fn heard(&self, runtime: &Runtime, said: naming::Standing) {
        let said = Arc::new(said);
        let mut state = self.lock();
        self.feed_locked(&mut state, LeadershipInput::Heard(Arc::clone(&said)));
        if said.leader != Leader::Unknown {
            let own = runtime.directory.locals().into_iter().filter(|own| *own.name() == said.name);
            own.for_each(|own| own.belief().heard(said.term, said.leader.handle()));
        }
        if let Some(core) = state.watches.get(&said.name) {
            core.show(Standing::said(&said, self.terms));
        }
    }
}

/// The reply of the nameserver as a result.
pub(crate) fn result(code: i32, reason: String) -> Result<(), RequestError> {
    match code {
        code if code == ResultCode::OK.0 => Ok(()),
        code => Err(RequestError::Refused { code, reason }),
    }
}
