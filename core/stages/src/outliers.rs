//! Outlier ejection: who answers mostly errors gets nothing for a while, then another chance.

use std::collections::HashMap;
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
    /// When it may serve again; `None` once it does.
    until: Option<Duration>,
    /// How often it was ejected: each time lasts longer.
    times: u32,
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
        self.by_handle.get(&handle).is_some_and(|one| one.until.is_some())
    }

    /// Ejects the worst of those that are over the limit, never more than `max_percent` of all nor
    /// the last one, and readmits whose time is over. An instance that is gone is forgotten.
    pub fn review(&mut self, config: &OutliersConfig, now: Duration, all: &[Observed]) -> Reviewed {
        let known: HashMap<u64, u32> = all.iter().map(|one| (one.handle, one.error_ppm)).collect();
        self.by_handle.retain(|handle, _| known.contains_key(handle));
        let mut reviewed = Reviewed::default();
        let limit_ppm = config.errors_percent.saturating_mul(10_000);
        for (handle, ejection) in &mut self.by_handle {
            let over = ejection.until.is_some_and(|until| until <= now);
            if over || limit_ppm == 0 && ejection.until.is_some() {
                ejection.until = None;
                reviewed.readmitted.push(*handle);
            }
        }
        let out = self.by_handle.values().filter(|one| one.until.is_some()).count();
        let most =
            (all.len() * config.max_percent as usize / 100).max(1).min(all.len().saturating_sub(1));
        let mut worst: Vec<&Observed> = all
            .iter()
            .filter(|one| limit_ppm > 0 && one.error_ppm >= limit_ppm)
            .filter(|one| !self.contains(one.handle) && !reviewed.readmitted.contains(&one.handle))
            .collect();
        worst.sort_by_key(|one| (std::cmp::Reverse(one.error_ppm), one.handle));
        for one in worst.into_iter().take(most.saturating_sub(out)) {
            let before = self.by_handle.get(&one.handle).map_or(0, |ejection| ejection.times);
            let times = before.saturating_add(1);
            let until = Some(now + config.hold * times);
            self.by_handle.insert(one.handle, Ejection { until, times });
            reviewed.ejected.push(one.handle);
        }
        reviewed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: OutliersConfig =
        OutliersConfig { errors_percent: 50, hold: Duration::from_secs(10), max_percent: 34 };

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
}
