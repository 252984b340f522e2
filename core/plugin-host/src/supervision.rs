//! Counts a strategy's failures, and takes it out of service when there are too many. A good pick
//! costs one relaxed load here.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::config::QuarantineConfig;
use crate::pace::{Pace, Shown, Stopwatch};

/// What went wrong in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The plugin panicked.
    Panic,
    /// It answered an index that is none.
    OutOfView,
    /// It elected somebody who does not stand.
    NoCandidate,
    /// It took longer than that.
    Slow(Duration),
}

/// Picks are made as they are, but for samples.
const CALM: u8 = 0;
/// Every pick is timed.
const DOUBTFUL: u8 = 1;
/// Nothing is asked of the plugin any more.
const QUARANTINED: u8 = 2;

impl Failure {
    fn bit(self) -> u8 {
        match self {
            Self::Panic => 1,
            Self::OutOfView => 2,
            Self::NoCandidate => 4,
            Self::Slow(_) => 8,
        }
    }

    /// What it means to those who called; what serves instead is the strategy's.
    fn consequence(self, instead: &'static str) -> &'static str {
        match self {
            Self::Slow(_) => "its answer counts, and everybody waited for it",
            Self::Panic | Self::OutOfView | Self::NoCandidate => instead,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic => f.write_str("it panicked"),
            Self::OutOfView => f.write_str("it picked outside of the view"),
            Self::NoCandidate => f.write_str("it elected somebody who does not stand"),
            Self::Slow(budget) => write!(f, "it took longer than {budget:?}"),
        }
    }
}

/// The record of one strategy's behaviour, shared by all that call it.
#[derive(Debug)]
pub(crate) struct Supervision {
    name: String,
    /// What a failure means to those who called, for the log.
    consequence: &'static str,
    /// What quarantine means, for the log.
    quarantine: &'static str,
    /// `None`: failures are counted and nothing more.
    limits: Option<QuarantineConfig>,
    attention: AtomicU8,
    stopwatch: Stopwatch,
    late: AtomicBool,
    failures: AtomicU64,
    /// Kinds of failure that were named in the log, as bits.
    named: AtomicU8,
    /// When the last failures happened, no more of them than the limit asks for. Locked on failures only.
    recent_ns: Mutex<VecDeque<u64>>,
    /// Why it is quarantined.
    reason: OnceLock<String>,
}

impl Supervision {
    /// Of a selector: the built-in pick serves in its place, for a while or for good.
    pub(crate) fn of_selector(name: String, limits: QuarantineConfig) -> Self {
        let consequence = "the built-in pick serves instead, whenever this happens";
        let quarantine = "the built-in selector serves until a reload";
        Self::new(name, consequence, quarantine, Some(limits))
    }

    /// Of a metrics sink or trace exporter: nothing depends on it, so nothing serves in its place.
    pub(crate) fn of_sink(name: String, limits: QuarantineConfig) -> Self {
        let quarantine = "it gets nothing more until a restart";
        Self::new(name, "that batch is lost", quarantine, Some(limits))
    }

    /// Of an election algorithm: the built-in rule serves in its place, for a while or for good.
    pub(crate) fn of_election(name: String, limits: QuarantineConfig) -> Self {
        let consequence = "the built-in rule decides instead, whenever this happens";
        Self::new(name, consequence, "the built-in rule serves until a reload", Some(limits))
    }

    /// Of anything else. A codec's input comes from peers, and nothing could serve in its place:
    /// quarantine would let one bad peer cut off the good ones.
    pub(crate) fn counting(name: String) -> Self {
        Self::new(name, "that one call failed, as will any other that meets this", "", None)
    }

    fn new(
        name: String,
        consequence: &'static str,
        quarantine: &'static str,
        limits: Option<QuarantineConfig>,
    ) -> Self {
        Self {
            name,
            consequence,
            quarantine,
            limits,
            attention: AtomicU8::new(DOUBTFUL),
            stopwatch: Stopwatch::new(limits.unwrap_or_default().pick_budget),
            late: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            named: AtomicU8::new(0),
            recent_ns: Mutex::default(),
            reason: OnceLock::new(),
        }
    }

    /// When it is taken out of service; `None` for what never is.
    pub(crate) fn limits(&self) -> Option<QuarantineConfig> {
        self.limits
    }

    #[inline]
    pub(crate) fn is_quarantined(&self) -> bool {
        self.attention.load(Relaxed) == QUARANTINED
    }

    /// Whether a pick is to be made as it is, without a look at it: the one question that every good
    /// pick asks.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.attention.load(Relaxed) == CALM
    }

    /// Whether its table for the newest membership takes too long.
    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    pub(crate) fn note_late(&self, late: bool) {
        self.late.store(late, Relaxed);
    }

    /// How the picks go.
    pub(crate) fn pace(&self) -> Pace {
        self.stopwatch.pace()
    }

    /// Takes the time of one pick.
    pub(crate) fn took(&self, took: Duration, now_ns: u64) {
        match self.stopwatch.note(took) {
            Shown::Nothing => {}
            Shown::Doubt => self.attend(CALM, DOUBTFUL),
            Shown::Calm => self.attend(DOUBTFUL, CALM),
            Shown::Slow => self.failed(Failure::Slow(self.stopwatch.budget()), now_ns),
        }
    }

    /// Quarantine is never left.
    fn attend(&self, from: u8, to: u8) {
        let _ = self.attention.compare_exchange(from, to, Relaxed, Relaxed);
    }

    /// Why it is quarantined, if it is.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Counts a failure at `now_ns`. Says so in the log the first time, and again on quarantine.
    #[cold]
    pub(crate) fn failed(&self, failure: Failure, now_ns: u64) {
        self.failures.fetch_add(1, Relaxed);
        let kind = failure.bit();
        if self.named.fetch_or(kind, Relaxed) & kind == 0 {
            let consequence = failure.consequence(self.consequence);
            tracing::warn!(strategy = self.name, "{failure}: {consequence}");
        }
        let Some(limits) = self.limits else { return };
        let most = limits.failures.max(1) as usize;
        let window_ns = u64::try_from(limits.window.as_nanos()).unwrap_or(u64::MAX);
        let mut recent = self.recent_ns.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back(now_ns);
        while recent.len() > most
            || recent.front().is_some_and(|then| now_ns.saturating_sub(*then) > window_ns)
        {
            recent.pop_front();
        }
        let full = recent.len() >= most;
        drop(recent);
        if full && !self.is_quarantined() {
            let reason = format!("{failure}; quarantined after {most} failures");
            let first = self.reason.set(reason).is_ok();
            self.attention.store(QUARANTINED, Relaxed);
            if first {
                let reason = self.reason().unwrap_or_default();
                let failures = self.failures();
                tracing::error!(strategy = self.name, failures, "{reason}: {}", self.quarantine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_within_the_window_count() {
        let limits = QuarantineConfig {
            failures: 3,
            window: Duration::from_nanos(100),
            ..QuarantineConfig::default()
        };
        let supervision = Supervision::of_selector("a/b".into(), limits);
        for now in [0, 90, 195] {
            supervision.failed(Failure::Panic, now);
            assert!(!supervision.is_quarantined(), "at {now}");
        }
        supervision.failed(Failure::OutOfView, 196);
        assert!(!supervision.is_quarantined(), "the one at 90 is out of the window");
        supervision.failed(Failure::OutOfView, 197);
        assert!(supervision.is_quarantined());
        assert_eq!(supervision.failures(), 5);
        let reason = "it picked outside of the view; quarantined after 3 failures";
        assert_eq!(supervision.reason(), Some(reason));
    }

    #[test]
    fn a_limit_of_zero_means_one() {
        let limits =
            QuarantineConfig { failures: 0, window: Duration::ZERO, ..QuarantineConfig::default() };
        let supervision = Supervision::of_selector("a/b".into(), limits);
        supervision.failed(Failure::Panic, 7);
        assert!(supervision.is_quarantined());
    }
}
