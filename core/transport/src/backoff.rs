//! How long to wait before dialling again. Sans-io: entropy is an argument, nothing sleeps here.

use std::time::Duration;

/// Exponential back-off with full jitter: every wait is drawn evenly from zero to a ceiling that
/// doubles with each failure. A thousand agents that lost the same nameserver come back spread out
/// over the whole span instead of in waves.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Ceilings from `base` on, doubling up to `cap`. A cap below the base holds from the start.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, ceiling: base.min(cap) }
    }

    /// The wait after one more failure; `entropy` is 64 random bits.
    pub fn next(&mut self, entropy: u64) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = ceiling.saturating_mul(2).min(self.cap);
        // entropy / 2^64 of the ceiling.
        let nanos = (ceiling.as_nanos().min(u64::MAX.into()) * u128::from(entropy)) >> 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.ceiling = self.base.min(self.cap);
    }
}

impl Default for Backoff {
    /// 50 ms, doubling up to 10 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_cap_and_start_over() {
        let mut backoff = Backoff::default();
        let mut ceiling = || backoff.next(u64::MAX).as_millis() + 1;
        let ceilings: Vec<_> = (0..10).map(|_| ceiling()).collect();
        assert_eq!(ceilings, [50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX / 2).as_millis(), 24);
        assert_eq!(backoff.next(0), Duration::ZERO);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        backoff.next(u64::MAX);
        assert!(backoff.next(u64::MAX) > Duration::from_secs(1 << 33));
    }
}
