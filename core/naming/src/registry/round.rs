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

    /// Takes the wishes of an instance back: whom it leaves without an answer. `None` if there were
    /// none.
    pub(super) fn remove(&mut self, handle: Handle) -> Option<Vec<Withdrawn>> {
        let joining = self.joining.remove(&handle);
        let leaving = self.leaving.remove(&handle);
        if joining.is_none() && leaving.is_none() {
            return None;
        }
        let joining = joining.flatten().map(|asked| Withdrawn::Joining(handle, asked));
        let leaving = leaving.flatten().map(|asked| Withdrawn::Leaving(handle, asked));
        Some(joining.into_iter().chain(leaving).collect())
    }

    /// Adds the wishes of a round that came to nothing. Who asked again meanwhile is answered.
    pub(super) fn add(&mut self, older: Self) {
        for (handle, asked) in older.joining {
            self.joining.entry(handle).or_insert(asked);
        }
        for (handle, asked) in older.leaving {
            self.leaving.entry(handle).or_insert(asked);
        }
    }

    /// Takes out up to `most` wishes for a round, and of those to leave only what `may_leave` says.
    pub(super) fn take(&mut self, most: usize, may_leave: impl Fn(Handle) -> bool) -> Self {
        let joining: Vec<Handle> = self.joining.keys().copied().take(most).collect();
        let most = most - joining.len();
        let leaving = self.leaving.keys().copied().filter(|handle| may_leave(*handle));
        let leaving: Vec<Handle> = leaving.take(most).collect();
        let joining = joining.into_iter().filter_map(|one| self.joining.remove_entry(&one));
        let leaving = leaving.into_iter().filter_map(|one| self.leaving.remove_entry(&one));
        Self { joining: joining.collect(), leaving: leaving.collect() }
    }
}

/// A wish that ended with its instance, and who waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Withdrawn {
    Joining(Handle, Asked),
    Leaving(Handle, Asked),
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
    /// Watchers that wait for a snapshot. They live, so every round waits for them as well.
    pub(super) lagging: BTreeSet<ConnectionId>,
}

impl Agreement {
    pub(super) fn is_idle(&self) -> bool {
        self.wishes.is_empty()
            && self.round.is_none()
            && self.routers_v1.is_empty()
            && self.lagging.is_empty()
    }

    /// A router is gone: nobody waits for it.
    pub(super) fn leave(&mut self, connection: ConnectionId) {
        self.lagging.remove(&connection);
        if let Some(round) = &mut self.round {
            round.awaited.remove(&connection);
            round.prepared.remove(&connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handles(numbers: impl IntoIterator<Item = u64>) -> BTreeMap<Handle, Option<Asked>> {
        numbers.into_iter().map(|number| (Handle::new(number).unwrap(), None)).collect()
    }

    #[test]
    fn a_round_is_about_so_many_and_the_others_follow() {
        let mut waiting = Wishes { joining: handles(1..=7), leaving: handles(11..=13) };
        let came = |handle: Handle| handle.get() != 12;
        let mut rounds = Vec::new();
        loop {
            let next = waiting.take(3, came);
            if next.is_empty() {
                break;
            }
            let numbers = next.joining.keys().chain(next.leaving.keys());
            rounds.push(numbers.map(|handle| handle.get()).collect::<Vec<_>>());
        }
        assert_eq!(rounds, [vec![1, 2, 3], vec![4, 5, 6], vec![7, 11, 13]]);
        assert_eq!(waiting.leaving, handles([12]), "it has not come yet");
    }

    #[test]
    fn a_wish_that_was_said_again_is_answered_where_it_was_said_last() {
        let asked = |to| Some(Asked { to: ConnectionId(to), request: RequestId(1) });
        let handle = Handle::new(1).unwrap();
        let mut waiting = Wishes::default();
        waiting.joining.insert(handle, asked(2));
        let mut older = Wishes { joining: handles([1, 2]), leaving: handles([3]) };
        older.joining.insert(handle, asked(1));
        waiting.add(older);
        assert_eq!((waiting.joining[&handle], waiting.joining.len()), (asked(2), 2));
        assert_eq!(waiting.leaving, handles([3]));
    }
}
