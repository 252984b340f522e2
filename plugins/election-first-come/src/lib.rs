//! `first_come`: whoever leads goes on; a vacancy goes to the candidate that was heard last. The origin's
//! rule, and the one that is built into the nameserver: naming it in a configuration makes a choice
//! visible, and changes nothing.
//!
//! # How it picks
//! The incumbent, as long as it stands: also while it drains, and while its connection is lost, since it
//! may be back within its lease. On a vacancy the candidate whose agent was heard last, and of those heard
//! at one time the one that stood first. Who drains, or is doubted, comes after all others.
//!
//! # When not to use it
//! Where it matters who leads (use `priority` or `lowest_id`): after a restart of everything, this one
//! picks whoever happened to be heard last.
//!
//! # Configuration
//! None.

use skymesh_plugin_api::{Ballot, Candidate, Election, NoConfig, PluginError, export_plugin};

/// The algorithm; see the crate's documentation.
#[derive(Debug)]
pub struct FirstCome;

impl Election for FirstCome {
    const ID: &'static str = "first_come";
    const DESCRIPTION: &'static str =
        "the leader stays; a vacancy goes to the candidate that was heard last";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn elect(&self, ballot: &Ballot<'_>) -> Option<usize> {
        let first = || {
            let ranked = ballot.candidates().map(rank).enumerate();
            ranked.min_by_key(|(_, rank)| *rank).map(|(index, _)| index)
        };
        ballot.incumbent().or_else(first)
    }
}

/// Lower is better.
fn rank(one: Candidate<'_>) -> (bool, bool, u64, u64) {
    (one.is_draining(), one.is_suspect(), one.last_heard_ago_ns(), one.joined())
}

export_plugin! { elections: [FirstCome] }

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::abi::host::{ElectionCandidate, ElectionInstance, Office, Picked};

    use super::*;

    /// Heard ago, joined, draining, suspect.
    type Standing = (u64, u64, bool, bool);

    #[test]
    fn keeps_the_contract() {
        skymesh_plugin_api::conformance::election::<FirstCome>();
    }

    #[test]
    fn the_incumbent_stays_and_a_vacancy_goes_to_the_freshest() {
        const GOOD: Standing = (50, 1, false, false);
        let cases: &[(&[Standing], Option<u64>, Option<usize>)] = &[
            (&[], None, None),
            (&[GOOD, (10, 2, false, false)], None, Some(1)),
            (&[GOOD, (10, 2, false, false)], Some(1), Some(0)),
            (&[GOOD, (10, 2, false, false)], Some(9), Some(1)),
            (&[(50, 2, false, false), GOOD], None, Some(1)),
            (&[(10, 2, true, false), GOOD], None, Some(1)),
            (&[(10, 2, false, true), GOOD], None, Some(1)),
            (&[(10, 2, true, false), (50, 1, false, true)], None, Some(1)),
            (&[(10, 2, true, true), GOOD], Some(1), Some(0)),
        ];
        let election = ElectionInstance::of::<FirstCome>("{}").unwrap();
        for (standings, incumbent, expected) in cases {
            let mut candidates: Vec<_> = (1..).zip(*standings).map(candidate).collect();
            let office = Office { incumbent: *incumbent, ..Office::default() };
            let picked = election.elect(&mut candidates, &office);
            let expected = expected.map_or(Picked::None, Picked::Index);
            assert_eq!(picked, expected, "{standings:?}, {incumbent:?}");
        }
    }

    fn candidate((id, standing): (u64, &Standing)) -> ElectionCandidate {
        let (last_heard_ago_ns, joined, draining, suspect) = *standing;
        ElectionCandidate {
            instance: id,
            handle: id,
            attributes: "{}".into(),
            joined,
            last_heard_ago_ns,
            draining,
            suspect,
            ..ElectionCandidate::default()
        }
    }
}
