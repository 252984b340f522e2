//! Going over to the next placement: once what was sent by the present one has arrived or come back, and
//! nothing more is sent by it.

use std::time::Duration;

use skymesh_naming::placement::{Epoch, Placement, PlacementInput};

use super::lines::Waiting;
use super::{Carrier, Entry};
use crate::pings::BACKLOG;

impl Carrier {
    /// Whether messages may be out by another placement than `next`.
    pub(super) fn is_newer(&self, next: &Placement) -> bool {
        let epoch = self.placement.as_ref().map_or(Epoch(0), |placement| placement.epoch);
        epoch != Epoch(0) && epoch < next.epoch
    }

    pub(super) fn begin_switch(&mut self) {
        let arrived = self.runtime.clone().arrived_or_silent(self.lines.used(), self.patience());
        self.switching.spawn(arrived);
    }

    /// How long a switch may take: what is kept meanwhile is given back when its time is over, so a part
    /// of that is left for it.
    fn patience(&self) -> Duration {
        BACKLOG.min(self.keyed.limits.time * 3 / 4)
    }

    /// Whether the next placement waits for what was sent by this one.
    pub(super) fn is_switching(&self) -> bool {
        !self.switching.is_empty()
    }

    /// All that was sent by the present placement has arrived or come back: the next one holds.
    pub(super) fn switch(&mut self) {
        let now = self.runtime.elapsed();
        // What came back before the answer is at the desk already.
        for back in self.bounced() {
            self.router.come_back(now, back, &mut self.actions);
        }
        self.perform();
        let Some(Entry::Input(PlacementInput::Placed(next))) = self.entries.pop_front() else {
            return;
        };
        // Behind those go the ones that never got out.
        for Waiting { parcel, .. } in self.lines.take_all() {
            self.router.take_back(now, parcel);
        }
        self.feed(PlacementInput::Placed(next));
    }
}

#[cfg(test)]
mod tests;
