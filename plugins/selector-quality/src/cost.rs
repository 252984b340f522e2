//! What an instance costs by its statistics, and which of two costs wins. Pure; knows no membership.

use skymesh_plugin_api::InstanceStats;

use crate::config::QualityConfig;

/// The most that the cheaper one may be preferred, to 1. It leaves the dearer one a trickle by which
/// the host sees that it has recovered: with 11 instances one message in 22 000.
const MOST_ODDS: f64 = 4096.0;

/// Lost pings in a row beyond this many make no difference.
const MOST_LOST: u32 = 10;

/// An instance is poor from this many times the typical round trip on, errors and lost pings
/// included. High, since others are drawn then: a mild difference is settled by the odds.
const POOR: f64 = 8.0;

/// Share of errors above which they no longer matter: keeps the penalty finite.
const MOST_ERRORS: f64 = 0.999;

/// What an instance costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// Round trip in nanoseconds, with the penalties for errors and lost pings. At least 1.
    pub(crate) health: f64,
    /// With the requests in flight. At least `health`.
    pub(crate) total: f64,
}

impl Cost {
    /// Whether others should be looked for. Requests in flight don't count: under load everybody
    /// has some.
    #[inline]
    pub(crate) fn is_poor(&self, typical_ns: f64) -> bool {
        self.health > typical_ns * POOR
    }
}

/// Judges by the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge {
    sharpness: u32,
    error_penalty: f64,
    stale_after_ns: u64,
}

impl Judge {
    pub(crate) fn new(config: &QualityConfig) -> Self {
        Self {
            sharpness: config.sharpness,
            error_penalty: config.error_penalty,
            stale_after_ns: config.stale_after_ms.saturating_mul(1_000_000),
        }
    }

    /// Whether the newest sample is too old to be believed. A host that does not date its samples
    /// leaves 0, which is never old; nor is a sample "from later".
    #[inline]
    fn is_stale(&self, stats: &InstanceStats, now_ns: u64) -> bool {
        let sampled_ns = stats.last_sample_ns();
        sampled_ns != 0 && now_ns.saturating_sub(sampled_ns) > self.stale_after_ns
    }

    /// The round trip in nanoseconds if it is known and fresh.
    #[inline]
    pub(crate) fn known_rtt_ns(&self, stats: &InstanceStats, now_ns: u64) -> Option<u64> {
        Some(stats.rtt_ewma_ns()).filter(|rtt_ns| *rtt_ns != 0 && !self.is_stale(stats, now_ns))
    }

    /// The cost by the statistics as they are now; `typical_ns` stands in for an unknown round
    /// trip. Lost pings and requests in flight are counted by this process, so they are never old.
    #[inline]
    pub(crate) fn cost(&self, stats: &InstanceStats, typical_ns: f64, now_ns: u64) -> Cost {
        let is_stale = self.is_stale(stats, now_ns);
        let rtt_ns = match stats.rtt_ewma_ns() {
            0 => typical_ns,
            _ if is_stale => typical_ns,
            known_ns => known_ns as f64,
        };
        let error_ppm = if is_stale { 0 } else { stats.error_ppm() };
        let penalty = if error_ppm == 0 { 1.0 } else { self.penalty(error_ppm) };
        let lost = f64::from(1u32 << stats.ping_lost_streak().min(MOST_LOST));
        let health = rtt_ns * penalty * lost;
        Cost { health, total: health * (f64::from(stats.in_flight()) + 1.0) }
    }

    /// Out of line: it divides, and most instances have no errors.
    #[cold]
    fn penalty(&self, error_ppm: u32) -> f64 {
        let errors = (f64::from(error_ppm) / 1e6).min(MOST_ERRORS);
        1.0 + self.error_penalty * errors / (1.0 - errors)
    }

    /// Whether the first of two wins, given a `coin` from 0 to 1, 1 excluded.
    #[inline]
    pub(crate) fn first_wins(&self, first: &Cost, second: &Cost, coin: f64) -> bool {
        let (first, second) = (self.sharpened(first.total), self.sharpened(second.total));
        // The odds of the first are second to first, bounded both ways.
        let first = first.max(second / MOST_ODDS).min(second * MOST_ODDS);
        coin * (first + second) < second
    }

    /// The cost to the power of the sharpness.
    #[inline]
    fn sharpened(&self, cost: f64) -> f64 {
        match self.sharpness {
            1 => cost,
            2 => cost * cost,
            3 => cost * cost * cost,
            _ => (cost * cost) * (cost * cost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(rtt_ns: u64, in_flight: u32, error_ppm: u32, lost: u32) -> InstanceStats {
        let stats = InstanceStats::new();
        stats.set_rtt_ewma_ns(rtt_ns);
        stats.set_error_ppm(error_ppm);
        stats.set_ping_lost_streak(lost);
        (0..in_flight).for_each(|_| stats.began());
        stats
    }

    fn judge() -> Judge {
        Judge::new(&QualityConfig::default())
    }

    #[test]
    fn costs() {
        let cases = [
            ("plain", stats(1000, 0, 0, 0), 1000.0),
            ("in flight", stats(1000, 4, 0, 0), 5000.0),
            ("unknown is typical", stats(0, 1, 0, 0), 14_000.0),
            ("5 % of errors double it", stats(1000, 0, 47_619, 0), 2000.0),
            ("half errors", stats(1000, 0, 500_000, 0), 21_000.0),
            ("all errors", stats(1000, 0, 1_000_000, 0), 19_981_000.0),
            ("beyond all", stats(1000, 0, u32::MAX, 0), 19_981_000.0),
            ("unknown with errors", stats(0, 0, 500_000, 0), 147_000.0),
            ("pings lost", stats(1000, 0, 0, 3), 8000.0),
            ("pings lost for long", stats(1000, 0, 0, u32::MAX), 1_024_000.0),
        ];
        for (what, stats, expected) in cases {
            let cost = judge().cost(&stats, 7000.0, 0).total;
            assert!((cost / expected - 1.0).abs() < 1e-4, "{what}: {cost}");
        }
    }

    #[test]
    fn old_samples_count_as_unknown() {
        let late = stats(1000, 0, 500_000, 0);
        late.set_last_sample_ns(5_000_000_000);
        let cases = [(0, 21_000.0), (35_000_000_000, 21_000.0), (35_000_000_001, 7000.0)];
        for (now_ns, expected) in cases {
            let cost = judge().cost(&late, 7000.0, now_ns).total;
            assert!((cost / expected - 1.0).abs() < 1e-4, "at {now_ns}: {cost}");
        }
    }

    #[test]
    fn odds_follow_the_ratio_and_end_at_4096() {
        let cost = |total| Cost { health: 1.0, total };
        // The chance of the first, with the default sharpness of 2.
        let cases = [
            (1000.0, 1000.0, 0.5),
            (1000.0, 2000.0, 0.8),
            (2000.0, 1000.0, 0.2),
            (1000.0, 10_000.0, 100.0 / 101.0),
            (1.0, 1e12, 4096.0 / 4097.0),
            (1e12, 1.0, 1.0 / 4097.0),
            (1e40, 1e40, 0.5),
        ];
        for (first, second, chance) in cases {
            let wins = |coin: f64| judge().first_wins(&cost(first), &cost(second), coin);
            assert!(wins(chance - 1e-5) && !wins(chance + 1e-5), "{first} against {second}");
        }
    }

    #[test]
    fn sharpness_is_the_power_of_the_ratio() {
        for (sharpness, odds) in [(1, 3.0), (2, 9.0), (3, 27.0), (4, 81.0)] {
            let judge = Judge::new(&QualityConfig { sharpness, ..QualityConfig::default() });
            let cost = |total| Cost { health: 1.0, total };
            let chance: f64 = odds / (1.0 + odds);
            let wins = |coin| judge.first_wins(&cost(1000.0), &cost(3000.0), coin);
            assert!(wins(chance - 1e-5) && !wins(chance + 1e-5), "sharpness {sharpness}");
        }
    }

    #[test]
    fn poor_is_bad_health_and_not_load() {
        let poor = |stats: &InstanceStats| judge().cost(stats, 1000.0, 0).is_poor(1000.0);
        assert!(!poor(&stats(1000, 500, 0, 0)) && !poor(&stats(8000, 0, 0, 0)));
        assert!(poor(&stats(8001, 0, 0, 0)) && poor(&stats(1000, 0, 500_000, 4)));
    }
}
