//! The typical round trip of a membership: the median of those that are known. Taken now and then,
//! not per pick.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use skymesh_plugin_api::View;

use crate::cost::Judge;

/// How long a median is used.
const PERIOD_NS: u64 = 250_000_000;

/// A median from further ahead than this is of another clock: it is taken anew.
const LAG_NS: i64 = 1_000_000_000;

/// How many instances it is taken of. The median of 64 is within the middle fifth of all but once
/// in a thousand times, and the pick that pays for it takes 1 to 3 us, whatever the membership.
const SAMPLE: usize = 64;

/// The latest median, and when it was taken.
#[derive(Debug, Default)]
pub(crate) struct Typical {
    /// As the bits of an `f64`, which is what a pick reckons with. 0 before the first that is known.
    rtt_ns: AtomicU64,
    /// 0 before the first.
    taken_ns: AtomicU64,
}

impl Typical {
    /// The median of the known round trips in nanoseconds, if it is not time to [take](Self::take) it.
    #[inline]
    pub(crate) fn fresh_rtt_ns(&self, now_ns: u64) -> Option<f64> {
        let taken_ns = self.taken_ns.load(Relaxed);
        // Below 0 where this thread's clock lags behind that of the one who took it. That is no
        // reason to take it: two threads that disagree would both do it at each pick.
        let age_ns = now_ns.wrapping_sub(taken_ns) as i64;
        let is_fresh = taken_ns != 0 && (-LAG_NS..PERIOD_NS as i64).contains(&age_ns);
        is_fresh.then(|| self.last_rtt_ns())
    }

    /// As it was taken last; 1 if none was known, so that the other parts of the cost decide.
    #[inline]
    pub(crate) fn last_rtt_ns(&self) -> f64 {
        f64::from_bits(self.rtt_ns.load(Relaxed)).max(1.0)
    }

    /// Takes it anew. Several threads may do it at once, each with a right result.
    pub(crate) fn take(&self, view: &View<'_>, eligible: &[u32], judge: &Judge, now_ns: u64) {
        self.taken_ns.store(now_ns.max(1), Relaxed);
        let mut known = [0u64; SAMPLE];
        let mut count = 0;
        // Evenly over the membership, from another place each time.
        let step = eligible.len().div_ceil(SAMPLE).max(1);
        let start = (now_ns / PERIOD_NS) as usize % step;
        for &index in eligible.iter().skip(start).step_by(step) {
            if let Some(rtt_ns) = judge.known_rtt_ns(view.stats(index as usize), now_ns) {
                known[count] = rtt_ns;
                count += 1;
            }
        }
        let known = &mut known[..count];
        known.sort_unstable();
        // While nothing is known the last median is better than none.
        if let Some(median) = known.get(count / 2) {
            self.rtt_ns.store((*median as f64).to_bits(), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::{Member, Roster};

    use super::*;
    use crate::config::QualityConfig;

    fn roster(rtts_ns: &[u64]) -> Roster {
        let members = (1..).zip(rtts_ns).map(|(id, rtt_ns)| {
            let member = Member::new(id);
            member.stats.set_rtt_ewma_ns(*rtt_ns);
            member
        });
        Roster::new(members.collect())
    }

    fn median_at(typical: &Typical, roster: &Roster, now_ns: u64) -> f64 {
        let eligible: Vec<u32> = (0..roster.view().len() as u32).collect();
        typical.fresh_rtt_ns(now_ns).unwrap_or_else(|| {
            let judge = Judge::new(&QualityConfig::default());
            typical.take(roster.view(), &eligible, &judge, now_ns);
            typical.last_rtt_ns()
        })
    }

    #[test]
    fn unknown_ones_do_not_count() {
        let cases: [(&[u64], f64); 6] = [
            (&[], 1.0),
            (&[0, 0], 1.0),
            (&[0, 900, 0], 900.0),
            (&[30, 10, 20], 20.0),
            (&[5, 0, 1000, 7, 0], 7.0),
            (&[10; 2000], 10.0),
        ];
        for (rtts_ns, expected) in cases {
            assert_eq!(median_at(&Typical::default(), &roster(rtts_ns), 0), expected);
        }
    }

    #[test]
    fn it_is_taken_again_after_a_period_and_kept_if_all_becomes_unknown() {
        let (typical, roster) = (Typical::default(), roster(&[100]));
        let stats = roster.view().stats(0);
        assert_eq!(median_at(&typical, &roster, 1), 100.0);
        stats.set_rtt_ewma_ns(300);
        assert_eq!(median_at(&typical, &roster, PERIOD_NS), 100.0);
        assert_eq!(median_at(&typical, &roster, PERIOD_NS + 1), 300.0);
        stats.set_rtt_ewma_ns(500);
        assert_eq!(median_at(&typical, &roster, 1), 300.0, "a thread whose clock lags");
        stats.set_rtt_ewma_ns(0);
        assert_eq!(median_at(&typical, &roster, 9 * PERIOD_NS), 300.0);
    }

    #[test]
    fn a_large_membership_is_sampled_within_bounds() {
        let rtts_ns: Vec<u64> = (1..=1000).collect();
        for turn in 0..20 {
            let median = median_at(&Typical::default(), &roster(&rtts_ns), turn * PERIOD_NS);
            assert!((400.0..=600.0).contains(&median), "{median}");
        }
    }
}
