//! What two instances cost by their statistics. Pure; knows no membership.

use skymesh_plugin_api::InstanceStats;

use crate::config::P2cConfig;

/// Lost pings in a row beyond this many make no difference.
const MOST_LOST: u32 = 10;

/// Share of errors above which they no longer matter: keeps the penalty finite.
const MOST_ERRORS: f64 = 0.999;

/// After so many half-lives without an answer a latency counts as unknown: 65 536 times faster than
/// it was measured is nothing that anybody believes.
const MOST_HALVINGS: u64 = 16;

/// An instance by its statistics, and its part of one message: see [`lightness`].
pub(crate) type Known<'a> = (&'a InstanceStats, f32);

/// What the cost of an instance is multiplied by for its weight. Kept per membership, so that a pick
/// divides by nothing. Of weight 0 are all that are compared, or none.
pub(crate) fn lightness(weight: u32) -> f32 {
    1.0 / weight.max(1) as f32
}

/// Judges by the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge {
    half_life_ns: u64,
    /// What is lost of a latency with each nanosecond of its first half-life.
    lost_per_ns: f64,
    error_penalty: f64,
}

impl Judge {
    pub(crate) fn new(config: &P2cConfig) -> Self {
        // Also where the check of the schema was passed by, as in a test.
        let half_life_ns = config.half_life_ms.saturating_mul(1_000_000).max(1);
        let lost_per_ns = 0.5 / half_life_ns as f64;
        Self { half_life_ns, lost_per_ns, error_penalty: config.error_penalty }
    }

    /// What each of two costs. Only their order means anything.
    pub(crate) fn costs(&self, two: [Known<'_>; 2], now_ns: u64) -> [f64; 2] {
        let [of_one, of_other] = self.latencies(two, now_ns);
        let [one, other] = two;
        [of_one * self.burden(one), of_other * self.burden(other)]
    }

    /// As [`costs`](Self::costs), for two that are well: both answered within the last half-life, without
    /// errors, and no ping is lost. That is nearly every pick, so it has no division, and few branches.
    #[inline]
    pub(crate) fn costs_of_well(&self, two: [Known<'_>; 2], now_ns: u64) -> Option<[f64; 2]> {
        let troubles = two.map(|(stats, _)| stats.error_ppm() | stats.ping_lost_streak());
        if troubles[0] | troubles[1] != 0 {
            return None;
        }
        let cost = |known: Known<'_>| Some(self.fresh_ns(known.0, now_ns)? * load(known));
        Some([cost(two[0])?, cost(two[1])?])
    }

    /// Latencies that may be compared: of answers if both have some, else of pings, else equal ones.
    /// So an instance that nothing is known of is neither shunned nor flooded.
    fn latencies(&self, [(one, _), (other, _)]: [Known<'_>; 2], now_ns: u64) -> [f64; 2] {
        let known = [self.latency_ns(one, now_ns), self.latency_ns(other, now_ns)];
        if let [Some(one_ns), Some(other_ns)] = known {
            return [one_ns, other_ns];
        }
        match [one.rtt_ewma_ns(), other.rtt_ewma_ns()] {
            [0, _] | [_, 0] => [1.0, 1.0],
            [one_ns, other_ns] => [one_ns as f64, other_ns as f64],
        }
    }

    /// The peak-sensitive latency, less with each half-life without an answer; in between along a
    /// straight line, which is at most 6 % off and needs no power.
    fn latency_ns(&self, stats: &InstanceStats, now_ns: u64) -> Option<f64> {
        self.fresh_ns(stats, now_ns).or_else(|| {
            let peak_ns = stats.latency_peak_ns();
            let idle_ns = now_ns.saturating_sub(stats.latency_at_ns());
            let halvings = idle_ns / self.half_life_ns;
            let left = 1.0 - (idle_ns % self.half_life_ns) as f64 * self.lost_per_ns;
            let is_known = peak_ns != 0 && halvings < MOST_HALVINGS;
            is_known.then(|| peak_ns as f64 * left / (1u64 << halvings) as f64)
        })
    }

    /// That within the first half-life.
    #[inline]
    fn fresh_ns(&self, stats: &InstanceStats, now_ns: u64) -> Option<f64> {
        let peak_ns = stats.latency_peak_ns();
        // An answer "from later" is of now: this thread's clock lags.
        let idle_ns = now_ns.saturating_sub(stats.latency_at_ns());
        let is_fresh = peak_ns != 0 && idle_ns < self.half_life_ns;
        // Idle for less than half a life it is no number that needs all 64 bits, and one with a sign is
        // converted in one instruction.
        let lost = idle_ns as i64 as f64 * self.lost_per_ns;
        is_fresh.then_some(peak_ns as f64 * (1.0 - lost))
    }

    /// All that multiplies the latency: requests in flight, errors, lost pings; less by weight.
    fn burden(&self, (stats, lightness): Known<'_>) -> f64 {
        let lost = f64::from(1u32 << stats.ping_lost_streak().min(MOST_LOST));
        self.penalty(stats.error_ppm()) * lost * load((stats, lightness))
    }

    fn penalty(&self, error_ppm: u32) -> f64 {
        let errors = (f64::from(error_ppm) / 1e6).min(MOST_ERRORS);
        1.0 + self.error_penalty * errors / (1.0 - errors)
    }
}

/// Requests in flight, with the one that is to be sent; less by weight.
#[inline]
fn load((stats, lightness): Known<'_>) -> f64 {
    (f64::from(stats.in_flight()) + 1.0) * f64::from(lightness)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Latency, when, ping, in flight, errors, lost pings.
    fn stats(
        latency: (u64, u64),
        rtt_ns: u64,
        in_flight: u32,
        ppm: u32,
        lost: u32,
    ) -> InstanceStats {
        let stats = InstanceStats::new();
        if latency.0 > 0 {
            stats.note_latency(latency.0, latency.1);
        }
        stats.set_rtt_ewma_ns(rtt_ns);
        stats.set_error_ppm(ppm);
        stats.set_ping_lost_streak(lost);
        (0..in_flight).for_each(|_| stats.began());
        stats
    }

    /// How many times as much the first costs as a plain one of latency 1000 and ping 10 that
    /// answered right now, the 100th second.
    fn against_plain(stats: &InstanceStats, weight: u32) -> f64 {
        let now_ns = 100 * SECOND;
        let plain = self::stats((1000, now_ns), 10, 0, 0, 0);
        let judge = Judge::new(&P2cConfig::default());
        let [cost, plain] =
            judge.costs([(stats, lightness(weight)), (&plain, lightness(100))], now_ns);
        cost / plain
    }

    #[test]
    fn costs() {
        let now = 100 * SECOND;
        let cases = [
            ("plain", stats((1000, now), 10, 0, 0, 0), 1.0),
            ("slower", stats((5000, now), 10, 0, 0, 0), 5.0),
            ("a near one that answers slowly", stats((5000, now), 1, 0, 0, 0), 5.0),
            ("in flight", stats((1000, now), 10, 4, 0, 0), 5.0),
            ("5 % of errors", stats((1000, now), 10, 0, 47_619, 0), 2.0),
            ("all errors", stats((1000, now), 10, 0, 1_000_000, 0), 19_981.0),
            ("beyond all", stats((1000, now), 10, 0, u32::MAX, 0), 19_981.0),
            ("pings lost", stats((1000, now), 10, 0, 0, 3), 8.0),
            ("pings lost for long", stats((1000, now), 10, 0, 0, u32::MAX), 1024.0),
            ("no answer yet: by pings", stats((0, 0), 30, 0, 0, 0), 3.0),
            ("nothing known, so alike", stats((0, 0), 0, 0, 0, 0), 1.0),
            ("nothing known, but in flight", stats((0, 0), 0, 3, 0, 0), 4.0),
            ("half a half-life ago", stats((4000, 95 * SECOND), 10, 0, 0, 0), 3.0),
            ("a half-life ago", stats((4000, 90 * SECOND), 10, 0, 0, 0), 2.0),
            ("two and a half", stats((8000, 75 * SECOND), 10, 0, 0, 0), 1.5),
            ("from later", stats((4000, 101 * SECOND), 10, 0, 0, 0), 4.0),
        ];
        for (what, stats, expected) in cases {
            let cost = against_plain(&stats, 100);
            assert!((cost / expected - 1.0).abs() < 1e-4, "{what}: {cost}");
        }
    }

    #[test]
    fn weight_divides() {
        let stats = stats((1000, 100 * SECOND), 10, 0, 0, 0);
        for (weight, expected) in [(200, 0.5), (1, 100.0), (0, 100.0)] {
            assert!((against_plain(&stats, weight) / expected - 1.0).abs() < 1e-6, "{weight}");
        }
    }

    #[test]
    fn after_16_half_lives_a_latency_is_forgotten() {
        let judge = Judge::new(&P2cConfig { half_life_ms: 1000, ..P2cConfig::default() });
        let stats = stats((1 << 40, SECOND), 0, 0, 0, 0);
        let at = |second: u64| judge.latency_ns(&stats, second * SECOND);
        assert_eq!(
            (at(1), at(2), at(16)),
            (Some(2f64.powi(40)), Some(2f64.powi(39)), Some(2f64.powi(25)))
        );
        assert_eq!(at(17), None);
        assert_eq!(at(1_000_000), None);
    }
}
