//! How long things take: a distribution over fixed bounds, for many threads to record in.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use skymesh_plugin_api::Bucket;

use crate::thread::place;

/// Upper bounds of the buckets in microseconds: 50 us to 10 s in steps of about 2. What takes longer
/// is in the count only. A figure between two bounds is known to be between them, no better.
pub const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Threads are spread over so many copies. Two may share one, which costs them time and no counts.
const SHARDS: usize = 8;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    sum_ns: AtomicU64,
}

/// A distribution of durations. 1.5 KiB.
#[derive(Debug, Default)]
pub struct Histogram {
    shards: [Shard; SHARDS],
}

/// What a [`Histogram`] held when it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// How many there were.
    pub count: u64,
    /// All together, in seconds.
    pub sum_seconds: f64,
    /// How many in each bucket; bounds in seconds.
    pub buckets: Vec<Bucket>,
}

impl Histogram {
    /// Records one.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
        let shard = &self.shards[place() % SHARDS];
        if let Some(bucket) = shard.buckets.get(BOUNDS_US.partition_point(|bound| *bound < micros))
        {
            bucket.fetch_add(1, Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        shard.sum_ns.fetch_add(nanos, Relaxed);
        shard.count.fetch_add(1, Relaxed);
    }

    /// What it holds.
    pub fn read(&self) -> Distribution {
        let sum = |word: &dyn Fn(&Shard) -> u64| self.shards.iter().map(word).sum::<u64>();
        let buckets = BOUNDS_US.iter().enumerate().map(|(at, bound)| Bucket {
            upper_bound: *bound as f64 / 1e6,
            count: sum(&|shard| shard.buckets[at].load(Relaxed)),
        });
        Distribution {
            buckets: buckets.collect(),
            // After the buckets, so that it is not less than they are together.
            count: sum(&|shard| shard.count.load(Relaxed)),
            sum_seconds: sum(&|shard| shard.sum_ns.load(Relaxed)) as f64 / 1e9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_whose_bound_it_does_not_pass() {
        let cases = [
            (Duration::ZERO, Some(0.00005)),
            (Duration::from_micros(50), Some(0.00005)),
            (Duration::from_nanos(50_001), Some(0.0001)),
            (Duration::from_millis(1), Some(0.001)),
            (Duration::from_secs(10), Some(10.0)),
            (Duration::from_nanos(10_000_000_001), None),
            (Duration::MAX, None),
        ];
        for (took, bound) in cases {
            let histogram = Histogram::default();
            histogram.record(took);
            let read = histogram.read();
            let hit = read.buckets.iter().find(|bucket| bucket.count == 1);
            assert_eq!((hit.map(|bucket| bucket.upper_bound), read.count), (bound, 1), "{took:?}");
        }
    }

    #[test]
    fn threads_add_up() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                let some = || (0..500).for_each(|_| histogram.record(Duration::from_millis(3)));
                scope.spawn(some);
            }
        });
        let read = histogram.read();
        assert_eq!((read.count, read.buckets[6].count), (8000, 8000));
        assert!((read.sum_seconds - 24.0).abs() < 1e-6);
    }
}
