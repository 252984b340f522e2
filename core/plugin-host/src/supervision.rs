//! Counts a strategy's failures, and takes it out of service when there are too many. A good pick
//! costs one relaxed load here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use skymesh_plugin_api::PluginKind;

use crate::config::QuarantineConfig;
use crate::failure::{self, Failure};
use crate::pace::{self, Pace, Shown, Stopwatch};

/// Calls are made as they are, but for samples.
const CALM: u8 = 0;
/// Every call is timed.
const DOUBTFUL: u8 = 1;
/// Nothing is asked of the plugin any more.
const QUARANTINED: u8 = 2;

/// On a cache line of its own: all threads read it for each pick, while samples write to what is beside.
#[derive(Debug)]
#[repr(align(64))]
struct Attention(AtomicU8);

/// What a strategy did at its end: longer than it lives itself, for the report.
pub(crate) type LastWords = Arc<Mutex<Option<String>>>;

/// The record of one strategy's behaviour, shared by all that call it.
#[derive(Debug)]
pub(crate) struct Supervision {
    attention: Attention,
    name: String,
    kind: PluginKind,
    limits: QuarantineConfig,
    stopwatch: Stopwatch,
    late: AtomicBool,
    unprepared: AtomicBool,
    /// Since when it has had a batch, or a ballot; 0 while it has none. Of sinks and elections only.
    busy_since_ns: AtomicU64,
    failures: AtomicU64,
    /// Kinds of failure that were named in the log, as bits.
    named: AtomicU8,
    /// Locked on failures only.
    record: Mutex<Record>,
    /// Why it is quarantined.
    reason: OnceLock<String>,
    last_words: OnceLock<LastWords>,
}

/// Failures that were.
#[derive(Debug, Default)]
struct Record {
    /// When the last of them happened, no more of them than the limit asks for.
    recent_ns: VecDeque<u64>,
    last: Option<(Failure, u64)>,
}

impl Supervision {
    pub(crate) fn new(kind: PluginKind, name: String, limits: QuarantineConfig) -> Self {
        let budget = match kind {
            PluginKind::Selector => limits.pick_budget,
            PluginKind::Codec => limits.codec_budget,
            PluginKind::Election => limits.election_budget,
            PluginKind::Metrics | PluginKind::Trace => limits.batch_budget,
        };
        Self {
            attention: Attention(AtomicU8::new(DOUBTFUL)),
            name,
            kind,
            limits,
            stopwatch: Stopwatch::new(budget),
            late: AtomicBool::new(false),
            unprepared: AtomicBool::new(false),
            busy_since_ns: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            named: AtomicU8::new(0),
            record: Mutex::default(),
            reason: OnceLock::new(),
            last_words: OnceLock::new(),
        }
    }

    #[inline]
    pub(crate) fn is_quarantined(&self) -> bool {
        self.attention.0.load(Relaxed) == QUARANTINED
    }

    /// Whether a call is to be made as it is, without a look at it: the one question that every good
    /// pick asks. `entropy` decides whether it is a sample.
    #[inline]
    pub(crate) fn is_calm(&self, entropy: u64) -> bool {
        self.attention.0.load(Relaxed) == CALM && !pace::is_sample(entropy)
    }

    /// Whether nobody waits for it any more: its table for the newest membership takes too long, or its word
    /// on a ballot.
    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    pub(crate) fn note_late(&self, late: bool) {
        self.late.store(late, Relaxed);
    }

    /// Whether it failed to make a table for the newest membership.
    pub(crate) fn is_unprepared(&self) -> bool {
        self.unprepared.load(Relaxed)
    }

    pub(crate) fn note_prepared(&self, prepared: bool) {
        self.unprepared.store(!prepared, Relaxed);
    }

    /// Whether to leave it where it is if it would be made the same once more: not what is quarantined, nor
    /// what hangs, for nothing but another one ends that.
    pub(crate) fn is_fit(&self, now_ns: u64) -> bool {
        !self.is_quarantined() && !self.is_late() && self.overdue(now_ns).is_none()
    }

    /// For how long it has had what it has, if that is longer than it may.
    fn overdue(&self, now_ns: u64) -> Option<Duration> {
        let since = self.busy_since_ns.load(Relaxed);
        let busy = Duration::from_nanos(now_ns.saturating_sub(since));
        (since != 0 && busy > self.budget()).then_some(busy)
    }

    /// It gets a batch or a ballot at `now_ns`.
    pub(crate) fn note_busy(&self, now_ns: u64) {
        self.busy_since_ns.store(now_ns.max(1), Relaxed);
    }

    /// It came back.
    pub(crate) fn note_idle(&self) {
        self.busy_since_ns.store(0, Relaxed);
    }

    /// How the calls go.
    pub(crate) fn pace(&self) -> Pace {
        self.stopwatch.pace()
    }

    /// How long one call may take.
    pub(crate) fn budget(&self) -> Duration {
        self.stopwatch.budget()
    }

    /// Takes the time of one of many calls: one that is slow proves nothing.
    pub(crate) fn took(&self, took: Duration, now_ns: u64) {
        match self.stopwatch.note(took) {
            Shown::Nothing => {}
            Shown::Doubt => self.attend(CALM, DOUBTFUL),
            Shown::Calm => self.attend(DOUBTFUL, CALM),
            Shown::Slow => self.failed(Failure::Slow(self.budget()), now_ns),
        }
    }

    /// Takes the time of one call that was judged by itself.
    pub(crate) fn timed(&self, took: Duration) {
        let _ = self.stopwatch.note(took);
    }

    /// Quarantine is never left.
    fn attend(&self, from: u8, to: u8) {
        let _ = self.attention.0.compare_exchange(from, to, Relaxed, Relaxed);
    }

    /// Why it is quarantined, if it is.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// What is wrong with it at `now_ns` although it is in service, if anything is.
    pub(crate) fn trouble(&self, now_ns: u64) -> Option<String> {
        if let Some(busy) = self.overdue(now_ns) {
            let (busy, budget) = (busy.as_secs_f64(), self.budget());
            let what = if self.kind == PluginKind::Election { "ballot" } else { "batch" };
            return Some(format!("it has had a {what} for {busy:.1} s, of {budget:?} that it may"));
        }
        if self.is_late() {
            return Some(self.lateness().to_owned());
        }
        if self.is_unprepared() {
            return Some(Failure::PanicInPrepare.to_string());
        }
        let (failure, then) = self.record().last?;
        let window = u128::from(now_ns.saturating_sub(then)) <= self.limits.window.as_nanos();
        window.then(|| format!("{failure}; failures so far: {}", self.failures()))
    }

    const fn lateness(&self) -> &'static str {
        match self.kind {
            PluginKind::Election => "it has not come back with a ballot",
            _ => "it has no table for the newest membership yet",
        }
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// What went wrong last, whenever that was.
    pub(crate) fn last(&self) -> Option<Failure> {
        self.record().last.map(|(failure, _)| failure)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where to say what it does at its end.
    pub(crate) fn set_last_words(&self, words: &LastWords) {
        let _ = self.last_words.set(Arc::clone(words));
    }

    pub(crate) fn say_at_parting(&self, words: &str) {
        if let Some(last) = self.last_words.get() {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(words.to_owned());
        }
    }

    /// A sink took a batch: what it failed at before and outside of the window is forgotten.
    pub(crate) fn succeeded(&self, now_ns: u64) {
        if self.failures() > 0 {
            self.forget_before(&mut self.record(), now_ns);
        }
    }

    /// Counts a failure at `now_ns`. Says so in the log the first time, and again on quarantine.
    #[cold]
    pub(crate) fn failed(&self, failure: Failure, now_ns: u64) {
        self.failures.fetch_add(1, Relaxed);
        let bit = failure.bit();
        if self.named.fetch_or(bit, Relaxed) & bit == 0 {
            let consequence = failure.consequence(self.kind);
            tracing::warn!(strategy = self.name, "{failure}: {consequence}");
        }
        let most = self.limits.failures.max(1) as usize;
        let full = {
            let mut record = self.record();
            record.last = Some((failure, now_ns));
            record.recent_ns.push_back(now_ns);
            while record.recent_ns.len() > most {
                record.recent_ns.pop_front();
            }
            // Sinks are called seldom, and slow ones even less: see `succeeded`.
            if !matches!(self.kind, PluginKind::Metrics | PluginKind::Trace) {
                self.forget_before(&mut record, now_ns);
            }
            record.recent_ns.len() >= most
        };
        // A codec's input comes from peers, and nothing could serve in its place: quarantine would let
        // one bad peer cut off the good ones.
        if full && self.kind != PluginKind::Codec && !self.is_quarantined() {
            let reason = format!("{failure}; quarantined after {most} failures");
            let first = self.reason.set(reason).is_ok();
            self.attention.0.store(QUARANTINED, Relaxed);
            if first {
                let (reason, failures) = (self.reason().unwrap_or_default(), self.failures());
                let means = failure::quarantine(self.kind);
                tracing::error!(strategy = self.name, failures, "{reason}: {means}");
            }
        }
    }

    fn forget_before(&self, record: &mut Record, now_ns: u64) {
        let window_ns = u64::try_from(self.limits.window.as_nanos()).unwrap_or(u64::MAX);
        let old = |then: &u64| now_ns.saturating_sub(*then) > window_ns;
        while record.recent_ns.front().is_some_and(old) {
            record.recent_ns.pop_front();
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
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
        let supervision = Supervision::new(PluginKind::Selector, "a/b".into(), limits);
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
        let supervision = Supervision::new(PluginKind::Selector, "a/b".into(), limits);
        supervision.failed(Failure::Panic, 7);
        assert!(supervision.is_quarantined());
    }

    #[test]
    fn a_codec_is_never_taken_out_of_service_but_shown_for_a_while() {
        let limits = QuarantineConfig {
            failures: 1,
            window: Duration::from_nanos(100),
            ..QuarantineConfig::default()
        };
        let supervision = Supervision::new(PluginKind::Codec, "a/b".into(), limits);
        for now in 10..20 {
            supervision.failed(Failure::Insatiable, now);
        }
        assert!(!supervision.is_quarantined());
        let trouble = supervision.trouble(119).unwrap();
        assert_eq!(
            trouble,
            "it asked for more space than it had said it needs; failures so far: 10"
        );
        assert_eq!(supervision.trouble(120), None, "the window is over");
    }

    #[test]
    fn one_that_is_late_is_told_by_what_it_has_not_done() {
        let cases = [
            (PluginKind::Selector, "it has no table for the newest membership yet"),
            (PluginKind::Election, "it has not come back with a ballot"),
        ];
        for (kind, said) in cases {
            let supervision = Supervision::new(kind, "a/b".into(), QuarantineConfig::default());
            supervision.note_late(true);
            assert_eq!(supervision.trouble(7).as_deref(), Some(said));
            supervision.note_late(false);
            assert_eq!(supervision.trouble(7), None);
        }
    }

    #[test]
    fn a_sink_that_only_ever_fails_is_found_however_seldom_it_is_called() {
        let limits = QuarantineConfig {
            failures: 2,
            window: Duration::from_nanos(100),
            ..QuarantineConfig::default()
        };
        let sink = || Supervision::new(PluginKind::Metrics, "a/b".into(), limits);
        let (bad, fair) = (sink(), sink());
        bad.failed(Failure::Panic, 10);
        bad.failed(Failure::Panic, 1_000_000);
        assert!(bad.is_quarantined());
        fair.failed(Failure::Panic, 10);
        fair.succeeded(1000);
        fair.failed(Failure::Panic, 1_000_000);
        assert!(!fair.is_quarantined(), "it took one well between");

        bad.note_busy(5);
        let budget_ns = u64::try_from(limits.batch_budget.as_nanos()).unwrap();
        let trouble = bad.trouble(5 + 2 * budget_ns).unwrap();
        assert_eq!(trouble, "it has had a batch for 2.0 s, of 1s that it may");
        fair.note_busy(5);
        assert!(fair.is_fit(5 + budget_ns) && !fair.is_fit(5 + 2 * budget_ns));
        fair.note_idle();
        assert!(fair.is_fit(5 + 2 * budget_ns) && !bad.is_fit(0));
        bad.note_idle();
        assert_eq!(bad.trouble(5 + 2 * budget_ns), None);
    }
}
