//! How often a route was picked, counted in words of the thread's own. Routes share the blocks of words,
//! because a block has room for eight counters and there may be many routes.

use std::sync::{Arc, Mutex, PoisonError};

use skymesh_telemetry::Tally;

/// Counters of one block: a cache line of each thread.
const ROOM: usize = 8;

type Block = Arc<Tally<ROOM>>;

/// A counter of its own in a block that it shares.
#[derive(Debug)]
pub(crate) struct Picks {
    block: Block,
    at: usize,
}

impl Picks {
    pub(crate) fn new() -> Self {
        /// The block that has room, and how many counters of it are taken.
        static OPEN: Mutex<Option<(Block, usize)>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let (block, at) = open.take().unwrap_or_default();
        if at + 1 < ROOM {
            *open = Some((Arc::clone(&block), at + 1));
        }
        Self { block, at }
    }

    /// One more.
    #[inline]
    pub(crate) fn count(&self) {
        self.block.add_at(self.at, 1);
    }

    /// The count so far.
    pub(crate) fn get(&self) -> u64 {
        self.block.sum_at(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_for_itself_on_any_thread() {
        let all: Vec<Picks> = (0..20).map(|_| Picks::new()).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for (times, picks) in all.iter().enumerate() {
                        (0..times).for_each(|_| picks.count());
                    }
                });
            }
        });
        let counts: Vec<u64> = all.iter().map(Picks::get).collect();
        assert_eq!(counts, (0..20).map(|times| 4 * times).collect::<Vec<u64>>());
    }
}
