//! Election algorithms in their slots: good ones are asked, bad ones are replaced and in the end left
//! out.

use std::time::Duration;

use serde_json::json;
use skymesh_plugin_host::{
    ElectionCandidate, ElectionSlot, Office, PluginHost, PluginKind, PluginState, PluginsConfig,
    QuarantineConfig, SlotHealth, StrategyConfig, Verdict,
};

use crate::fixture::{Folder, host, renewed, strategy};

fn candidate(instance: u64, priority: i64) -> ElectionCandidate {
    ElectionCandidate {
        instance,
        handle: instance * 10,
        attributes: "{}".into(),
        priority,
        ..ElectionCandidate::default()
    }
}

fn ask(slot: &ElectionSlot) -> Verdict {
    slot.elect(&mut [candidate(1, 0), candidate(2, 0)], &Office::default())
}

/// A host that takes so many failures, and a slot with an unruly algorithm.
fn unruly(folder: &Folder, config: serde_json::Value, failures: u32) -> (PluginHost, ElectionSlot) {
    let host = PluginHost::new(PluginsConfig {
        quarantine: QuarantineConfig {
            failures,
            window: Duration::from_secs(3600),
            ..QuarantineConfig::default()
        },
        dirs: Vec::new(),
        ..folder.config()
    })
    .unwrap();
    let slot = host.election(&strategy("skymesh_fixture_unruly/unruly", config)).unwrap();
    (host, slot)
}

/// State and reason of the election plugin.
fn state(host: &PluginHost) -> Option<(PluginState, Option<String>)> {
    let mut rows = host.report().into_iter();
    let row = rows.find(|row| row.kind == Some(PluginKind::Election));
    row.map(|row| (row.state, row.reason))
}

#[test]
fn an_election_picks_among_sorted_candidates() {
    let folder = Folder::new();
    let host = host(&folder);
    let slot = host.election(&StrategyConfig::new("skymesh_fixture_orderly/foremost")).unwrap();
    let mut candidates = [candidate(9, 1), candidate(4, 1), candidate(2, 0)];
    assert_eq!(slot.elect(&mut candidates, &Office::default()), Verdict::Chosen(Some(1)));
    assert_eq!(candidates[1].instance, 4);
    let office = Office { incumbent: Some(90), ..Office::default() };
    let verdict = slot.elect(&mut candidates, &office);
    assert_eq!(verdict, Verdict::Chosen(Some(2)), "the incumbent stays");
    assert_eq!(slot.elect(&mut [], &office), Verdict::Chosen(None));
    let strategy = "skymesh_fixture_orderly/foremost 0.4.1".to_owned();
    assert_eq!(slot.health(), SlotHealth::Healthy { strategy, failures: 0 });
    assert_eq!(state(&host), Some((PluginState::Active, None)));
}

#[test]
fn a_failing_election_is_the_callers_and_too_many_end_in_quarantine() {
    let cases = [
        ("panic_in_call", "it panicked; quarantined after 3 failures"),
        ("out_of_view", "it elected somebody who does not stand; quarantined after 3 failures"),
    ];
    for (mischief, reason) in cases {
        let folder = Folder::new();
        let (host, slot) = unruly(&folder, json!({"mischief": mischief, "every": 2}), 3);
        for round in 1..=3 {
            assert!(slot.asks_a_plugin(), "{mischief}, round {round}");
            assert_eq!(ask(&slot), Verdict::Chosen(None), "{mischief}, round {round}");
            assert_eq!(ask(&slot), Verdict::Builtin, "{mischief}, round {round}");
        }
        let strategy = "skymesh_fixture_unruly/unruly 0.1.0".to_owned();
        let quarantined = SlotHealth::Quarantined { strategy, failures: 3 };
        assert_eq!(slot.health(), quarantined);
        let reason = Some(reason.to_owned());
        assert_eq!(state(&host), Some((PluginState::Quarantined, reason)), "{mischief}");
        assert!(!slot.asks_a_plugin());
        assert_eq!(ask(&slot), Verdict::Builtin, "{mischief}: it is not asked any more");

        let good = StrategyConfig::new("skymesh_fixture_orderly/foremost");
        host.exchange_election(&slot, &good).unwrap();
        assert_eq!(ask(&slot), Verdict::Chosen(Some(0)), "{mischief}");
        let bad = strategy_refused();
        assert!(host.exchange_election(&slot, &bad).is_err());
        assert_eq!(ask(&slot), Verdict::Chosen(Some(0)), "{mischief}: it is as it was");
        host.exchange_election(&slot, &StrategyConfig::new("builtin")).unwrap();
        assert_eq!((ask(&slot), slot.health()), (Verdict::Builtin, SlotHealth::Builtin));
    }
}

fn strategy_refused() -> StrategyConfig {
    let refused = strategy("skymesh_fixture_unruly/unruly", json!({"mischief": "refuse"}));
    StrategyConfig { required: false, ..refused }
}

#[test]
fn a_slow_election_counts_and_is_left_out_in_the_end() {
    let folder = Folder::new();
    let (_host, slot) = unruly(&folder, json!({"mischief": "stall"}), 2);
    assert_eq!(ask(&slot), Verdict::Chosen(None), "its answer counts");
    assert!(!slot.health().is_degraded());
    assert_eq!(ask(&slot), Verdict::Chosen(None));
    assert!(slot.health().is_degraded());
    assert_eq!(ask(&slot), Verdict::Builtin);
}

#[test]
fn one_that_can_not_be_had_is_an_error_unless_it_is_optional() {
    let folder = Folder::new();
    let host = host(&folder);
    let missing = StrategyConfig::new("no_such");
    let error = host.election(&missing).unwrap_err().to_string();
    assert!(error.starts_with("election `no_such` not found; "), "{error}");
    let slot = host.election(&StrategyConfig { required: false, ..missing }).unwrap();
    assert_eq!(slot.health(), SlotHealth::Missing { reason: error });
    assert_eq!(ask(&slot), Verdict::Builtin);
    assert!(host.election(&strategy_refused()).is_ok_and(|slot| !slot.asks_a_plugin()));
    assert_eq!(
        host.election(&StrategyConfig::new("builtin")).unwrap().health(),
        SlotHealth::Builtin
    );
}

#[test]
fn a_renewal_keeps_what_is_the_same_ends_a_quarantine_and_tries_what_is_new() {
    let folder = Folder::new();
    let config = PluginsConfig { dirs: Vec::new(), ..folder.config() };
    let host = PluginHost::new(config.clone()).unwrap();
    let foremost = StrategyConfig::new("skymesh_fixture_orderly/foremost");
    let slot = host.election(&foremost).unwrap();
    let bad = |mischief| strategy("skymesh_fixture_unruly/unruly", json!({"mischief": mischief}));

    let renewal = renewed(&host, config).unwrap();
    assert!(renewal.election_for(&slot, &foremost).unwrap().is_none(), "it would be the same");
    for (mischief, fault) in [
        ("panic_in_call", "it panicked on a ballot of 0"),
        ("out_of_view", "it elected nobody of a ballot of 0"),
    ] {
        let error = renewal.election_for(&slot, &bad(mischief)).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    }
    let builtin = StrategyConfig::new("builtin");
    let fresh = renewal.election_for(&slot, &builtin).unwrap().unwrap();
    assert_eq!(slot.strategy(), "skymesh_fixture_orderly/foremost 0.4.1");
    slot.renew(fresh);
    assert_eq!((slot.strategy().as_str(), slot.health()), ("builtin", SlotHealth::Builtin));

    // Quick for as long as a self-test takes, and not for ever.
    let late = || json!({"mischief": "stall", "every": 100});
    let (_host, quarantined) = unruly(&folder, late(), 1);
    (0..100).for_each(|_| assert_eq!(ask(&quarantined), Verdict::Chosen(None)));
    assert!(quarantined.health().is_degraded());
    let late = strategy("skymesh_fixture_unruly/unruly", late());
    let fresh = renewal.election_for(&quarantined, &late).unwrap();
    quarantined.renew(fresh.expect("it does not serve"));
    assert!(!quarantined.health().is_degraded());
}
