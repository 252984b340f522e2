//! The bound on an instance's share of the requests in flight, for bounded loads. Reads statistics;
//! counts nothing of its own but when to count again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use skymesh_plugin_api::View;

/// How old the sum of all requests in flight may become while nothing is full: a pick that finds it
/// older counts again, at about 1 ns an instance.
const RECOUNT_NS: i64 = 1_000_000;

/// A count from further ahead than this is of another clock: it is taken anew.
const LAG_NS: i64 = 1_000_000_000;

/// A pick that finds its instance full counts again, but only every (instances / 8)-th such pick:
/// 8 loads a pick on average, however many instances there are.
const LOADS_PER_SPILL: u32 = 8;

/// What a table knows of the crowd: shares, and the latest count of all requests in flight.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// The part of the traffic that each instance should have, by its weight.
    shares: Box<[f64]>,
    total: AtomicU64,
    counted_ns: AtomicU64,
    spills: AtomicU32,
}

impl Crowd {
    /// The crowd of a view; `weights` as they count in the table, 0 for those who take no part.
    pub(crate) fn new(view: &View<'_>, weights: &[u32]) -> Self {
        let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let crowd = Self {
            shares: weights.iter().map(|weight| f64::from(*weight) / sum).collect(),
            total: AtomicU64::new(0),
            counted_ns: AtomicU64::new(0),
            spills: AtomicU32::new(0),
        };
        crowd.count(view);
        crowd
    }

    /// Counts again if the last count is too old. Two threads may both do it, to the same effect.
    #[inline]
    pub(crate) fn refresh(&self, view: &View<'_>, now_ns: u64) {
        // Below 0 where this thread's clock lags behind the one that counted. That is no reason to
        // count: two threads that disagree would both do it at each pick.
        let age_ns = now_ns.wrapping_sub(self.counted_ns.load(Relaxed)) as i64;
        if !(-LAG_NS..RECOUNT_NS).contains(&age_ns) {
            self.counted_ns.store(now_ns, Relaxed);
            self.count(view);
        }
    }

    /// To be told when an instance is found full: the count may be behind a growing load.
    pub(crate) fn spilled(&self, view: &View<'_>) {
        let every = (view.len() as u32 / LOADS_PER_SPILL).max(1);
        if self.spills.fetch_add(1, Relaxed).is_multiple_of(every) {
            self.count(view);
        }
    }

    /// The latest count of all requests in flight.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// How full the instance would be with one more request: up to 1 is within the bound of
    /// `factor` times its share, and one request is always within it.
    #[inline]
    pub(crate) fn fullness(&self, view: &View<'_>, index: usize, factor: f64) -> f64 {
        let room = factor * self.shares[index] * (self.total() + 1) as f64;
        (f64::from(view.stats(index).in_flight()) + 1.0) / room.ceil().max(1.0)
    }

    fn count(&self, view: &View<'_>) {
        let in_flight = |index| u64::from(view.stats(index).in_flight());
        self.total.store((0..view.len()).map(in_flight).sum(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::{Member, Roster};

    use super::*;

    #[test]
    fn a_lagging_clock_does_not_count_again() {
        const START: u64 = 5_000_000_000;
        let roster = Roster::new(vec![Member::new(1)]);
        let view = roster.view();
        // By how much the clock of the second pick differs, and whether it counts.
        let cases = [(0, false), (999_999, false), (1_000_000, true), (-1, false)];
        let far = [(-999_999_999, false), (-1_000_000_001, true)];
        for (step, counts) in cases.into_iter().chain(far) {
            let crowd = Crowd::new(view, &[100]);
            crowd.refresh(view, START);
            view.stats(0).began();
            let before = crowd.total();
            crowd.refresh(view, START.saturating_add_signed(step));
            assert_eq!(crowd.total() != before, counts, "{step}");
        }
    }
}
