//! Outlier ejection: who answers mostly errors gets nothing for a while, then another chance. How long
//! that is grows with each ejection, up to a limit, and shrinks again while the instance serves: the
//! back-off of Envoy's outlier detection, without its jitter.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::config::OutliersConfig;

/// What was observed of one instance.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// Which incarnation.
    pub handle: u64,
    /// Smoothed share of its failed answers, in parts per million.
    pub error_ppm: u32,
}

/// Who is ejected of one service.
#[derive(Debug, Clone, Default)]
pub struct Ejections {
    by_handle: HashMap<u64, Ejection>,
}

#[derive(Debug, Clone, Copy)]
struct Ejection {
    standing: Standing,
    /// How many `hold`s the newest ejection lasted, less what has passed in service since.
    times: u32,
}

#[derive(Debug, Clone, Copy)]
enum Standing {
    Out {
        until: Duration,
    },
    /// Readmitted; from then on the next step back counts.
    Serves {
        since: Duration,
    },
}

impl Ejection {
    /// The next one of an instance that has served since `before`, if there was one.
    fn next(config: &OutliersConfig, now: Duration, before: Option<&Self>) -> Self {
        let longest = config.max_hold.max(config.hold);
        let times = before.map_or(0, |ejection| ejection.times);
        // It does not grow beyond what counts, or it would take as long to come down again.
        let times = match config.hold.saturating_mul(times) < longest {
            true => times.saturating_add(1),
            false => times,
        };
        let hold = config.hold.saturating_mul(times).min(longest);
        Self { standing: Standing::Out { until: now.saturating_add(hold) }, times }
    }

    fn is_out(&self) -> bool {
        matches!(self.standing, Standing::Out { .. })
    }

    /// Counts one time less for each `hold` in service.
    fn decay(&mut self, hold: Duration, now: Duration) {
        if let Standing::Serves { since } = &mut self.standing {
            while self.times > 0 && now.saturating_sub(*since) >= hold {
                *since += hold;
                self.times -= 1;
            }
        }
    }
}

/// What a review has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reviewed {
    /// Handles of those that are left out from now on.
    pub ejected: Vec<u64>,
    /// Handles of those that serve again. Their statistics are to begin anew, or what was their last would count against them again.
    pub readmitted: Vec<u64>,
}

impl Ejections {
    /// Whether nobody is, or was.
    pub fn is_empty(&self) -> bool {
        self.by_handle.is_empty()
    }

    /// Whether that incarnation is left out now.
    pub fn contains(&self, handle: u64) -> bool {
        self.by_handle.get(&handle).is_some_and(Ejection::is_out)
    }

    /// How many are out.
    pub fn out(&self) -> usize {
        self.by_handle.values().filter(|one| one.is_out()).count()
    }

    /// Ejects the worst of those that are over the limit, never more than `max_percent` of all nor
    /// the last one, and readmits whose time is over. An instance that is gone is forgotten, and one
    /// that has served long enough is as if it had never been ejected.
    pub fn review(&mut self, config: &OutliersConfig, now: Duration, all: &[Observed]) -> Reviewed {
        let limit_ppm = config.errors_percent.saturating_mul(10_000);
        let readmitted = self.readmit(config, now, all);
        let most =
            (all.len() * config.max_percent as usize / 100).max(1).min(all.len().saturating_sub(1));
        let mut worst: Vec<&Observed> = all
            .iter()
            .filter(|one| limit_ppm > 0 && one.error_ppm >= limit_ppm)
            .filter(|one| !self.contains(one.handle) && !readmitted.contains(&one.handle))
            .collect();
        worst.sort_by_key(|one| (std::cmp::Reverse(one.error_ppm), one.handle));
        worst.truncate(most.saturating_sub(self.out()));
        for one in &worst {
            let ejection = Ejection::next(config, now, self.by_handle.get(&one.handle));
            self.by_handle.insert(one.handle, ejection);
        }
        let ejected = worst.into_iter().map(|one| one.handle).collect();
        Reviewed { ejected, readmitted }
    }

    fn readmit(&mut self, config: &OutliersConfig, now: Duration, all: &[Observed]) -> Vec<u64> {
        let known: HashSet<u64> = all.iter().map(|one| one.handle).collect();
        let is_off = config.errors_percent == 0;
        let mut readmitted = Vec::new();
        self.by_handle.retain(|handle, ejection| {
            if let Standing::Out { until } = ejection.standing
                && (until <= now || is_off)
                && known.contains(handle)
            {
                ejection.standing = Standing::Serves { since: now };
                readmitted.push(*handle);
            }
            ejection.decay(config.hold, now);
            known.contains(handle) && !is_off && (ejection.is_out() || ejection.times > 0)
        });
        readmitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: OutliersConfig = OutliersConfig {
        errors_percent: 50,
        hold: Duration::from_secs(10),
        max_hold: Duration::from_secs(35),
        max_percent: 34,
    };

    fn observed(errors: &[u32]) -> Vec<Observed> {
        let one = |(percent, handle): (&u32, u64)| Observed { handle, error_ppm: percent * 10_000 };
        errors.iter().zip(1..).map(one).collect()
    }

    #[test]
    fn the_worst_go_first_and_never_too_many() {
        // (errors in percent, who is ejected)
        let cases: [(&[u32], &[u64]); 6] = [
            (&[0, 49, 10], &[]),
            (&[0, 50, 10], &[2]),
            (&[60, 70, 100], &[3]),
            (&[60, 100, 100, 70, 90, 80], &[2, 3]),
            (&[100], &[]),
            (&[], &[]),
        ];
        for (errors, expected) in cases {
            let mut ejections = Ejections::default();
            let reviewed = ejections.review(&CONFIG, Duration::ZERO, &observed(errors));
            assert_eq!(reviewed.ejected, expected, "{errors:?}");
            assert!(reviewed.readmitted.is_empty());
        }
    }

    #[test]
    fn each_time_lasts_longer_and_ends_with_a_clean_sheet() {
        let at = Duration::from_secs;
        let mut ejections = Ejections::default();
        let (bad, good) = (observed(&[100, 0, 0]), observed(&[0, 0, 0]));
        assert_eq!(ejections.review(&CONFIG, at(0), &bad).ejected, [1]);
        assert_eq!(ejections.review(&CONFIG, at(9), &bad), Reviewed::default());
        let reviewed = ejections.review(&CONFIG, at(10), &bad);
        assert_eq!((reviewed.ejected, reviewed.readmitted), (vec![], vec![1]));
        assert!(!ejections.contains(1));
        assert_eq!(ejections.review(&CONFIG, at(11), &good), Reviewed::default());
        assert_eq!(ejections.review(&CONFIG, at(12), &bad).ejected, [1]);
        assert_eq!(ejections.review(&CONFIG, at(31), &bad), Reviewed::default());
        assert_eq!(ejections.review(&CONFIG, at(32), &bad).readmitted, [1]);
        // Another incarnation is another instance, and off means off.
        assert_eq!(ejections.review(&CONFIG, at(33), &bad).ejected, [1]);
        assert_eq!(ejections.review(&CONFIG, at(34), &bad[1..]), Reviewed::default());
        assert!(!ejections.contains(1));
        ejections.review(&CONFIG, at(35), &bad);
        let off = OutliersConfig { errors_percent: 0, ..CONFIG };
        assert_eq!(ejections.review(&off, at(36), &bad).readmitted, [1]);
    }

    /// Ejects one at `at`, and answers for how many seconds, looking once a second.
    fn out_for(ejections: &mut Ejections, at: u64) -> u64 {
        let (bad, good) = (observed(&[100, 0, 0]), observed(&[0, 0, 0]));
        let review = |ejections: &mut Ejections, second, all| {
            ejections.review(&CONFIG, Duration::from_secs(second), all)
        };
        assert_eq!(review(ejections, at, &bad).ejected, [1], "at {at}");
        let back =
            (at + 1..).find(|second| !review(ejections, *second, &good).readmitted.is_empty());
        back.unwrap() - at
    }

    #[test]
    fn ejections_that_follow_each_other_grow_to_the_longest_and_no_further() {
        let mut ejections = Ejections::default();
        let mut at = 0;
        for expected in [10, 20, 30, 35, 35, 35, 35, 35] {
            let held = out_for(&mut ejections, at);
            assert_eq!(held, expected, "at {at}");
            at += held + 1;
        }
        // A longest time below `hold` does not shorten that.
        let short = OutliersConfig { max_hold: Duration::ZERO, ..CONFIG };
        for _ in 0..3 {
            let next = Ejection::next(&short, Duration::ZERO, None);
            let again = Ejection::next(&short, Duration::ZERO, Some(&next));
            for one in [next, again] {
                assert!(matches!(one.standing, Standing::Out { until } if until == short.hold));
            }
        }
    }

    #[test]
    fn each_hold_in_service_takes_one_time_back_and_in_the_end_all_is_forgotten() {
        // After four ejections, the last of 35 s: seconds in service, and how long the next one is.
        let cases =
            [(1, 35), (9, 35), (10, 35), (19, 35), (20, 30), (30, 20), (40, 10), (1000, 10)];
        for (served, expected) in cases {
            let mut ejections = Ejections::default();
            let mut at = 0;
            for _ in 0..4 {
                at += out_for(&mut ejections, at) + 1;
            }
            let back = at - 1;
            let good = observed(&[0, 0, 0]);
            for second in at..back + served {
                ejections.review(&CONFIG, Duration::from_secs(second), &good);
            }
            assert_eq!(ejections.is_empty(), served > 40, "{served}");
            assert_eq!(out_for(&mut ejections, back + served), expected, "after {served} s");
        }
    }

    #[test]
    fn a_review_that_comes_late_counts_all_that_has_passed() {
        let mut ejections = Ejections::default();
        let mut at = 0;
        for _ in 0..3 {
            at += out_for(&mut ejections, at) + 1;
        }
        ejections.review(&CONFIG, Duration::from_secs(at + 25), &observed(&[0, 0, 0]));
        assert_eq!(out_for(&mut ejections, at + 26), 20);
    }

    #[test]
    fn extreme_durations_do_no_harm() {
        let config = OutliersConfig { hold: Duration::MAX, max_hold: Duration::MAX, ..CONFIG };
        let mut ejections = Ejections::default();
        let bad = observed(&[100, 0, 0]);
        assert_eq!(ejections.review(&config, Duration::MAX, &bad).ejected, [1]);
        assert_eq!(ejections.review(&config, Duration::MAX, &bad).readmitted, [1]);
    }
}
