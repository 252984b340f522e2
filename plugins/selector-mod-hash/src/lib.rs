//! `mod_hash`: the key modulo the number of instances, over the instances in the order of their ids.
//! The same key gives the same instance in every process that sees the same instances. It moves
//! nearly all keys when their number changes.
//!
//! # How it picks
//! `instances[key % n]`, where the instances are all those of the view, sorted by id. Suspect
//! and drained instances keep their place, so that two processes that doubt different instances
//! still agree. Weights are ignored. Integer keys are taken as they are: key 7 of 3 instances is
//! the second one, as in the origin (whose order was that of arrival, so its clients disagreed).
//!
//! **Without a key** there is nothing to agree on: the message goes to a random instance of the
//! first of these groups that is not empty: healthy instances of weight above 0, suspect ones of
//! weight above 0, healthy ones (all drained), all.
//!
//! # Cost
//! * A pick: two multiplications; the remainder is found without a division. Nothing is written.
//! * A change of the membership: one pass over it, for the picks without a key.
//! * Keys moved when one of n instances leaves: about (n - 1) / n of them.
//!
//! # When not to use it
//! Where keys stand for state that is dear to move, or instances come and go: use
//! `consistent_hash`. Where all keys have a common factor with n (say, multiples of 4 on 4
//! instances), all of them meet on few instances: hash them first.
//!
//! # Configuration
//! None.

mod remainder;

use skymesh_plugin_api::{NoConfig, PluginError, Request, Selector, View, export_plugin};

use crate::remainder::Divisor;

/// The selector; see the crate's documentation.
#[derive(Debug)]
pub struct ModHash;

/// What turns a key into a place, and who serves messages without one.
#[derive(Debug)]
pub struct Places {
    /// `None` for an empty view.
    count: Option<Divisor>,
    keyless: Box<[u32]>,
}

impl Selector for ModHash {
    const ID: &'static str = "mod_hash";
    const DESCRIPTION: &'static str = "the key modulo the number of instances, sorted by id";
    const DETERMINISTIC: bool = true;
    type Config = NoConfig;
    type Table = Places;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn prepare(&self, view: &View<'_>) -> Places {
        Places { count: Divisor::new(view.len() as u64), keyless: view.eligible() }
    }

    #[inline]
    fn pick(&self, _view: &View<'_>, places: &Places, request: &Request) -> Option<usize> {
        match (request.key(), &places.count) {
            (Some(key), Some(count)) => Some(count.remainder_of(key) as usize),
            (None, Some(_)) => {
                let drawn = (u128::from(request.entropy()) * places.keyless.len() as u128) >> 64;
                places.keyless.get(drawn as usize).map(|&index| index as usize)
            }
            (_, None) => None,
        }
    }
}

export_plugin! { selectors: [ModHash] }

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::{Member, Roster};

    use super::*;

    #[test]
    fn keeps_the_contract() {
        skymesh_plugin_api::conformance::selector::<ModHash>();
    }

    fn pick(members: Vec<Member>, key: Option<u64>, entropy: u64) -> Option<u64> {
        let roster = Roster::new(members);
        let table = ModHash.prepare(roster.view());
        let request = Request::new(key, entropy, entropy, entropy as u32);
        let index = ModHash.pick(roster.view(), &table, &request);
        index.map(|index| roster.view().instance(index))
    }

    fn members(ids: &[u64]) -> Vec<Member> {
        ids.iter().copied().map(Member::new).collect()
    }

    /// The origin's defect: its instances stood in the order of their arrival.
    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let cases = [(0, 3), (1, 5), (2, 9), (3, 3), (300, 3), (u64::MAX, 3), (u64::MAX - 1, 9)];
        for (key, expected) in cases {
            for arrival in [[3, 5, 9], [9, 5, 3], [5, 9, 3]] {
                assert_eq!(pick(members(&arrival), Some(key), key ^ 77), Some(expected), "{key}");
            }
        }
    }

    #[test]
    fn suspects_and_drained_instances_keep_their_place() {
        for key in 0..100 {
            let mut doubted = members(&[1, 2, 3]);
            doubted[1].suspect = true;
            doubted[2].weight = 0;
            let sound = pick(members(&[1, 2, 3]), Some(key), 1);
            assert_eq!(pick(doubted, Some(key), 2), sound, "{key}");
        }
    }

    #[test]
    fn without_a_key_the_healthy_serve_at_random() {
        let mut doubted = members(&[1, 2, 3]);
        doubted[0].suspect = true;
        let picks = [0, u64::MAX].map(|entropy| pick(doubted.clone(), None, entropy));
        assert_eq!(picks, [Some(2), Some(3)]);
        assert_eq!(pick(Vec::new(), None, 1), None);
        assert_eq!(pick(Vec::new(), Some(1), 1), None);
    }
}
