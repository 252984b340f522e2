//! A slot's strategy is exchanged while threads pick.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde_json::json;
use skymesh_plugin_host::{SlotHealth, StrategyConfig};

use crate::fixture::{Folder, host, members, strategy};

#[test]
fn threads_pick_through_two_hundred_exchanges() {
    let folder = Folder::new();
    let host = host(&folder);
    let strategies = [
        StrategyConfig::new("skymesh_fixture_orderly/last"),
        strategy("skymesh_fixture_unruly/unruly", json!({"mischief": "panic_in_call", "every": 7})),
        StrategyConfig::new("builtin"),
        StrategyConfig::new("skymesh_fixture_orderly/cycle"),
    ];
    let slot = host.selector(&strategies[0]).unwrap();
    let (stop, picks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut prepared = slot.prepare(members(5));
                while !stop.load(Relaxed) {
                    if prepared.version() != slot.version() {
                        prepared = slot.prepare_roster(prepared.roster().clone());
                    }
                    for key in 0..64 {
                        let index = prepared.pick(Some(key)).expect("there are instances");
                        assert!(index < 5);
                    }
                    picks.fetch_add(64, Relaxed);
                }
            });
        }
        for turn in 1..=200 {
            host.exchange_selector(&slot, &strategies[turn % strategies.len()]).unwrap();
            let before = picks.load(Relaxed);
            while picks.load(Relaxed) == before {
                std::thread::yield_now();
            }
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(slot.version(), 200);
}

#[test]
fn a_refused_exchange_leaves_everything_as_it_was() {
    let folder = Folder::new();
    let host = host(&folder);
    let slot = host.selector(&StrategyConfig::new("skymesh_fixture_orderly/last")).unwrap();
    let bad = strategy("skymesh_fixture_orderly/cycle", json!({"start": -1}));
    let optional = StrategyConfig { required: false, ..bad.clone() };
    for refused in [bad, optional, StrategyConfig::new("nothing")] {
        assert!(host.exchange_selector(&slot, &refused).is_err());
    }
    assert_eq!(slot.version(), 0);
    assert_eq!(slot.prepare(members(9)).pick(None), Some(8));
    assert!(matches!(slot.health(), SlotHealth::Healthy { failures: 0, .. }));
    // A clone is the same slot.
    let clone = slot.clone();
    host.exchange_selector(&slot, &StrategyConfig::new("builtin")).unwrap();
    assert_eq!((clone.version(), clone.health()), (1, SlotHealth::Builtin));
}
