//! The changes of one service in the registry's order: what watchers have not been told yet, and
//! what those who resume may have missed. Of each incarnation only the last change is kept.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use skymesh_types::Revision;

use crate::InstanceRecord;

#[derive(Debug)]
pub(super) struct History {
    /// By the revision of the change; the last change of each incarnation only.
    changes: BTreeMap<Revision, Arc<InstanceRecord>>,
    /// Changes up to here may be missing.
    floor: Revision,
    /// Watchers have been told up to here.
    published: Revision,
    newest: Revision,
}

impl History {
    /// The history of a service that nothing is known of before `at`.
    pub(super) const fn starting_at(at: Revision) -> Self {
        Self { changes: BTreeMap::new(), floor: at, published: at, newest: at }
    }

    pub(super) const fn published(&self) -> Revision {
        self.published
    }

    pub(super) fn has_unpublished(&self) -> bool {
        self.newest > self.published
    }

    /// Notes a change. `replaced` is the revision of the incarnation's change before it.
    pub(super) fn note(&mut self, replaced: Option<Revision>, record: Arc<InstanceRecord>) {
        if let Some(replaced) = replaced {
            self.changes.remove(&replaced);
        }
        self.newest = record.revision;
        self.changes.insert(record.revision, record);
    }

    /// What watchers have not been told; afterwards they have. Keeps `keep` changes.
    pub(super) fn publish(&mut self, keep: usize) -> (Revision, Vec<Arc<InstanceRecord>>) {
        let previous = self.published;
        let changes = self.after(previous);
        self.published = self.newest;
        while self.changes.len() > keep {
            if let Some((revision, _)) = self.changes.pop_first() {
                self.floor = revision;
            }
        }
        (previous, changes)
    }

    /// Forgets everything before `at`, so that nobody resumes from there.
    pub(super) fn restart(&mut self, at: Revision) {
        *self = Self::starting_at(at);
    }

    /// What happened between `known` and what is published; `None` if that is not known here.
    /// To be asked only while nothing is unpublished.
    pub(super) fn since(&self, known: Revision) -> Option<Vec<Arc<InstanceRecord>>> {
        (self.floor <= known && known <= self.published).then(|| self.after(known))
    }

    fn after(&self, revision: Revision) -> Vec<Arc<InstanceRecord>> {
        let range = self.changes.range((Excluded(revision), Unbounded::<Revision>));
        range.map(|(_, record)| Arc::clone(record)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::record;

    fn handles(changes: &[Arc<InstanceRecord>]) -> Vec<u64> {
        changes.iter().map(|record| record.handle.get()).collect()
    }

    fn note(history: &mut History, handle: u64, replaced: Option<u64>, revision: u64) {
        history.note(replaced.map(Revision), Arc::new(record(handle, handle, revision)));
    }

    #[test]
    fn the_last_change_of_an_incarnation_wins_and_takes_its_place_in_the_order() {
        let mut history = History::starting_at(Revision(4));
        note(&mut history, 1, None, 5);
        note(&mut history, 2, None, 6);
        note(&mut history, 1, Some(5), 9);
        let (previous, changes) = history.publish(8);
        assert_eq!((previous, handles(&changes)), (Revision(4), vec![2, 1]));
        assert!(!history.has_unpublished());
        assert_eq!(history.published(), Revision(9));
    }

    #[test]
    fn who_missed_too_much_is_told_so() {
        let mut history = History::starting_at(Revision(0));
        for n in 1..=5 {
            note(&mut history, n, None, n);
        }
        history.publish(2);
        assert_eq!(history.since(Revision(2)), None, "change 3 is gone");
        assert_eq!(handles(&history.since(Revision(3)).unwrap()), [4, 5]);
        assert_eq!(handles(&history.since(Revision(5)).unwrap()), [0; 0]);
        assert_eq!(history.since(Revision(6)), None, "not of this registry's past");
    }
}
