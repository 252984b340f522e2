//! Electors for scripts: `config elector=highest`, or `elector=absurd`.

use skymesh_naming::election::{Ballot, Elector};
use skymesh_types::ServiceName;

/// The elector of that name.
pub(super) fn named(name: &str) -> Box<dyn Elector> {
    match name {
        "highest" => Box::new(Highest),
        "absurd" => Box::new(Absurd),
        other => panic!("no such elector: {other}"),
    }
}

/// The highest priority leads, whoever led before; the attribute `rank` goes over what a candidate
/// said when it ran. Below 0 is nobody; who drains comes last.
#[derive(Debug)]
struct Highest;

impl Elector for Highest {
    fn elect(&mut self, _: &ServiceName, ballot: &Ballot) -> Option<usize> {
        let rank = |at: &usize| {
            let one = &ballot.candidates[*at];
            let said = one.attributes.get("rank").and_then(|rank| rank.as_i64());
            (!one.draining, said.unwrap_or(one.priority), ballot.incumbent == Some(*at))
        };
        (0..ballot.candidates.len()).filter(|at| rank(at).1 >= 0).max_by_key(rank)
    }
}

/// Names nobody of the ballot.
#[derive(Debug)]
struct Absurd;

impl Elector for Absurd {
    fn elect(&mut self, _: &ServiceName, ballot: &Ballot) -> Option<usize> {
        Some(ballot.candidates.len())
    }
}
