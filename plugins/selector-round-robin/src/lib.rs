//! `round_robin`: every eligible instance in turn. Not for sequences across threads: each thread
//! counts for itself.
//!
//! # How it picks
//! Each thread has its own position and steps by one; it begins at a random instance, so that many
//! short-lived clients don't all begin with the same one. Eligible are the instances that are not
//! suspect and have a weight above 0; if there is none, see [`View::eligible`].
//! Keys and the size of the weights are ignored.
//!
//! # Eligible
//! The first of these that is not empty: healthy instances of weight above 0, suspect ones of
//! weight above 0, healthy ones (all drained), all.
//!
//! # Cost
//! * A pick: one load and one store on a cache line of the thread's own. No shared write, no
//!   division.
//! * A change of the membership: one pass over it, and 8 KiB for the positions. Every thread begins
//!   anew at a random instance.
//!
//! # Spread
//! Exact within each thread: after any number of picks from one membership, two eligible instances
//! differ by at most one. Threads beyond 64 share positions and may lose a step to each other.
//!
//! # When not to use it
//! Where one instance may be slow: it gets its full share until it is suspect (use `quality`).
//! Where the same key must reach the same instance (use `mod_hash` or `consistent_hash`).
//!
//! # Configuration
//! None.

mod turns;

use skymesh_plugin_api::{NoConfig, PluginError, Request, Selector, View, export_plugin};

use crate::turns::Turns;

/// The selector; see the crate's documentation.
#[derive(Debug)]
pub struct RoundRobin;

/// Who takes part, and where each thread stands.
#[derive(Debug)]
pub struct Round {
    eligible: Box<[u32]>,
    turns: Turns,
}

impl Selector for RoundRobin {
    const ID: &'static str = "round_robin";
    const DESCRIPTION: &'static str = "every healthy instance in turn, per thread";
    type Config = NoConfig;
    type Table = Round;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn prepare(&self, view: &View<'_>) -> Round {
        Round { eligible: view.eligible(), turns: Turns::new() }
    }

    #[inline]
    fn pick(&self, _view: &View<'_>, round: &Round, request: &Request) -> Option<usize> {
        let turn = round.turns.next(request.thread(), round.eligible.len(), request.entropy());
        round.eligible.get(turn).map(|&index| index as usize)
    }
}

export_plugin! { selectors: [RoundRobin] }

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::{Member, Roster};

    use super::*;

    /// Weights, and who is suspect.
    type Members = &'static [(u32, bool)];

    #[test]
    fn keeps_the_contract() {
        skymesh_plugin_api::conformance::selector::<RoundRobin>();
    }

    /// Picks of one membership: how often each instance was taken.
    fn counts(roster: &Roster, requests: impl Iterator<Item = Request>) -> Vec<usize> {
        let round = RoundRobin.prepare(roster.view());
        let mut counts = vec![0; roster.view().len()];
        for request in requests {
            counts[RoundRobin.pick(roster.view(), &round, &request).unwrap()] += 1;
        }
        counts
    }

    fn roster(members: &[(u32, bool)]) -> Roster {
        let member = |(id, &(weight, suspect))| Member { weight, suspect, ..Member::new(id) };
        Roster::new((1..).zip(members).map(member).collect())
    }

    #[test]
    fn only_the_eligible_take_turns_and_they_do_so_evenly() {
        let cases: [(Members, &[usize]); 6] = [
            (&[(100, false), (100, false), (100, false)], &[100, 100, 100]),
            (&[(1, false), (900, false), (30, false)], &[100, 100, 100]),
            (&[(100, true), (100, false), (100, false)], &[0, 150, 150]),
            (&[(0, false), (100, false), (100, true)], &[0, 300, 0]),
            (&[(0, false), (100, true), (100, true)], &[0, 150, 150]),
            (&[(0, false), (0, true), (0, false)], &[150, 0, 150]),
        ];
        for (members, expected) in cases {
            for entropy in [0, 77 << 56, u64::MAX] {
                let requests = (0..300).map(|now| Request::new(Some(now), entropy, now, 3));
                assert_eq!(counts(&roster(members), requests), expected, "{members:?}");
            }
        }
    }

    #[test]
    fn threads_that_pick_once_do_not_meet() {
        // 4 threads begin, each with its own entropy: the four quarters of 8 instances.
        let requests = (0..4u64).map(|n| Request::new(None, n << 62, 0, n as u32));
        assert_eq!(counts(&roster(&[(100, false); 8]), requests), [1, 0, 1, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn nobody_is_picked_from_nothing() {
        let nobody = Roster::new(Vec::new());
        let round = RoundRobin.prepare(nobody.view());
        assert_eq!(RoundRobin.pick(nobody.view(), &round, &Request::new(None, 5, 0, 0)), None);
    }
}
