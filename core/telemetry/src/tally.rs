//! Counters for the message path: each thread counts in words of its own, for about a nanosecond.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::thread::{SHARED, place};

/// A thread's counts, alone on a cache line. Room for eight, so `N` is at most that.
#[derive(Debug)]
#[repr(align(64))]
struct Shard<const N: usize>([AtomicU64; N]);

/// `N` counters that are moved together. Exact: no count is lost, whatever threads do.
///
/// 32 cache lines: 2 KiB for up to eight counters.
#[derive(Debug)]
pub struct Tally<const N: usize> {
    shards: Box<[Shard<N>]>,
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        let shard = |_| Shard(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { shards: (0..=SHARED).map(shard).collect() }
    }
}

impl<const N: usize> Tally<N> {
    /// Adds to each counter.
    #[inline]
    pub fn add(&self, counts: [u64; N]) {
        let place = place();
        let shard = &self.shards[place].0;
        if place == SHARED {
            for (word, count) in shard.iter().zip(counts) {
                word.fetch_add(count, Relaxed);
            }
            return;
        }
        for (word, count) in shard.iter().zip(counts) {
            // Nobody else writes this word, so there is nothing to lose between the two.
            word.store(word.load(Relaxed).wrapping_add(count), Relaxed);
        }
    }

    /// Adds to one counter: for those of which each has an owner of its own.
    #[inline]
    pub fn add_at(&self, at: usize, count: u64) {
        let place = place();
        let word = &self.shards[place].0[at];
        if place == SHARED {
            word.fetch_add(count, Relaxed);
        } else {
            word.store(word.load(Relaxed).wrapping_add(count), Relaxed);
        }
    }

    /// The counts so far. Not a moment's snapshot: threads go on counting while it sums up.
    pub fn sums(&self) -> [u64; N] {
        std::array::from_fn(|at| self.sum_at(at))
    }

    /// As [`sums`](Self::sums), of one counter.
    pub fn sum_at(&self, at: usize) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.0[at].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_lost_with_more_threads_than_places() {
        const THREADS: u64 = 80;
        const EACH: u64 = 2000;
        let tally = Tally::<2>::default();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..EACH).for_each(|_| (tally.add([1, 2]), tally.add_at(1, 1)).0));
            }
        });
        assert_eq!(tally.sums(), [THREADS * EACH, 3 * THREADS * EACH]);
    }
}
