//! `lowest_id`: of all candidates, the one with the lowest instance id leads. Who will lead is known from who
//! stands, without asking anybody.
//!
//! # How it picks
//! The lowest id among those that do not drain, and if all do, the lowest of all. Doubted candidates come
//! after the others, but a leader whose connection is lost is not replaced for that alone: it may be back
//! within its lease, and if not, the nameserver gives its seat away.
//!
//! A candidate with a lower id than the leader's takes over as soon as it stands: the leader is revoked, and
//! the new term begins when it has stood down, or its lease is over. With `preempt = false` it waits for a
//! vacancy.
//!
//! # When not to use it
//! Where a change of leaders is dear and processes come and go: a process that is started anew and has the
//! lowest id takes over each time. Set `preempt = false`, or use `first_come`.
//!
//! # Configuration
//! `preempt`: whether a lower id takes the leadership from a higher one. Default true.

use serde::Deserialize;
use skymesh_plugin_api::{Ballot, Election, PluginError, export_plugin};

/// The algorithm; see the crate's documentation.
#[derive(Debug)]
pub struct LowestId {
    config: LowestIdConfig,
}

/// Its table in the configuration.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LowestIdConfig {
    /// Whether a lower id takes the leadership from a higher one. Default true.
    pub preempt: bool,
}

impl Default for LowestIdConfig {
    fn default() -> Self {
        Self { preempt: true }
    }
}

impl Election for LowestId {
    const ID: &'static str = "lowest_id";
    const DESCRIPTION: &'static str = "the lowest instance id leads";
    const CONFIG_SCHEMA: &'static str = r#"{"type": "object", "additionalProperties": false,
        "properties": {"preempt": {"type": "boolean", "default": true,
            "description": "a lower id takes the leadership from a higher one"}}}"#;
    type Config = LowestIdConfig;

    fn new(config: LowestIdConfig) -> Result<Self, PluginError> {
        Ok(Self { config })
    }

    fn elect(&self, ballot: &Ballot<'_>) -> Option<usize> {
        let incumbent = ballot.incumbent();
        if !self.config.preempt && incumbent.is_some() {
            return incumbent;
        }
        // Candidates come in the order of their ids, and of equals the first is meant.
        let ranked = ballot.candidates().enumerate().map(|(index, one)| {
            let doubted = one.is_suspect() && incumbent != Some(index);
            ((one.is_draining(), doubted), index)
        });
        ranked.min().map(|(_, index)| index)
    }
}

export_plugin! { elections: [LowestId] }

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::abi::host::{ElectionCandidate, ElectionInstance, Office, Picked};

    use super::*;

    /// Instance id, draining, suspect.
    type Standing = (u64, bool, bool);

    /// Config, candidates, who leads, who is elected (by id).
    type Case = (&'static str, &'static [Standing], Option<u64>, Option<u64>);

    const STAYS: &str = r#"{"preempt": false}"#;

    #[test]
    fn keeps_the_contract() {
        skymesh_plugin_api::conformance::election::<LowestId>();
        skymesh_plugin_api::conformance::election_with::<LowestId>(STAYS);
    }

    #[test]
    fn the_lowest_id_leads() {
        let cases: &[Case] = &[
            ("{}", &[], None, None),
            ("{}", &[(7, false, false), (3, false, false)], None, Some(3)),
            ("{}", &[(7, false, false), (3, false, false)], Some(7), Some(3)),
            (STAYS, &[(7, false, false), (3, false, false)], Some(7), Some(7)),
            (STAYS, &[(7, false, false), (3, false, false)], Some(9), Some(3)),
            ("{}", &[(3, true, false), (7, false, false)], Some(3), Some(7)),
            (STAYS, &[(3, true, false), (7, false, false)], Some(3), Some(3)),
            ("{}", &[(3, true, false), (7, true, false)], Some(7), Some(3)),
            ("{}", &[(3, false, true), (7, false, false)], None, Some(7)),
            ("{}", &[(3, false, true), (7, false, false)], Some(3), Some(3)),
            ("{}", &[(3, false, false), (7, false, true)], Some(7), Some(3)),
        ];
        for (config, standings, incumbent, expected) in cases {
            let election = ElectionInstance::of::<LowestId>(config).unwrap();
            let mut candidates: Vec<_> = standings.iter().map(candidate).collect();
            let office = Office { incumbent: *incumbent, ..Office::default() };
            let elected = match election.elect(&mut candidates, &office) {
                Picked::Index(index) => Some(candidates[index].instance),
                picked => {
                    assert_eq!(picked, Picked::None);
                    None
                }
            };
            assert_eq!(elected, *expected, "{config}: {standings:?}, {incumbent:?}");
        }
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        for config in [r#"{"preempt": 1}"#, r#"{"premept": true}"#] {
            assert!(ElectionInstance::of::<LowestId>(config).is_err(), "{config}");
        }
    }

    fn candidate((id, draining, suspect): &Standing) -> ElectionCandidate {
        ElectionCandidate {
            instance: *id,
            handle: *id,
            attributes: "{}".into(),
            draining: *draining,
            suspect: *suspect,
            ..ElectionCandidate::default()
        }
    }
}
