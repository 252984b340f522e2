//! A counter for hot paths: one cache line per thread, no atomic read-modify-write.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Threads beyond this many share shards. 64 shards of 128 bytes are 8 KiB per counter.
const SHARDS: usize = 64;

/// One counter, alone on its cache line and the neighbour that the prefetcher takes with it.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Shard(AtomicU64);

/// Counts per thread, with a plain load and store: about 1 ns, where one shared atomic costs 6 ns
/// alone and 40 ns with two threads.
///
/// Each thread sees its own sequence, from 0. Where more than 64 threads count at once, two of them
/// may share a shard and lose a step to each other: harmless for round robin, wrong for accounting.
#[derive(Debug)]
pub struct ShardedCounter {
    shards: Box<[Shard; SHARDS]>,
}

impl ShardedCounter {
    /// All shards at 0.
    pub fn new() -> Self {
        Self { shards: Box::new([const { Shard(AtomicU64::new(0)) }; SHARDS]) }
    }

    /// Adds to the thread's shard and returns what it held before. Wraps at `u64::MAX`.
    /// `thread` is [`Request::thread`](crate::Request::thread).
    #[inline]
    pub fn add(&self, thread: u32, count: u64) -> u64 {
        let shard = &self.shards[thread as usize % SHARDS].0;
        let before = shard.load(Relaxed);
        shard.store(before.wrapping_add(count), Relaxed);
        before
    }

    /// The sum of all shards, for display.
    pub fn sum(&self) -> u64 {
        self.shards.iter().fold(0u64, |sum, shard| sum.wrapping_add(shard.0.load(Relaxed)))
    }
}

impl Default for ShardedCounter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_for_themselves() {
        let counter = ShardedCounter::new();
        assert_eq!([counter.add(0, 1), counter.add(0, 1), counter.add(1, 5)], [0, 1, 0]);
        assert_eq!(counter.add(SHARDS as u32, 1), 2, "a thread beyond the shards shares the first");
        assert_eq!(counter.sum(), 8);
    }
}
