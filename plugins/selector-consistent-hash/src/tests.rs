//! What the selector promises as a whole: stability for ever, minimal movement, even shares,
//! weights, and bounded loads.

use std::collections::HashSet;

use skymesh_plugin_api::{Member, Roster, conformance};

use super::*;

/// Keys per measurement: enough that chance adds little to what the table does.
const KEYS: u64 = 1 << 20;

fn selector(json: &str) -> ConsistentHash {
    let config = skymesh_plugin_api::serde_json::from_str(json).unwrap();
    ConsistentHash::new(config).unwrap()
}

fn request(key: u64) -> Request {
    Request::new(Some(key), 0, 0, 0)
}

fn members(ids: impl IntoIterator<Item = u64>) -> Vec<Member> {
    ids.into_iter().map(Member::new).collect()
}

/// The instance ids that keys from 0 on are placed on.
fn placed(selector: &ConsistentHash, members: Vec<Member>, keys: u64) -> Vec<u64> {
    let roster = Roster::new(members);
    let placement = selector.prepare(roster.view());
    let id = |key| {
        let index = selector.pick(roster.view(), &placement, &request(key)).unwrap();
        roster.view().instance(index)
    };
    (0..keys).map(id).collect()
}

/// Peak over mean, counted over instances that got something.
fn peak(placed: &[u64], instances: usize) -> f64 {
    let mut counts = std::collections::HashMap::new();
    placed.iter().for_each(|id| *counts.entry(id).or_insert(0u32) += 1);
    f64::from(counts.into_values().max().unwrap()) * instances as f64 / placed.len() as f64
}

#[test]
fn keeps_the_contract() {
    let configs = [
        "{}",
        r#"{"slots": 1024}"#,
        r#"{"slots": 1024, "suspects": "keep"}"#,
        r#"{"slots": 1024, "bounded_load": 1.25}"#,
    ];
    for config in configs {
        conformance::selector_with::<ConsistentHash>(config);
    }
}

#[test]
fn a_wrong_config_is_refused_by_name() {
    let cases = [
        (r#"{"slots": 1000}"#, "key `slots` = 1000: expected one of 1024, 2048"),
        (r#"{"bounded_load": 1}"#, "key `bounded_load` = 1: expected a number from 1.05 to 10"),
        (r#"{"suspect": "keep"}"#, "did you mean `suspects`?"),
        (r#"{"suspects": "drop"}"#, r#"expected one of "avoid", "keep""#),
    ];
    for (json, expected) in cases {
        let made = skymesh_plugin_api::abi::host::SelectorInstance::of::<ConsistentHash>(json);
        let error = made.unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
    assert_eq!(selector("{}").config, ConsistentHashConfig::default());
}

/// Pinned for ever: other answers would move the keys of every running mesh, and two versions of
/// this plugin in one mesh would disagree.
#[test]
fn these_picks_never_change() {
    let weighted = [(3, 100), (17, 50), (1 << 40, 200), (u64::MAX, 100)];
    let weighted = weighted.map(|(id, weight)| Member { weight, ..Member::new(id) });
    let cases = [
        ("{}", members(1..=5), GOLDEN_OF_FIVE),
        (r#"{"slots": 1024}"#, members(1..=1000), GOLDEN_OF_THOUSAND),
        ("{}", weighted.to_vec(), GOLDEN_OF_WEIGHTED),
    ];
    for (json, members, expected) in cases {
        let roster = Roster::new(members);
        let selector = selector(json);
        let placement = selector.prepare(roster.view());
        let keys = [0, 1, 2, 3, 1000, 0x2d06_8005_38d3_94c2, 1 << 63, u64::MAX];
        let picks = keys.map(|key| selector.pick(roster.view(), &placement, &request(key)));
        assert_eq!(picks.map(Option::unwrap), expected, "{json}");
    }
}

// Worked out by a second implementation, in Python, from the definition alone.
const GOLDEN_OF_FIVE: [usize; 8] = [2, 3, 4, 4, 3, 4, 2, 2];
const GOLDEN_OF_THOUSAND: [usize; 8] = [873, 39, 237, 344, 601, 401, 984, 414];
const GOLDEN_OF_WEIGHTED: [usize; 8] = [2, 2, 2, 2, 3, 0, 0, 0];

#[test]
fn instances_of_the_selector_made_apart_agree() {
    let mut doubted = members(1..=30);
    doubted[3].suspect = true;
    doubted[9].weight = 0;
    for members in [members(1..=30), doubted, members([u64::MAX])] {
        let [one, other] = [(); 2].map(|()| selector(r#"{"slots": 16384}"#));
        assert_eq!(placed(&one, members.clone(), 5000), placed(&other, members, 5000));
    }
    let [forward, backward] = [members(1..=30), members((1..=30).rev())]
        .map(|members| placed(&selector(r#"{"slots": 16384}"#), members, 5000));
    assert_eq!(forward, backward, "the order of arrival must not matter");
}

#[test]
fn one_of_a_hundred_leaves_and_only_its_keys_move() {
    let selector = selector("{}");
    let before = placed(&selector, members(1..=100), KEYS);
    assert!(peak(&before, 100) <= 1.05, "{}", peak(&before, 100));
    for leaver in [1, 37, 100] {
        let after = placed(&selector, members((1..=100).filter(|id| *id != leaver)), KEYS);
        let moved = before.iter().zip(&after).filter(|(old, new)| old != new).count();
        assert!(moved as f64 <= 0.011 * KEYS as f64, "{leaver}: {moved} of {KEYS}");
        let strays = before.iter().zip(&after).find(|(old, new)| old != new && **old != leaver);
        assert_eq!(strays, None, "a key of another instance moved");
        assert!(peak(&after, 99) <= 1.05, "{}", peak(&after, 99));
    }
}

#[test]
fn a_change_of_one_instance_moves_keys_to_or_from_it_only() {
    let selector = selector(r#"{"slots": 16384}"#);
    let heavier = |id: u64, weight| {
        let mut members = members(1..=20);
        members[id as usize - 1].weight = weight;
        members
    };
    let mut doubted = members(1..=20);
    doubted[4].suspect = true;
    let before = placed(&selector, members(1..=20), 100_000);
    let cases = [
        ("one comes", members(1..=21), 21),
        ("a heavier one", heavier(7, 300), 7),
        ("a lighter one", heavier(7, 1), 7),
        ("a drained one", heavier(7, 0), 7),
        ("a suspect one", doubted, 5),
    ];
    for (what, members, changed) in cases {
        let after = placed(&selector, members, 100_000);
        let moves: HashSet<(u64, u64)> =
            before.iter().copied().zip(after).filter(|(old, new)| old != new).collect();
        assert!(!moves.is_empty(), "{what}: nothing moved");
        let strays = moves.iter().find(|(old, new)| *old != changed && *new != changed);
        assert_eq!(strays, None, "{what}");
    }
}

#[test]
fn suspects_keep_their_keys_if_so_configured() {
    let keep = selector(r#"{"slots": 16384, "suspects": "keep"}"#);
    let mut doubted = members(1..=20);
    doubted[4].suspect = true;
    assert_eq!(placed(&keep, doubted, 1000), placed(&keep, members(1..=20), 1000));
}

#[test]
fn without_a_key_the_weights_decide() {
    let selector = selector(r#"{"slots": 65536}"#);
    let mut three = members(1..=3);
    three[2].weight = 200;
    let roster = Roster::new(three);
    let placement = selector.prepare(roster.view());
    let mut counts = [0u32; 3];
    for entropy in 0..100_000 {
        let request = Request::new(None, entropy, 0, 0);
        counts[selector.pick(roster.view(), &placement, &request).unwrap()] += 1;
    }
    for (count, expected) in counts.into_iter().zip([25_000, 25_000, 50_000]) {
        assert!(count.abs_diff(expected) < 1000, "{counts:?}");
    }
}

/// Half of all requests have one key, and nothing ends: without a bound its instance would have
/// half of the load.
#[test]
fn bounded_load_bounds_the_busiest() {
    // The last column is what 100 requests per instance may at most become.
    let cases =
        [(1.25, 10, 126), (1.25, 100, 126), (2.0, 100, 201), (1.25, 1000, 126), (1.05, 1000, 110)];
    for (factor, instances, bound) in cases {
        let selector = selector(&format!(r#"{{"slots": 65536, "bounded_load": {factor}}}"#));
        let roster = Roster::new(members(1..=instances));
        let view = roster.view();
        let placement = selector.prepare(view);
        let sent = 100 * instances;
        for n in 0..sent {
            // The clock stands still: only the spills bring a fresh count.
            let key = if n % 2 == 0 { 7 } else { n };
            let index = selector.pick(view, &placement, &request(key)).unwrap();
            view.stats(index).began();
        }
        let busiest = (0..view.len()).map(|index| view.stats(index).in_flight()).max().unwrap();
        assert!(busiest <= bound, "{factor} of {instances}: {busiest} > {bound}");
    }
}

#[test]
fn bounded_load_leaves_keys_alone_while_nothing_is_full() {
    let bounded = selector(r#"{"slots": 65536, "bounded_load": 1.25}"#);
    let plain = selector(r#"{"slots": 65536}"#);
    let idle = placed(&bounded, members(1..=50), 10_000);
    assert_eq!(idle, placed(&plain, members(1..=50), 10_000));
}

#[test]
fn a_fallen_load_is_seen_when_the_clock_moves() {
    let selector = selector(r#"{"slots": 65536, "bounded_load": 1.25}"#);
    let roster = Roster::new(members(1..=2));
    let view = roster.view();
    let placement = selector.prepare(view);
    let at = |now_ns| Request::new(Some(7), 0, now_ns, 0);
    let owner = selector.pick(view, &placement, &at(0)).unwrap();
    let other = 1 - owner;
    // 1000 in flight at the other one: the owner's bound is 626.
    (0..1000).for_each(|_| view.stats(other).began());
    (0..500).for_each(|_| view.stats(owner).began());
    assert_eq!(selector.pick(view, &placement, &at(2_000_000)), Some(owner));
    // They end, and the owner is above its share; the old count would still allow it.
    (0..1000).for_each(|_| view.stats(other).ended());
    assert_eq!(selector.pick(view, &placement, &at(2_000_001)), Some(owner), "the count is fresh");
    assert_eq!(selector.pick(view, &placement, &at(4_000_000)), Some(other));
}
