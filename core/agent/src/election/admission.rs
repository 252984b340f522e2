//! What an inbox asks about messages that have to do with leaders, before they are taken: whether
//! the leader's term is the newest, and whether its own instance leads. Other messages do not get here.

use std::sync::Arc;
use std::time::Instant;

use skymesh_naming::election::Term;
use skymesh_naming::{FenceGate, StaleTerm};
use skymesh_types::{Handle, ServiceName};
use skymesh_wire::Kind;

use super::Belief;
use crate::inbox::{Letter, Source, UndeliverableReason};

/// Why a message that has to do with a leader is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barred {
    /// Its source leads in a term that is over.
    StaleTerm(StaleTerm),
    /// It is for a leader, and this instance is none.
    NotLeader { term: Term, leader: Option<Handle> },
}

impl From<Barred> for UndeliverableReason {
    fn from(barred: Barred) -> Self {
        match barred {
            Barred::StaleTerm(StaleTerm { newest, .. }) => Self::StaleTerm { newest },
            Barred::NotLeader { term, leader } => Self::NotLeader { term, leader },
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Admission {
    handle: Handle,
    belief: Belief,
    fences: Vec<(ServiceName, Arc<FenceGate>)>,
}

impl Admission {
    pub(crate) fn new(handle: Handle, fences: Vec<(ServiceName, Arc<FenceGate>)>) -> Self {
        Self { handle, belief: Belief::default(), fences }
    }

    pub(crate) fn belief(&self) -> &Belief {
        &self.belief
    }

    /// Why a message is not taken, if it is not. Asked under the inbox's lock, so messages lie in the
    /// inbox in the order in which the fences admitted them.
    #[cold]
    pub(crate) fn bars(&self, letter: &Letter, source: &Source) -> Option<Barred> {
        let term = Term(letter.epoch);
        if letter.kind & Kind::BY_LEADER != 0 {
            let name = &source.url().name;
            let fences = self.fences.iter().filter(|(fenced, _)| fenced == name);
            return fences
                .map(|(_, gate)| gate.admit(term))
                .find_map(Result::err)
                .map(Barred::StaleTerm);
        }
        if letter.kind & Kind::TO_LEADER != 0 {
            let believed = self.belief.now();
            // A source may not have heard yet that this one leads in a newer term; of an older one
            // it is the source that knows better.
            if believed.leads(Instant::now()).is_some_and(|(leads, _)| term <= leads) {
                return None;
            }
            let (newest, leader) = believed.heard();
            let leader = leader.filter(|leader| *leader != self.handle);
            return Some(Barred::NotLeader { term: newest, leader });
        }
        None
    }
}
