//! The suite for election algorithms.

use super::tries::Tries;
use super::{Declared, Dice, check_declaration};
use crate::abi::host::{ElectionCandidate, ElectionInstance, Office, Picked};
use crate::{Election, PluginError};

/// Tests `E` with an empty configuration.
///
/// # Panics
/// If `E` breaks a promise of [`Election`].
pub fn election<E: Election>() {
    election_with::<E>("{}");
}

/// Tests `E` with the configuration `config`, a JSON object.
///
/// # Panics
/// If `E` breaks a promise of [`Election`].
pub fn election_with<E: Election>(config: &str) {
    let declared = Declared { id: E::ID, schema: E::CONFIG_SCHEMA, deterministic: false };
    check(&declared, config, &ElectionInstance::of::<E>, &mut Tries::Strict);
}

/// As [`election_with`], however instances are made.
pub(super) fn check(
    declared: &Declared<'_>,
    config: &str,
    make: &dyn Fn(&str) -> Result<ElectionInstance, PluginError>,
    tries: &mut Tries,
) {
    let id = declared.id;
    let Some(election) = check_declaration(declared, config, make, tries) else { return };
    let other = make(config).expect("the same config was accepted before");
    let mut dice = Dice(5);
    for count in [0, 1, 2, 3, 1000] {
        for _ in 0..50 {
            let ballot: Vec<_> = (1..=count).map(|n| candidate(n, &mut dice)).collect();
            let incumbent = match dice.below(3) {
                0 => None,
                1 => Some(u64::MAX - 1),
                _ => Some(1000 + dice.below(count as usize + 1) as u64),
            };
            let office = Office {
                incumbent,
                term: dice.roll(),
                now_ns: dice.roll(),
                led_for_ns: dice.roll(),
            };
            tries.of(|| check_ballot(id, [&election, &other], ballot, &office));
        }
    }
}

fn check_ballot(
    id: &str,
    [election, other]: [&ElectionInstance; 2],
    mut ballot: Vec<ElectionCandidate>,
    office: &Office,
) {
    let count = ballot.len();
    let picked = election.elect(&mut ballot, office);
    match picked {
        Picked::Panicked => panic!("{id}: panicked on a ballot of {count}"),
        Picked::OutOfView => panic!("{id}: elected nobody of a ballot of {count}"),
        Picked::Index(_) | Picked::None => {}
    }
    assert_eq!(
        picked,
        other.elect(&mut ballot, office),
        "{id}: equal ballots of {count} gave different leaders"
    );
    if let Picked::Index(index) = picked {
        let seated = Office { incumbent: Some(ballot[index].handle), led_for_ns: 0, ..*office };
        let again = election.elect(&mut ballot, &seated);
        assert_eq!(again, picked, "{id}: it takes the leadership from whom it just elected");
    }
}

fn candidate(instance: u64, dice: &mut Dice) -> ElectionCandidate {
    ElectionCandidate {
        instance,
        handle: 1000 + instance,
        attributes: match dice.below(3) {
            0 => "{}".into(),
            1 => format!(r#"{{"priority":{}}}"#, dice.roll() as i64),
            _ => r#"{"priority":"high","zone":null}"#.into(),
        },
        priority: dice.roll() as i64,
        joined: dice.roll(),
        last_heard_ago_ns: dice.roll(),
        suspect: dice.below(4) == 0,
        draining: dice.below(4) == 0,
    }
}
