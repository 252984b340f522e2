//! Each thread's position in the round. Positions only: who takes part is the caller's affair.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Threads beyond this many share positions. 64 positions of 128 bytes are 8 KiB per membership.
const SHARDS: usize = 64;

/// The position of a thread that has not picked yet. No view is as long.
const NOT_BEGUN: usize = usize::MAX;

/// One position, alone on its cache line and the neighbour that the prefetcher takes with it.
#[repr(align(128))]
#[derive(Debug)]
struct Shard(AtomicUsize);

/// One position per thread, moved by a plain load and store: no thread waits for another's line.
/// Two threads that share a position may lose a step to each other, which costs evenness only.
#[derive(Debug)]
pub(crate) struct Turns(Box<[Shard; SHARDS]>);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Box::new([const { Shard(AtomicUsize::new(NOT_BEGUN)) }; SHARDS]))
    }

    /// The thread's next position in a round of `len`; the first is drawn from `entropy`. 0 if
    /// `len` is 0.
    #[inline]
    pub(crate) fn next(&self, thread: u32, len: usize, entropy: u64) -> usize {
        let shard = &self.0[thread as usize % SHARDS].0;
        let mut turn = shard.load(Relaxed);
        if turn >= len {
            turn = if turn == NOT_BEGUN { scaled(entropy, len) } else { 0 };
        }
        shard.store(turn.wrapping_add(1), Relaxed);
        turn
    }
}

/// `entropy` as a number below `len` by a multiplication; 0 if `len` is 0.
fn scaled(entropy: u64, len: usize) -> usize {
    ((u128::from(entropy) * len as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_begins_anywhere_and_comes_around() {
        let turns = Turns::new();
        let round: Vec<usize> = (0..5).map(|_| turns.next(0, 3, u64::MAX)).collect();
        assert_eq!(round, [2, 0, 1, 2, 0]);
        assert_eq!(turns.next(1, 3, 0), 0, "another thread has a position of its own");
        assert_eq!(turns.next(SHARDS as u32, 3, 0), 1, "thread 64 shares the position of thread 0");
    }
}
