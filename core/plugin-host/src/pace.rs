//! How long a selector's picks take, by samples: asking the system for the time costs more than a
//! good pick does, so most picks are not timed.
//!
//! One slow pick proves nothing, for the thread may have been taken off its core meanwhile. So a slow
//! sample begins a *round* of picks that are all timed. The selector is slow if half of them are, or if
//! more than one is and they take longer than the budget in the mean: who waits does not care whether
//! every pick is slow or every third. It begins with a round, so that one that is always slow is found at
//! its first messages.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One pick in so many is timed, a power of two. Timing costs about 50 ns: 0.2 ns for each pick.
const SAMPLE: u64 = 256;

/// How many picks a round has.
const ROUND: u32 = 8;

/// Whether a pick is one of the samples.
#[inline]
pub(crate) fn is_sample(entropy: u64) -> bool {
    entropy.is_multiple_of(SAMPLE)
}

/// What a timed pick has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing new.
    Nothing,
    /// It may be slow: the next picks are to be timed.
    Doubt,
    /// It is not slow.
    Calm,
    /// It is slow: half of a round's picks were, or its picks in the mean.
    Slow,
}

/// How a strategy's picks go; see [`SelectorSlot::pace`](crate::SelectorSlot::pace).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// Picks that were timed.
    pub samples: u64,
    /// How long they took in the mean.
    pub mean: Duration,
    /// How long the slowest of them took. It may have waited for a core.
    pub slowest: Duration,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    budget_ns: u64,
    /// Picks of the round that are to come; 0 between rounds.
    left: AtomicU32,
    /// Picks of the round that were slow.
    slow: AtomicU32,
    /// How long the round's picks took together, and the one that began it.
    round_ns: AtomicU64,
    samples: AtomicU64,
    total_ns: AtomicU64,
    slowest_ns: AtomicU64,
}

impl Stopwatch {
    /// In the middle of its first round.
    pub(crate) fn new(budget: Duration) -> Self {
        Self {
            budget_ns: u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX),
            left: AtomicU32::new(ROUND),
            slow: AtomicU32::new(0),
            round_ns: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            total_ns: AtomicU64::new(0),
            slowest_ns: AtomicU64::new(0),
        }
    }

    pub(crate) fn budget(&self) -> Duration {
        Duration::from_nanos(self.budget_ns)
    }

    /// Takes the time of one pick.
    pub(crate) fn note(&self, took: Duration) -> Shown {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.samples.fetch_add(1, Relaxed);
        self.total_ns.fetch_add(took_ns, Relaxed);
        self.slowest_ns.fetch_max(took_ns, Relaxed);
        let slow = took_ns > self.budget_ns;
        // Threads may mix up a round; then it has a pick more or less.
        let left = self.left.load(Relaxed);
        if left == 0 {
            if !slow {
                return Shown::Nothing;
            }
            // It belongs to the round: with one more that is slow, it was no accident.
            self.begin(1, took_ns);
            return Shown::Doubt;
        }
        let count = self.slow.fetch_add(u32::from(slow), Relaxed) + u32::from(slow);
        let round_ns = self.round_ns.fetch_add(took_ns, Relaxed).saturating_add(took_ns);
        self.left.store(left - 1, Relaxed);
        if left > 1 {
            return Shown::Nothing;
        }
        let long = round_ns / u64::from(ROUND) > self.budget_ns;
        if count * 2 >= ROUND || (count > 1 && long) {
            self.begin(0, 0);
            return Shown::Slow;
        }
        Shown::Calm
    }

    fn begin(&self, slow: u32, took_ns: u64) {
        self.slow.store(slow, Relaxed);
        self.round_ns.store(took_ns, Relaxed);
        self.left.store(ROUND, Relaxed);
    }

    pub(crate) fn pace(&self) -> Pace {
        let samples = self.samples.load(Relaxed);
        let mean = self.total_ns.load(Relaxed).checked_div(samples).unwrap_or(0);
        Pace {
            samples,
            mean: Duration::from_nanos(mean),
            slowest: Duration::from_nanos(self.slowest_ns.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_pick_is_none_and_a_round_of_them_is() {
        let (quick, slow) = (Duration::from_nanos(20), Duration::from_millis(50));
        let watch = Stopwatch::new(Duration::from_millis(1));
        let shown = |picks: &[Duration]| {
            let all: Vec<Shown> = picks.iter().map(|took| watch.note(*took)).collect();
            *all.last().unwrap()
        };
        // The first round, in which the thread lost its core once.
        assert_eq!(shown(&[quick, slow, quick, quick, quick, quick, quick]), Shown::Nothing);
        assert_eq!(shown(&[quick]), Shown::Calm);
        assert_eq!(shown(&[quick; 100]), Shown::Nothing);
        assert_eq!(shown(&[slow]), Shown::Doubt);
        assert_eq!(shown(&[quick; 8]), Shown::Calm);
        assert_eq!(shown(&[slow]), Shown::Doubt);
        // Slow for good: each round says so.
        assert_eq!(shown(&[slow; 8]), Shown::Slow);
        assert_eq!(shown(&[slow; 7]), Shown::Nothing);
        assert_eq!(shown(&[slow]), Shown::Slow);
        assert_eq!(watch.pace().slowest, slow);
        assert!(watch.pace().samples == 134 && watch.pace().mean > quick);
    }

    #[test]
    fn one_that_is_slow_now_and_then_is_slow() {
        let (quick, slow) = (Duration::from_nanos(20), Duration::from_millis(50));
        for every in [2, 3, 5, 8] {
            let watch = Stopwatch::new(Duration::from_millis(1));
            let picks = (1..=10_000u32).map(|at| if at % every == 0 { slow } else { quick });
            let mut found = 0;
            // Between rounds one pick in three is a sample here.
            for (at, took) in picks.enumerate() {
                if watch.left.load(Relaxed) > 0 || at % 7 < 3 {
                    found += u32::from(watch.note(took) == Shown::Slow);
                }
            }
            assert!(found >= 5, "every {every}: {found}");
        }
        // Slow ones that cost next to nothing in the mean, as where a thread loses its core.
        let watch = Stopwatch::new(Duration::from_millis(1));
        let brief = Duration::from_micros(1500);
        let round = [brief, brief, quick, quick, quick, quick, quick, quick];
        assert!(round.iter().all(|took| watch.note(*took) != Shown::Slow));
    }
}
