//! Incarnations that an operator kicked off: their agents replay registrations after a reconnect
//! and would bring them back without knowing.

use std::collections::{BTreeSet, VecDeque};

use skymesh_types::Handle;

/// How many are remembered. Beyond it the oldest is forgotten, and could return if its agent missed
/// the notice for that long.
const REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Kicked {
    known: BTreeSet<Handle>,
    order: VecDeque<Handle>,
}

impl Kicked {
    pub(super) fn remember(&mut self, handle: Handle) {
        if self.known.insert(handle) {
            self.order.push_back(handle);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, handle: Handle) -> bool {
        self.known.contains(&handle)
    }
}
