//! When changes that may wait go out: at once while a service is quiet, in ever larger batches up
//! to a cap while it is busy. It decides; the registry's timers and `flush` act.

use std::time::Duration;

/// The first wait once changes follow each other. Each further busy batch doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How long after the last batch the next may go.
    wait: Duration,
    last: Option<Duration>,
    due: Option<Duration>,
}

impl Pace {
    /// When a change made at `now` is to go out; the same for all that share its batch.
    pub(super) fn due(&mut self, now: Duration) -> Duration {
        let earliest = self.last.map_or(now, |last| last + self.wait);
        *self.due.get_or_insert(earliest.max(now))
    }

    /// When the armed batch is due, if one waits.
    pub(super) const fn armed(&self) -> Option<Duration> {
        self.due
    }

    /// A batch went out that nobody heard.
    pub(super) fn rest(&mut self) {
        *self = Self::default();
    }

    /// A batch went out at `now`; the next waits at most `cap`.
    pub(super) fn sent(&mut self, now: Duration, cap: Duration) {
        let rested = self.last.is_none_or(|last| now.saturating_sub(last) > self.wait * 2);
        self.wait = if rested { FIRST_WAIT } else { (self.wait * 2).max(FIRST_WAIT) }.min(cap);
        self.last = Some(now);
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_millis(50);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_quiet_service_never_waits() {
        let mut pace = Pace::default();
        for second in 0..5 {
            let now = ms(1000 * second);
            assert_eq!(pace.due(now), now);
            pace.sent(now, CAP);
        }
    }

    #[test]
    fn a_busy_service_waits_longer_and_longer_up_to_the_cap() {
        let mut pace = Pace::default();
        let mut sent = Vec::new();
        for now in 0..300 {
            // One change per millisecond.
            if pace.due(ms(now)) <= ms(now) {
                pace.sent(ms(now), CAP);
                sent.push(now);
            }
        }
        assert_eq!(sent, [0, 5, 15, 35, 75, 125, 175, 225, 275]);
        assert_eq!(pace.due(ms(1000)), ms(325), "what waits keeps its time");
        pace.sent(ms(1000), CAP);
        assert_eq!(pace.due(ms(1001)), ms(1005), "rested, it begins anew");
    }

    #[test]
    fn a_cap_of_zero_sends_everything_at_once() {
        let mut pace = Pace::default();
        for now in 0..5 {
            assert_eq!(pace.due(ms(now)), ms(now));
            pace.sent(ms(now), Duration::ZERO);
        }
    }
}
