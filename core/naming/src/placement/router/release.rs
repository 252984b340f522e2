//! What a router holds, and when it goes: what comes back waits for router and receiver to agree,
//! what was held for a round waits for its end, and nothing waits for ever.

use std::time::Duration;

use super::{Held, Hold, HoldLimits, KeyedRouter, RETRY, RETRY_DOUBLINGS, Wait};
use crate::placement::{Bounced, Parcel, PlacementAction, Placing, Undelivered};

impl<P: Placing, M> KeyedRouter<P, M> {
    /// A receiver sent a parcel back: it goes again once both can agree. Answers whether anything may
    /// go at once; to look at all that is held for each of many would take long.
    pub(super) fn bounced(
        &mut self,
        now: Duration,
        bounced: Bounced<M>,
        actions: &mut Vec<PlacementAction<M>>,
    ) -> bool {
        let Bounced { mut parcel, sent, known } = bounced;
        let (first, bounces) = parcel.bounced(now);
        if first + self.hold.patience() <= now {
            actions.push(PlacementAction::Undelivered(parcel, Undelivered::WrongEpoch));
            return false;
        }
        let wait = match known {
            // This router is behind.
            Some(known) if known > self.epoch() => Wait::Newer(self.epoch()),
            // It was, and has caught up since.
            Some(known) if known == self.epoch() && sent < known => Wait::Until(now),
            // The receiver is behind, or was when it answered.
            Some(_) => Wait::Until(now + RETRY * (1 << (bounces - 1).min(RETRY_DOUBLINGS))),
            None if self.epoch() > sent => Wait::Until(now),
            None => Wait::Newer(sent),
        };
        let held = Held { parcel, since: now, wait };
        self.release_at = self.release_at.into_iter().chain(self.due(&held)).min();
        self.hold.push_returned(held);
        wait == Wait::Until(now)
    }

    /// A parcel comes back while the next placement is about to be fed: it goes by that one, in its place
    /// among those that came back. As [`PlacementInput::Bounced`](crate::placement::PlacementInput::Bounced)
    /// otherwise, but nothing is sent any more by the present one.
    pub fn come_back(
        &mut self,
        now: Duration,
        bounced: Bounced<M>,
        actions: &mut Vec<PlacementAction<M>>,
    ) {
        self.bounced(now, bounced, actions);
    }

    /// A parcel that was to be sent waited for room until now, and is taken back: it goes with the next
    /// placement, behind those that came back before it. However often that happens, it is not given up.
    pub fn take_back(&mut self, now: Duration, mut parcel: Parcel<M>) {
        parcel.stayed();
        self.hold.push_returned(Held { parcel, since: now, wait: Wait::Until(now) });
        self.release_at = Some(self.release_at.map_or(now, |at| at.min(now)));
    }

    pub(super) fn release(&mut self, now: Duration, actions: &mut Vec<PlacementAction<M>>) {
        if self.hold.len() == 0 {
            return;
        }
        let mut hold = std::mem::replace(&mut self.hold, Hold::new(HoldLimits::default()));
        let (epoch, resolved) = (self.epoch(), self.placement.is_some());
        let released = hold.release(|hold, held| {
            let overdue = hold.is_overdue(held, now);
            let over = match held.wait {
                Wait::Moving | Wait::Turn => true,
                Wait::Newer(than) => epoch > than || overdue,
                Wait::Until(at) => at <= now,
            };
            let key = held.parcel.key;
            // A placement without owners may be followed by one that has some.
            over && !(resolved && self.must_hold(key)) && (overdue || self.has_owner(key))
        });
        self.hold = hold;
        for held in released {
            let Held { parcel, wait, .. } = held;
            if !resolved {
                actions.push(PlacementAction::Undelivered(parcel, Undelivered::Unresolved));
            } else if matches!(wait, Wait::Newer(than) if epoch <= than) {
                actions.push(PlacementAction::Undelivered(parcel, Undelivered::WrongEpoch));
            } else {
                self.send(parcel, actions);
            }
        }
    }

    /// When time alone lets the first parcel of its key go.
    pub(super) fn due(&self, held: &Held<M>) -> Option<Duration> {
        let patience = held.since + self.hold.patience();
        let key = held.parcel.key;
        let resolved = self.placement.is_some();
        if resolved && self.must_hold(key) {
            return None;
        }
        let no_owner = !resolved || !self.has_owner(key);
        match held.wait {
            Wait::Until(at) if no_owner => Some(at.max(patience)),
            Wait::Until(at) => Some(at),
            Wait::Newer(_) => Some(patience),
            Wait::Moving | Wait::Turn => no_owner.then_some(patience),
        }
    }

    /// Whether somebody owns a key, as far as is known.
    fn has_owner(&self, key: u64) -> bool {
        let members = self.placement.as_ref().map(|placement| &placement.members);
        members.is_some_and(|members| self.placing.owner(members, key).is_some())
    }
}
