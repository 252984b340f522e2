//! What happens when, in true time. Of two things at one time the one that was put down first
//! happens first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::faults::Fault;
use crate::network::{ConnectionNumber, End};
use crate::world::NodeId;

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    /// The oldest packet on its way to that end of a connection arrives.
    Arrival(ConnectionNumber, End),
    /// A node wanted to be woken. The number is of its life.
    Wake(NodeId, u32),
    /// The store of the nameserver's life has done the oldest thing that it was asked for.
    StoreDone(u32),
    /// Something breaks or is mended.
    Fault(Fault),
    /// The world is whole from here on.
    Healed,
    /// Somebody has to lead.
    LeaderDue,
    /// Leaders have to get their writes through.
    WritesDue,
}

#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    put_down: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at: Duration, happening: Happening) {
        self.put_down += 1;
        self.heap.push(Reverse((at, self.put_down, happening)));
    }

    pub(crate) fn next(&mut self) -> Option<(Duration, Happening)> {
        self.heap.pop().map(|Reverse((at, _, happening))| (at, happening))
    }
}
