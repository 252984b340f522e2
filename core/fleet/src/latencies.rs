//! How long calls took, as a histogram of constant relative precision that can be added to others.

use std::time::Duration;

/// Bits of a number beside its highest one that tell buckets apart: 64 buckets per power of two, so
/// a bucket is at most 1.6 % wide.
const PRECISION_BITS: u32 = 6;
const PER_POWER: usize = 1 << PRECISION_BITS;
const BUCKETS: usize = (64 - PRECISION_BITS as usize + 1) * PER_POWER;

/// A histogram of latencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Latencies {
    pub(crate) fn note(&mut self, took_ns: u64) {
        self.counts[bucket(took_ns)] += 1;
        self.total += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.total += other.total;
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// What a share of all, from 0 to 1, does not exceed; 1.6 % too much at most. Zero if there are
    /// none.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        Duration::from_nanos(found.map_or(0, last_of))
    }

    /// How many took less than `limit`, to the precision of the buckets.
    pub fn below(&self, limit: Duration) -> u64 {
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.counts[..bucket(limit_ns)].iter().sum()
    }
}

/// Small numbers have a bucket each; the others share one with those of equal leading bits.
fn bucket(number: u64) -> usize {
    let bits = u64::BITS - number.leading_zeros();
    let dropped = bits.saturating_sub(PRECISION_BITS + 1);
    dropped as usize * PER_POWER + (number >> dropped) as usize
}

/// The largest number of a bucket.
fn last_of(bucket: usize) -> u64 {
    if bucket < 2 * PER_POWER {
        return bucket as u64;
    }
    let dropped = bucket / PER_POWER - 1;
    let first = ((PER_POWER + bucket % PER_POWER) as u64) << dropped;
    first + ((1 << dropped) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_narrow_and_cover_everything() {
        for number in (0..10_000).chain([1 << 40, (1 << 40) + 12_345, u64::MAX - 1, u64::MAX]) {
            let (bucket, last) = (bucket(number), last_of(bucket(number)));
            assert!(bucket < BUCKETS && last >= number, "{number}: bucket {bucket}, {last}");
            assert!(last - number <= number / 64, "{number}: {last}");
            assert_eq!(super::bucket(last), bucket, "{number}");
            if let Some(next) = last.checked_add(1) {
                assert_eq!(super::bucket(next), bucket + 1, "{number}");
            }
        }
    }

    #[test]
    fn quantiles_and_sums() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        (1..=100).for_each(|took| latencies.note(took));
        assert_eq!(latencies.quantile(0.5), Duration::from_nanos(50));
        assert_eq!(latencies.quantile(0.99), Duration::from_nanos(99));
        assert_eq!(latencies.below(Duration::from_nanos(11)), 10);
        latencies.add(&latencies.clone());
        assert_eq!((latencies.count(), latencies.below(Duration::from_nanos(11))), (200, 20));
    }
}
