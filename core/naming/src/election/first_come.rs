//! The built-in rule, which is the origin's: an incumbent stays; on a vacancy the candidate that
//! was heard last leads.

use skymesh_types::ServiceName;

use super::{Ballot, Elector};

/// An incumbent stays; on a vacancy the candidate with the freshest heartbeat, and of equally fresh
/// ones the one that came first. Suspect and draining candidates are nobody's first choice.
#[derive(Debug, Clone, Copy, Default)]
pub struct FirstCome;

impl Elector for FirstCome {
    fn elect(&mut self, _name: &ServiceName, ballot: &Ballot) -> Option<usize> {
        ballot.incumbent.or_else(|| {
            let ranked = ballot.candidates.iter().enumerate();
            ranked
                .min_by_key(|(_, one)| (one.draining, one.suspect, one.silent_for, one.joined))
                .map(|(index, _)| index)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use skymesh_types::{Attributes, Handle, InstanceId};

    use super::*;
    use crate::election::{BallotEntry, Term};

    /// Joined, silent for, suspect.
    type Case = (u64, u64, bool);

    fn ballot(cases: &[Case], incumbent: Option<usize>) -> Ballot {
        let entry = |(at, (joined, silent, suspect)): (usize, &Case)| BallotEntry {
            instance: InstanceId::new(at as u64 + 1).unwrap(),
            handle: Handle::new(at as u64 + 11).unwrap(),
            attributes: Arc::new(Attributes::new()),
            priority: 0,
            joined: *joined,
            silent_for: Duration::from_millis(*silent),
            suspect: *suspect,
            draining: false,
        };
        Ballot {
            candidates: cases.iter().enumerate().map(entry).collect(),
            incumbent,
            term: Term(3),
            now: Duration::from_secs(9),
            led_for: Duration::ZERO,
        }
    }

    #[test]
    fn the_incumbent_stays_and_a_vacancy_goes_to_the_freshest() {
        let cases: &[(&[Case], Option<usize>, Option<usize>)] = &[
            (&[], None, None),
            (&[(1, 50, false), (2, 10, false)], None, Some(1)),
            (&[(1, 50, false), (2, 10, false)], Some(0), Some(0)),
            (&[(2, 10, false), (1, 10, false)], None, Some(1)),
            (&[(1, 50, false), (2, 10, true)], None, Some(0)),
            (&[(1, 50, true), (2, 10, true)], None, Some(1)),
        ];
        let name = "app.env.room".parse().unwrap();
        for (candidates, incumbent, expected) in cases {
            let ballot = ballot(candidates, *incumbent);
            assert_eq!(FirstCome.elect(&name, &ballot), *expected, "{candidates:?}");
        }
    }
}
