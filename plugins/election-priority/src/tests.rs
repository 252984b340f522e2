//! What `priority` promises, case by case.

use skymesh_plugin_api::abi::host::{ElectionCandidate, ElectionInstance, Office, Picked};

use super::*;

const PREEMPTS: &str = r#"{"preempt": true}"#;
const BY_RANK: &str = r#"{"preempt": true, "attribute": "rank"}"#;
const DAMPED: &str = r#"{"preempt": true, "margin": 10}"#;

#[test]
fn keeps_the_contract() {
    skymesh_plugin_api::conformance::election::<Priority>();
    for config in [PREEMPTS, BY_RANK, DAMPED, r#"{"preempt": true, "attribute": "priority"}"#] {
        skymesh_plugin_api::conformance::election_with::<Priority>(config);
    }
}

/// A candidate; the id is its place in the list.
fn standing(priority: i64) -> ElectionCandidate {
    ElectionCandidate { priority, attributes: "{}".into(), ..ElectionCandidate::default() }
}

fn of(priority: i64, attributes: &str) -> ElectionCandidate {
    ElectionCandidate { attributes: attributes.into(), ..standing(priority) }
}

fn draining(priority: i64) -> ElectionCandidate {
    ElectionCandidate { draining: true, ..standing(priority) }
}

fn suspect(priority: i64) -> ElectionCandidate {
    ElectionCandidate { suspect: true, ..standing(priority) }
}

/// Who is elected of `candidates`, by index, while the one at `incumbent` leads. They stood in the
/// order of the list, the last one first.
fn elected(
    config: &str,
    candidates: &[ElectionCandidate],
    incumbent: Option<u64>,
) -> Option<usize> {
    let mut candidates: Vec<_> = (0..)
        .zip(candidates)
        .map(|(id, one)| ElectionCandidate {
            instance: id + 1,
            handle: id,
            joined: 100 - id,
            ..one.clone()
        })
        .collect();
    let election = ElectionInstance::of::<Priority>(config).unwrap();
    match election.elect(&mut candidates, &Office { incumbent, ..Office::default() }) {
        Picked::Index(index) => Some(index),
        picked => {
            assert_eq!(picked, Picked::None);
            None
        }
    }
}

#[test]
fn the_highest_priority_takes_a_vacancy() {
    let cases = [
        (vec![], None),
        (vec![standing(1), standing(3), standing(2)], Some(1)),
        // Of equals, the one that stood first.
        (vec![standing(3), standing(3), standing(2)], Some(1)),
        (vec![standing(-2), standing(-1)], Some(1)),
        (vec![standing(1), draining(3)], Some(0)),
        (vec![standing(1), suspect(3)], Some(0)),
        (vec![suspect(1), draining(3)], Some(0)),
        (vec![draining(1), draining(3)], Some(1)),
    ];
    for (candidates, expected) in cases {
        for config in ["{}", PREEMPTS, DAMPED] {
            assert_eq!(elected(config, &candidates, None), expected, "{config}: {candidates:?}");
        }
    }
}

#[test]
fn an_incumbent_stays_unless_it_may_be_preempted() {
    // Config, candidates, who leads, who is elected.
    let cases = [
        ("{}", vec![standing(1), standing(9)], 0, 0),
        ("{}", vec![draining(1), standing(9)], 0, 0),
        (PREEMPTS, vec![standing(1), standing(2)], 0, 1),
        (PREEMPTS, vec![standing(2), standing(2)], 0, 0),
        (PREEMPTS, vec![standing(3), standing(2)], 0, 0),
        (PREEMPTS, vec![draining(9), standing(2)], 0, 1),
        (PREEMPTS, vec![standing(1), draining(9)], 0, 0),
        // Its loss is doubted: it may be back within its lease.
        (PREEMPTS, vec![suspect(3), standing(2)], 0, 0),
        (PREEMPTS, vec![suspect(1), standing(2)], 0, 1),
        (DAMPED, vec![standing(1), standing(10)], 0, 0),
        (DAMPED, vec![standing(1), standing(11)], 0, 1),
        (DAMPED, vec![draining(9), standing(2)], 0, 1),
        (DAMPED, vec![standing(i64::MIN), standing(i64::MAX)], 0, 1),
        (DAMPED, vec![standing(i64::MAX), standing(i64::MIN)], 0, 0),
    ];
    for (config, candidates, incumbent, expected) in cases {
        let elected = elected(config, &candidates, Some(incumbent));
        assert_eq!(elected, Some(expected), "{config}: {candidates:?}");
    }
}

#[test]
fn an_attribute_goes_over_what_a_candidate_stands_with() {
    let cases = [
        (vec![of(9, r#"{"rank": 1}"#), of(0, r#"{"rank": 2}"#)], 1),
        (vec![of(3, "{}"), of(9, r#"{"rank": 2}"#)], 0),
        (vec![of(3, r#"{"rank": "high"}"#), of(9, r#"{"rank": 2}"#)], 0),
        (vec![of(3, r#"{"rank": 2.5}"#), of(9, r#"{"rank": 2}"#)], 0),
        (vec![of(0, r#"{"rank": -1}"#), of(-9, r#"{"x": {"rank": 7}}"#)], 0),
    ];
    for (candidates, expected) in cases {
        assert_eq!(elected(BY_RANK, &candidates, None), Some(expected), "{candidates:?}");
    }
    let ignored = [of(9, r#"{"rank": 1}"#), of(0, r#"{"rank": 2}"#)];
    assert_eq!(elected(PREEMPTS, &ignored, None), Some(0), "no attribute is configured");
}

#[test]
fn a_wrong_configuration_is_refused_by_key() {
    let cases = [
        (r#"{"atribute": "x"}"#, "did you mean `attribute`"),
        (r#"{"attribute": 3}"#, "attribute"),
        (r#"{"attribute": ""}"#, "attribute"),
        (r#"{"preempt": "yes"}"#, "preempt"),
        (r#"{"margin": 0}"#, "margin"),
    ];
    for (config, expected) in cases {
        let error = ElectionInstance::of::<Priority>(config).unwrap_err().to_string();
        assert!(error.contains(expected), "{config}: {error}");
    }
}
