//! Many seeds, on all cores.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::oracle::Counts;
use crate::scenario::{Report, Scenario};

/// Seeds that one thread takes at a time.
const SHARE: u64 = 16;

/// What came of many seeds.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// How many were played.
    pub seeds: u64,
    /// What happened in them.
    pub counts: Counts,
    /// The lowest seeds with a violation, and the reports on them; at most 10.
    pub failures: Vec<(u64, Report)>,
}

/// Failures that are kept.
const KEPT: usize = 10;

/// Plays `seeds` on all cores, each in the scenario that `of_seed` says.
///
/// # Panics
/// If a run does.
pub fn sweep(seeds: Range<u64>, of_seed: impl Fn(u64) -> Scenario + Sync, stop: StopAt) -> Sweep {
    let next = AtomicU64::new(seeds.start);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<Sweep> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..cores).map(|_| scope.spawn(|| work(&next, seeds.end, &of_seed, stop))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a run panicked")).collect()
    });
    let mut whole = Sweep::default();
    for part in parts {
        whole.seeds += part.seeds;
        whole.counts = whole.counts.plus(part.counts);
        whole.failures.extend(part.failures);
    }
    whole.failures.sort_by_key(|(seed, _)| *seed);
    whole.failures.truncate(KEPT);
    whole
}

/// When a sweep is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopAt {
    /// With the last seed.
    End,
    /// With the first violation.
    FirstViolation,
}

fn work(next: &AtomicU64, end: u64, of_seed: &impl Fn(u64) -> Scenario, stop: StopAt) -> Sweep {
    let mut part = Sweep::default();
    loop {
        let from = next.fetch_add(SHARE, Ordering::Relaxed);
        if from >= end {
            return part;
        }
        for seed in from..end.min(from + SHARE) {
            let report = of_seed(seed).play(seed);
            part.seeds += 1;
            part.counts = part.counts.plus(report.counts);
            if report.violation.is_some() {
                part.failures.push((seed, report));
                if stop == StopAt::FirstViolation {
                    next.store(end, Ordering::Relaxed);
                    return part;
                }
            }
        }
        part.failures.truncate(KEPT);
    }
}
