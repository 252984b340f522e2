//! What is known of one election that is watched, and who hears of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use skymesh_naming::election::Term;
use skymesh_types::{Handle, ServiceName};
use tokio::sync::watch;

use super::standing::{Leader, Standing};
use crate::inbox::{Event, Queue};

/// What all handles of a watch share.
#[derive(Debug)]
pub(crate) struct ElectionCore {
    pub(super) name: ServiceName,
    shown: watch::Sender<Standing>,
    /// What the next message to the leader goes by.
    lead: ArcSwapOption<Lead>,
    watchers: Mutex<Watchers>,
}

/// Who a message to the leader goes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(super) handle: Handle,
    /// `None` at a nameserver of protocol 1.
    pub(crate) term: Option<Term>,
}

impl Lead {
    fn of(leader: &Leader) -> Self {
        Self { handle: leader.handle, term: leader.term }
    }
}

#[derive(Debug, Default)]
struct Watchers {
    inboxes: Vec<Weak<Queue>>,
    /// The agent itself watches, not for an inbox.
    agent: bool,
    /// Instances of this agent are asked who leads.
    hints: bool,
}

impl Watchers {
    fn is_watched(&self) -> bool {
        self.agent || self.hints || !self.inboxes.is_empty()
    }
}

impl ElectionCore {
    pub(super) fn new(name: ServiceName) -> Self {
        let shown = watch::Sender::new(Standing::Loading);
        Self { name, shown, lead: ArcSwapOption::empty(), watchers: Mutex::default() }
    }

    pub(super) fn standing(&self) -> Standing {
        self.shown.borrow().clone()
    }

    pub(super) fn lead(&self) -> Option<Arc<Lead>> {
        self.lead.load_full()
    }

    /// Told whenever the standing, or who messages go to, changes.
    pub(super) fn subscribe_changes(&self) -> watch::Receiver<Standing> {
        self.shown.subscribe()
    }

    /// Shows another standing to everybody; called under the lock of the elections.
    pub(super) fn show(&self, standing: Standing) {
        if *self.shown.borrow() == standing {
            return;
        }
        self.lead.store(standing.leader().map(Lead::of).map(Arc::new));
        self.shown.send_replace(standing.clone());
        let event = Event::LeaderChanged { name: self.name.clone(), standing };
        self.watchers().inboxes.retain(|listener| {
            let Some(queue) = listener.upgrade() else { return false };
            queue.push_event(event.clone());
            true
        });
    }

    /// A receiver refused what was for the leader, and may know who leads. If that is in a newer term
    /// than is known, messages go there, and the next word of the nameserver is believed whatever it
    /// says. If it was such a hint that led to `refused_by`, it is dropped.
    pub(super) fn hint(&self, refused_by: Handle, term: Term, leader: Option<Handle>) {
        let known = self.lead.load_full();
        let newer = match known.as_deref() {
            Some(lead) => lead.term.is_some_and(|known| known < term),
            None => true,
        };
        let next = match leader {
            Some(handle) if newer => Some(Lead { handle, term: Some(term) }),
            _ if known.as_deref().is_some_and(|lead| lead.handle == refused_by) => {
                self.standing().leader().map(Lead::of)
            }
            _ => return,
        };
        if known.as_deref() != next.as_ref() {
            self.lead.store(next.map(Arc::new));
            // Who waits for a leader looks again.
            self.shown.send_modify(|_| {});
        }
    }

    pub(super) fn subscribe(&self, queue: &Arc<Queue>) {
        let mut watchers = self.watchers();
        watchers.inboxes.retain(|known| known.strong_count() > 0);
        if watchers.inboxes.iter().any(|known| known.as_ptr() == Arc::as_ptr(queue)) {
            return;
        }
        watchers.inboxes.push(Arc::downgrade(queue));
        let standing = self.standing();
        if !standing.is_loading() {
            queue.push_event(Event::LeaderChanged { name: self.name.clone(), standing });
        }
    }

    pub(super) fn watch_for_agent(&self) {
        self.watchers().agent = true;
    }

    /// An instance of this agent stands, or did.
    pub(super) fn watch_for_hints(&self) {
        self.watchers().hints = true;
    }

    /// Answers whether nobody watches any more.
    pub(super) fn unsubscribe(&self, queue: &Arc<Queue>) -> bool {
        let mut watchers = self.watchers();
        let gone = |known: &Weak<Queue>| known.as_ptr() == Arc::as_ptr(queue);
        watchers.inboxes.retain(|known| !gone(known) && known.strong_count() > 0);
        !watchers.is_watched()
    }

    pub(super) fn unwatch_for_agent(&self) -> bool {
        let mut watchers = self.watchers();
        watchers.agent = false;
        watchers.inboxes.retain(|known| known.strong_count() > 0);
        !watchers.is_watched()
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(id: u64) -> Handle {
        Handle::new(id).unwrap()
    }

    fn leads(id: u64, term: u64) -> Standing {
        let url = "app.env.room/1".parse().unwrap();
        Standing::Leads(Leader { url, handle: handle(id), term: Some(Term(term)) })
    }

    #[test]
    fn hints_of_newer_terms_are_followed_until_they_prove_wrong() {
        let core = ElectionCore::new("app.env.room".parse().unwrap());
        let lead = || core.lead().map(|lead| (lead.handle.get(), lead.term.unwrap().0));
        core.hint(handle(9), Term(1), None);
        assert_eq!(lead(), None);
        core.show(leads(1, 5));
        assert_eq!(lead(), Some((1, 5)));
        core.hint(handle(1), Term(5), Some(handle(2)));
        core.hint(handle(1), Term(4), Some(handle(2)));
        assert_eq!(lead(), Some((1, 5)), "of no newer term");
        core.hint(handle(1), Term(6), Some(handle(2)));
        assert_eq!(lead(), Some((2, 6)));
        core.hint(handle(1), Term(6), None);
        assert_eq!(lead(), Some((2, 6)), "late word of somebody else");
        core.hint(handle(2), Term(3), Some(handle(7)));
        assert_eq!(lead(), Some((1, 5)), "it was wrong");
        core.hint(handle(1), Term(8), Some(handle(3)));
        core.show(leads(2, 6));
        assert_eq!(lead(), Some((2, 6)), "the nameserver's word counts");
        core.show(leads(2, 6).stale());
        assert_eq!(lead(), Some((2, 6)));
        core.show(Standing::Nobody);
        assert_eq!(lead(), None);
    }
}
