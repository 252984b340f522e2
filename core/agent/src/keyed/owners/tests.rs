//! Shares of keys: even, the least that moves, and the same owners in every process and for ever.

use std::collections::HashMap;

use super::*;
use crate::bare;

/// A member by its instance id and what it registered with.
pub(in crate::keyed) fn member((instance, share): (u64, Share)) -> Arc<InstanceRecord> {
    let record = bare::record(&format!("app.env.room/{instance}"), 10 + instance);
    Arc::new(InstanceRecord { hash_key: share.get(), ..(*record).clone() })
}

pub(in crate::keyed) fn members(shares: &[(u64, Share)]) -> Vec<Arc<InstanceRecord>> {
    shares.iter().copied().map(member).collect()
}

/// Which instance owns each key.
fn owned(shares: &[(u64, Share)], keys: impl Iterator<Item = u64>) -> Vec<u64> {
    let members = members(shares);
    let owners = Owners::new(&members, &SelectorSlot::builtin());
    let owner = |key| members[owners.owner(key).unwrap()].url.instance.get();
    keys.map(owner).collect()
}

#[test]
fn hashed_shares_are_even_and_only_what_must_move_moves() {
    const KEYS: u64 = 30_000;
    let three: Vec<_> = [1, 2, 3].map(|n| (n, Share::hashed(n * 1000))).into();
    let before = owned(&three, 0..KEYS);
    let mut counts: HashMap<u64, u64> = HashMap::new();
    before.iter().for_each(|owner| *counts.entry(*owner).or_default() += 1);
    assert!(counts.values().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    let mut four = three;
    four.push((4, Share::hashed(4000)));
    let after = owned(&four, 0..KEYS);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert!(moved.clone().all(|(_, after)| *after == 4), "only to the new one");
    assert!((7_000..8_000).contains(&moved.count()), "a quarter");
}

#[test]
fn a_share_keeps_its_keys_whoever_has_it_and_a_second_one_stands_by() {
    let old = owned(&[(1, Share::hashed(1000)), (2, Share::hashed(2000))], 0..1000);
    let new = owned(&[(2, Share::hashed(2000)), (7, Share::hashed(1000))], 0..1000);
    let renamed: Vec<u64> = old.iter().map(|owner| if *owner == 1 { 7 } else { 2 }).collect();
    assert_eq!(new, renamed);
    let by = [(1, Share::hashed(1000)), (2, Share::hashed(2000)), (3, Share::hashed(1000))];
    assert_eq!(owned(&by, 0..1000), old);
}

#[test]
fn explicit_shares_own_what_they_say() {
    let shares = [(1, Share::up_to(1999)), (2, Share::up_to(999)), (3, Share::up_to(5000))];
    let keys = [0, 999, 1000, 1999, 2000, 5000, 5001, u64::MAX];
    let owners = owned(&shares, keys.into_iter());
    assert_eq!(owners, [2, 2, 1, 1, 3, 3, 2, 2], "above the highest bound it begins anew");
    let mut shares = shares.to_vec();
    shares.push((4, Share::hashed(1)));
    assert_eq!(owned(&shares, keys.into_iter()), [2, 2, 1, 1, 3, 3, 4, 4]);
}

#[test]
fn nobody_owns_a_key_of_nobody() {
    assert_eq!(Owners::new(&[], &SelectorSlot::builtin()).owner(1), None);
    // Neither does who is not stateful.
    let stateless = InstanceRecord { hash_key: 0, ..(*member((1, Share::hashed(1)))).clone() };
    assert_eq!(Owners::new(&[Arc::new(stateless)], &SelectorSlot::builtin()).owner(1), None);
}

/// What every process must agree on for ever: a change here moves the keys of running services.
#[test]
fn owners_are_the_same_for_ever() {
    let shares: Vec<_> = (1..=5).map(|n| (n, Share::hashed(n))).collect();
    let owners = owned(&shares, 0..16);
    assert_eq!(owners, GOLDEN);
}

const GOLDEN: [u64; 16] = [4, 2, 4, 5, 1, 1, 4, 4, 3, 1, 1, 5, 5, 2, 4, 1];
