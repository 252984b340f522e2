//! The mass-loss guard of one service: tells a crash from a fault that makes half a service look
//! dead. It decides; holding and releasing instances is the registry's work.

use std::collections::VecDeque;
use std::time::Duration;

use super::config::MassLoss;

/// Whether a loss is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The instances are gone.
    Believe,
    /// They are held as suspect.
    Hold,
}

/// Involuntary removals of one service that were believed lately.
#[derive(Debug, Default)]
pub(super) struct Losses {
    believed: VecDeque<(Duration, usize)>,
    total: usize,
}

impl Losses {
    /// Judges the loss of `lost` instances at once, while `listed` are listed, them included, of
    /// which `held` are held already.
    pub(super) fn judge(
        &mut self,
        now: Duration,
        guard: &MassLoss,
        lost: usize,
        listed: usize,
        held: usize,
    ) -> Verdict {
        self.forget_before(now.saturating_sub(guard.within));
        let gone = self.total + held + lost;
        let of = self.total + listed;
        if gone >= guard.min_instances && gone * 100 > usize::from(guard.percent) * of {
            return Verdict::Hold;
        }
        self.believed.push_back((now, lost));
        self.total += lost;
        Verdict::Believe
    }

    fn forget_before(&mut self, start: Duration) {
        while let Some(&(at, lost)) = self.believed.front()
            && at < start
        {
            self.total -= lost;
            self.believed.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn small_shares_slow_losses_and_few_instances_are_believed() {
        use Verdict::{Believe, Hold};
        /// When, lost, listed, held, verdict.
        type Step = (u64, usize, usize, usize, Verdict);
        let cases: &[(&str, &[Step])] = &[
            ("one of three", &[(0, 1, 3, 0, Believe)]),
            ("all of two", &[(0, 2, 2, 0, Believe)]),
            ("three at once", &[(0, 3, 3, 0, Hold)]),
            (
                "three of ten, one by one",
                &[
                    (0, 1, 10, 0, Believe),
                    (1, 1, 9, 0, Believe),
                    (2, 1, 8, 0, Believe),
                    (3, 1, 7, 0, Hold),
                    (4, 1, 7, 1, Hold),
                ],
            ),
            (
                "slowly",
                &[
                    (0, 3, 10, 0, Believe),
                    (31, 2, 7, 0, Believe),
                    (62, 2, 5, 0, Believe),
                    (63, 1, 3, 0, Hold),
                ],
            ),
        ];
        for (what, steps) in cases {
            let mut losses = Losses::default();
            for (second, lost, listed, held, expected) in *steps {
                let verdict =
                    losses.judge(at(*second), &MassLoss::default(), *lost, *listed, *held);
                assert_eq!(verdict, *expected, "{what}, at {second} s");
            }
        }
    }

    #[test]
    fn a_hundred_percent_turns_it_off() {
        let guard = MassLoss { percent: 100, ..MassLoss::default() };
        assert_eq!(Losses::default().judge(at(0), &guard, 50, 50, 0), Verdict::Believe);
    }
}
