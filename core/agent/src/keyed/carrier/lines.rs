//! Destinations without room and the messages that wait for it, each in order; and where anything was
//! ever sent.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use skymesh_naming::InstanceRecord;
use skymesh_naming::placement::{Epoch, Parcel};
use skymesh_types::Handle;
use tokio::task::JoinSet;

use crate::keyed::Kept;
use crate::peer::{NotPosted, Route};

/// A message that waits for room at its destination.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) to: Arc<InstanceRecord>,
    pub(super) epoch: Epoch,
    pub(super) parcel: Parcel<Kept>,
    /// Sent before the round that is to settle.
    marked: bool,
}

impl Waiting {
    pub(super) fn new(to: Arc<InstanceRecord>, epoch: Epoch, parcel: Parcel<Kept>) -> Self {
        Self { to, epoch, parcel, marked: false }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    busy: HashMap<Handle, VecDeque<Waiting>>,
    /// Those of them that may have room again.
    ready: VecDeque<Handle>,
    /// One task for each of the others.
    rooms: JoinSet<Handle>,
    used: HashMap<Handle, Weak<Route>>,
}

impl Lines {
    /// Whether messages to that destination have to wait behind others.
    pub(super) fn is_busy(&self, to: Handle) -> bool {
        self.busy.contains_key(&to)
    }

    /// Behind all that wait there already.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.busy.entry(waiting.to.handle).or_default().push_back(waiting);
    }

    /// There was no room for the first one: it is tried again when there may be.
    pub(super) fn put_first(&mut self, waiting: Waiting, full: NotPosted) {
        let handle = waiting.to.handle;
        self.busy.entry(handle).or_default().push_front(waiting);
        self.rooms.spawn(async move {
            // Where that is in vain, the next attempt finds it out.
            let _ = full.passed().await;
            handle
        });
    }

    /// Waits until a destination may have room; `None` if none is waited for. Cancel safe.
    pub(super) async fn room(&mut self) -> Option<()> {
        let handle = self.rooms.join_next().await?.ok()?;
        self.ready.push_back(handle);
        Some(())
    }

    /// A destination that may have room.
    pub(super) fn next_ready(&mut self) -> Option<Handle> {
        self.ready.pop_front()
    }

    /// The first that waits for that destination. With the last one gone it is busy no more.
    pub(super) fn next(&mut self, to: Handle) -> Option<Waiting> {
        let next = self.busy.get_mut(&to)?.pop_front();
        if next.is_none() {
            self.busy.remove(&to);
        }
        next
    }

    /// All that wait, in order for each destination; none of them is busy any more.
    pub(super) fn take_all(&mut self) -> Vec<Waiting> {
        self.busy.drain().flat_map(|(_, waiting)| waiting).collect()
    }

    /// All that wait now were sent before a round.
    pub(super) fn mark(&mut self) {
        self.busy.values_mut().flatten().for_each(|waiting| waiting.marked = true);
    }

    /// Whether any of those still waits. They are the first ones of their lines.
    pub(super) fn has_marked(&self) -> bool {
        self.busy.values().any(|line| line.front().is_some_and(|first| first.marked))
    }

    pub(super) fn note_used(&mut self, route: &Arc<Route>) {
        // The newest: one that was lost and made anew is another route to the same.
        self.used.insert(route.handle, Arc::downgrade(route));
    }

    /// Everywhere that anything was sent and that is still there.
    pub(super) fn used(&mut self) -> Vec<Arc<Route>> {
        self.used.retain(|_, route| route.strong_count() > 0);
        self.used.values().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use skymesh_wire::Envelope;

    use super::*;
    use crate::bare;
    use crate::config::InboxConfig;
    use crate::peer::{LocalTarget, Target};

    #[test]
    fn a_route_that_was_made_anew_is_the_one_that_counts() {
        let (runtime, _commands) = bare::runtime();
        let route = || {
            let queue = bare::queue(&runtime, "app.env.room/1", 11, InboxConfig::default());
            let (name, meter) = (queue.name().clone(), Arc::clone(queue.meter()));
            let target = Target::Local(LocalTarget::new(queue, &runtime));
            Arc::new(Route::new(bare::handle(11), name, meter, target))
        };
        let mut lines = Lines::default();
        lines.note_used(&route());
        let anew = route();
        lines.note_used(&anew);
        assert!(matches!(&lines.used()[..], [used] if Arc::ptr_eq(used, &anew)));
    }

    #[tokio::test]
    async fn what_was_sent_before_a_round_is_marked_until_it_is_out() {
        let sender = bare::sender("app.env.guest/1", 12);
        let rooms = [11, 13].map(|id| bare::record("app.env.room/1", id));
        let waiting = |to: &Arc<InstanceRecord>| {
            let kept = Kept::of(&sender, &Envelope::default(), None);
            Waiting::new(Arc::clone(to), Epoch(1), Parcel::new(7, kept.cost(), kept))
        };
        let mut lines = Lines::default();
        lines.mark();
        rooms.iter().for_each(|room| lines.push(waiting(room)));
        assert!(!lines.has_marked(), "sent after it");
        lines.mark();
        rooms.iter().for_each(|room| lines.push(waiting(room)));
        for room in &rooms {
            let first = lines.next(room.handle).unwrap();
            lines.put_first(first, NotPosted::Broken);
            assert!(lines.has_marked(), "it is not out");
            lines.next(room.handle).unwrap();
        }
        assert!(!lines.has_marked(), "one more waits for each, sent after the round");
        assert_eq!(lines.take_all().len(), 2);
    }
}
