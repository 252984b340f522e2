//! What the selector promises: weights where nothing is under way, even load where something is,
//! and less for what is slow.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use skymesh_plugin_api::abi::host::SelectorInstance;
use skymesh_plugin_api::{Member, Roster, conformance};

use super::*;

fn selector(choices: u32) -> LeastRequest {
    LeastRequest::new(LeastRequestConfig { choices }).unwrap()
}

fn roster(weights: &[u32]) -> Roster {
    let member = |(id, weight): (u64, &u32)| Member { weight: *weight, ..Member::new(id) };
    Roster::new((1..).zip(weights).map(member).collect())
}

/// Which instances `picks` calls go to if each call stays at its instance for as many further calls
/// as `stays` says.
fn counts(choices: u32, weights: &[u32], picks: u64, stays: impl Fn(usize) -> u64) -> Vec<u64> {
    let (selector, roster) = (selector(choices), roster(weights));
    let view = roster.view();
    let field = selector.prepare(view);
    let mut counts = vec![0; weights.len()];
    let mut ends = BinaryHeap::new();
    for turn in 0..picks {
        while let Some(&Reverse((end, index))) = ends.peek()
            && end <= turn
        {
            ends.pop();
            view.stats(index).ended();
        }
        let request = Request::new(None, remixed(turn.wrapping_mul(0xD1B5_4A32_D192_ED03)), 1, 0);
        let index = selector.pick(view, &field, &request).unwrap();
        counts[index] += 1;
        view.stats(index).began();
        ends.push(Reverse((turn + stays(index), index)));
    }
    counts
}

#[test]
fn keeps_the_contract() {
    conformance::selector::<LeastRequest>();
    for choices in [1, 3, 64] {
        conformance::selector_with::<LeastRequest>(&format!(r#"{{"choices": {choices}}}"#));
    }
}

#[test]
fn a_wrong_config_is_refused_by_name() {
    let cases = [
        (r#"{"choices": 0}"#, "key `choices` = 0: expected a whole number from 1 to 64"),
        (r#"{"choices": 65}"#, "key `choices` = 65: expected a whole number from 1 to 64"),
        (r#"{"choice": 2}"#, "did you mean `choices`?"),
    ];
    for (json, expected) in cases {
        let error = SelectorInstance::of::<LeastRequest>(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn with_nothing_under_way_the_weights_decide() {
    for choices in [1, 2, 3, 8] {
        let counts = counts(choices, &[100, 50, 25, 24, 1], 40_000, |_| 0);
        for (count, weight) in counts.iter().zip([100.0, 50.0, 25.0, 24.0, 1.0]) {
            let expected = 40_000.0 * weight / 200.0;
            let slack = 5.0 * f64::sqrt(expected);
            assert!((*count as f64 - expected).abs() < slack, "{choices}: {counts:?}");
        }
    }
}

#[test]
fn under_load_all_have_the_same_to_do_for_their_weight() {
    // 60 calls are under way at any time: 40 of them belong to the first.
    let counts = counts(8, &[200, 50, 50], 30_000, |_| 60);
    for (count, expected) in counts.iter().zip([20_000.0, 5000.0, 5000.0]) {
        assert!((*count as f64 / expected - 1.0).abs() < 0.05, "{counts:?}");
    }
}

#[test]
fn a_slow_one_of_eleven_gets_little_and_more_choices_give_it_less() {
    let share = |choices| {
        let stays = |index| if index == 5 { 2000 } else { 167 };
        counts(choices, &[100; 11], 30_000, stays)[5] as f64 / 30_000.0
    };
    // In turn it would be 0.091.
    let (one, two, all) = (share(1), share(2), share(11));
    assert!((0.08..0.1).contains(&one), "{one}");
    assert!(two < 0.02 && all < 0.011 && all < two, "two {two}, all {all}");
}

#[test]
fn with_as_many_choices_as_instances_the_least_loaded_is_always_found() {
    let (selector, roster) = (selector(5), roster(&[100; 5]));
    let view = roster.view();
    let field = selector.prepare(view);
    for index in 0..5 {
        (0..10 - index).for_each(|_| view.stats(index).began());
    }
    for turn in 0..1000 {
        let request = Request::new(None, remixed(turn), 1, 0);
        assert_eq!(selector.pick(view, &field, &request), Some(4));
    }
}

#[test]
fn drained_and_suspect_instances_come_last() {
    let member = |id, weight, suspect| Member { weight, suspect, ..Member::new(id) };
    let roster = Roster::new(vec![member(1, 100, true), member(2, 0, false), member(3, 1, false)]);
    let selector = selector(2);
    let field = selector.prepare(roster.view());
    for turn in 0..100 {
        let request = Request::new(None, remixed(turn), 1, 0);
        assert_eq!(selector.pick(roster.view(), &field, &request), Some(2));
    }
}
