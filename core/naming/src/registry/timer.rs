//! The registry's alarm clock: what is due when, in a fixed order. It owns no clock; whoever asks
//! says what time it is.

use std::collections::BTreeSet;
use std::time::Duration;

use skymesh_types::{Handle, ServiceName, ServiceUrl, SessionId};

/// What can be due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A session's lease or grace may have ended.
    Session(SessionId),
    /// Changes of a service have waited long enough.
    Flush(ServiceName),
    /// A held loss is to be believed after all.
    Release(Handle),
    /// Overrides of a URL may have expired.
    Override(ServiceUrl),
    /// A round of agreement is over.
    Round(ServiceName),
    /// A seat may be free.
    Office(ServiceName),
    /// The registry has recovered from its start.
    Recovered,
}

/// Armed timers. One that is no longer wanted is disarmed or found stale by its owner.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Duration, Timer)>);

impl Timers {
    pub(super) fn arm(&mut self, at: Duration, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn disarm(&mut self, at: Duration, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due at `now`.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
