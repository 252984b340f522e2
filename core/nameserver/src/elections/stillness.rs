//! How long the registry may stand still for the answers of election plugins, all of them together. Knows no
//! clock.

use std::time::Duration;

use tokio::time::Instant;

/// How long it stands still at once: a good algorithm takes microseconds, and its thread may have to wait for
/// a core. A tenth of the shortest lease.
const GLANCE: Duration = Duration::from_millis(100);

/// It stands still for one part in so many of the time, however many elections there are: agents' keepalives
/// wait as well. Answers come later then.
const PARTS: u32 = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Stillness {
    /// As of `at`.
    left: Duration,
    at: Instant,
}

impl Stillness {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: GLANCE, at: now }
    }

    /// How long it may stand still now.
    pub(super) fn left(&mut self, now: Instant) -> Duration {
        let earned = now.saturating_duration_since(self.at) / PARTS;
        self.left = (self.left + earned).min(GLANCE);
        self.at = now;
        self.left
    }

    /// It stood still until `now`, since it was asked last how long it may.
    pub(super) fn stood(&mut self, now: Instant) {
        self.left = self.left.saturating_sub(now.saturating_duration_since(self.at));
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_waits_in_a_turn_has_one_share_and_time_brings_it_back() {
        let ms = Duration::from_millis;
        let mut now = Instant::now();
        let mut stillness = Stillness::new(now);
        let mut stood = Duration::ZERO;
        // A turn that touches so many names, each with an answer that takes 90 ms.
        for _ in 0..50 {
            let left = stillness.left(now);
            let stands = left.min(ms(90));
            now += stands;
            stood += stands;
            stillness.stood(now);
        }
        assert_eq!(stood, GLANCE);
        assert_eq!(stillness.left(now), Duration::ZERO);
        assert_eq!(stillness.left(now + ms(500)), ms(50));
        assert_eq!(stillness.left(now + ms(5000)), GLANCE, "no more than that at once");
    }
}
