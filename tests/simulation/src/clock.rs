//! The clocks of the nodes: each runs at its own rate from its own zero. True time is known to the
//! simulation alone.

use std::time::Duration;

/// Parts per million: a rate of 1.
pub(crate) const TRUE_RATE_PPM: u64 = 1_000_000;

/// A node's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// What it shows when true time is zero.
    offset: Duration,
    /// Its seconds per true second, in millionths.
    rate_ppm: u64,
}

impl Clock {
    /// A clock that shows `offset` at the beginning of the world.
    pub(crate) const fn new(offset: Duration, rate_ppm: u64) -> Self {
        Self { offset, rate_ppm }
    }

    /// What it shows at a true time.
    pub(crate) fn local(&self, at: Duration) -> Duration {
        self.offset + scaled(at, self.rate_ppm, TRUE_RATE_PPM)
    }

    /// The first true time, in nanoseconds, at which it shows `local`.
    pub(crate) fn true_time(&self, local: Duration) -> Duration {
        let since = local.saturating_sub(self.offset);
        let mut at = scaled(since, TRUE_RATE_PPM, self.rate_ppm);
        while self.local(at) < local {
            at += Duration::from_nanos(1);
        }
        at
    }
}

fn scaled(time: Duration, by: u64, of: u64) -> Duration {
    let nanos = time.as_nanos() * u128::from(by) / u128::from(of);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_what_was_waited_for() {
        for rate in [700_000, 950_000, 999_999, TRUE_RATE_PPM, 1_050_000, 1_300_001] {
            let clock = Clock::new(Duration::from_millis(77), rate);
            for ms in [77, 78, 500, 12_345] {
                let local = Duration::from_millis(ms);
                let at = clock.true_time(local);
                assert!(clock.local(at) >= local);
                assert!(at.is_zero() || clock.local(at - Duration::from_nanos(2)) < local);
            }
        }
    }
}
