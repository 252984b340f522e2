//! `random`: any eligible instance with equal chance. Keeps no state at all.
//!
//! # How it picks
//! The host's entropy, scaled to the number of eligible instances by one multiplication. Eligible is
//! the first of these groups that is not empty: healthy instances of weight above 0, suspect ones of
//! weight above 0, healthy ones (all drained), all. Keys and the size of the weights are ignored.
//!
//! # Cost
//! * A pick: a multiplication and one load. Nothing is written.
//! * A change of the membership: one pass over it, 4 bytes per eligible instance.
//!
//! # When not to use it
//! Where short runs must be even: after `m` picks per instance the busiest of 1000 has about
//! `m + 3.2 sqrt(m)` (use `round_robin`). Where one instance may be slow (use `quality`).
//!
//! # Configuration
//! None.

use skymesh_plugin_api::{NoConfig, PluginError, Request, Selector, View, export_plugin};

/// The selector; see the crate's documentation.
#[derive(Debug)]
pub struct Random;

impl Selector for Random {
    const ID: &'static str = "random";
    const DESCRIPTION: &'static str = "a random healthy instance";
    type Config = NoConfig;
    type Table = Box<[u32]>;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn prepare(&self, view: &View<'_>) -> Box<[u32]> {
        view.eligible()
    }

    #[inline]
    fn pick(&self, _view: &View<'_>, eligible: &Box<[u32]>, request: &Request) -> Option<usize> {
        // A 64-bit fraction times the length: even to within len / 2^64, and no division.
        let drawn = (u128::from(request.entropy()) * eligible.len() as u128) >> 64;
        eligible.get(drawn as usize).map(|&index| index as usize)
    }
}

export_plugin! { selectors: [Random] }

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::{Member, Roster};

    use super::*;

    /// Weights, and who is suspect.
    type Members = &'static [(u32, bool)];

    #[test]
    fn keeps_the_contract() {
        skymesh_plugin_api::conformance::selector::<Random>();
    }

    #[test]
    fn the_eligible_share_the_range_of_entropy_evenly() {
        let cases: [(Members, &[usize]); 5] = [
            (&[(100, false), (7, false), (100, false)], &[400, 400, 400]),
            (&[(100, true), (100, false), (100, false)], &[0, 600, 600]),
            (&[(0, false), (100, false), (100, true)], &[0, 1200, 0]),
            (&[(0, false), (100, true), (100, true)], &[0, 600, 600]),
            (&[(0, false), (0, true), (0, false)], &[600, 0, 600]),
        ];
        for (members, expected) in cases {
            let member = |(id, &(weight, suspect))| Member { weight, suspect, ..Member::new(id) };
            let roster = Roster::new((1..).zip(members).map(member).collect());
            let table = Random.prepare(roster.view());
            let mut counts = vec![0; members.len()];
            // 1200 values, evenly over all of u64.
            for step in 0..1200u64 {
                let entropy = (u64::MAX / 1200) * step + u64::MAX / 2400;
                let request = Request::new(Some(1), entropy, 0, 0);
                counts[Random.pick(roster.view(), &table, &request).unwrap()] += 1;
            }
            assert_eq!(counts, expected, "{members:?}");
        }
    }
}
