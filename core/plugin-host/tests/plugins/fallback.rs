//! Plugins that panic and lie: every pick is served all the same, and too many failures end in
//! quarantine.

use std::time::Duration;

use serde_json::json;
use skymesh_plugin_host::{
    PickFailed, PluginHost, PluginKind, PluginReport, PluginState, PluginsConfig, Prepared,
    QuarantineConfig, Request, SelectorSlot, SlotHealth,
};

use crate::fixture::{Folder, members, renewed, strategy};

fn unruly(folder: &Folder, config: serde_json::Value, failures: u32) -> (PluginHost, SelectorSlot) {
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
    let slot = host.selector(&strategy("skymesh_fixture_unruly/unruly", config)).unwrap();
    (host, slot)
}

/// The selector's row.
fn unruly_row(host: &PluginHost) -> PluginReport {
    let of_selector = |row: &PluginReport| row.kind == Some(PluginKind::Selector);
    host.report().into_iter().find(of_selector).unwrap()
}

/// All picks of four members are served meanwhile.
fn pick_until_degraded(slot: &SelectorSlot, prepared: &Prepared) {
    let mut picks = 0;
    while !slot.health().is_degraded() {
        assert!(prepared.pick(None).is_some_and(|index| index < 4));
        picks += 1;
        assert!(picks <= 16, "two rounds of eight picks should do");
    }
}

#[test]
fn a_failing_pick_is_served_by_a_healthy_instance() {
    for mischief in ["panic_in_call", "out_of_view", "largest_index"] {
        let folder = Folder::new();
        let (_host, slot) = unruly(&folder, json!({"mischief": mischief, "every": 2}), 1000);
        let mut members = members(4);
        members[0].suspect = true;
        members[3].suspect = true;
        let prepared = slot.prepare(members);
        let picks: Vec<usize> = (0..200).map(|_| prepared.pick(None).unwrap()).collect();
        // Every second pick is the plugin's own, index 0; the others are the built-in's.
        let (own, served): (Vec<_>, Vec<_>) =
            picks.iter().enumerate().partition(|(n, _)| n % 2 == 0);
        assert!(own.iter().all(|(_, index)| **index == 0), "{mischief}: {own:?}");
        assert!(served.iter().all(|(_, index)| [1, 2].contains(index)), "{mischief}: {served:?}");
        assert!((1..=2).all(|index| served.iter().any(|(_, picked)| **picked == index)));
        let strategy = "skymesh_fixture_unruly/unruly 0.1.0".to_owned();
        assert_eq!(slot.health(), SlotHealth::Healthy { strategy, failures: 100 }, "{mischief}");
    }
}

#[test]
fn too_many_failures_end_in_quarantine_and_an_exchange_ends_that() {
    let folder = Folder::new();
    let (host, slot) = unruly(&folder, json!({"mischief": "panic_in_call"}), 3);
    let prepared = slot.prepare(members(4));
    for pick in 1..=2 {
        assert!(prepared.pick(None).is_some());
        assert!(!slot.health().is_degraded(), "after {pick}");
    }
    for _ in 0..100 {
        assert!(prepared.pick(None).is_some_and(|index| index < 4));
    }
    let strategy_name = "skymesh_fixture_unruly/unruly 0.1.0".to_owned();
    let quarantined = SlotHealth::Quarantined { strategy: strategy_name, failures: 3 };
    assert_eq!(slot.health(), quarantined, "the plugin is not called any more");
    let states: Vec<_> = host.report().into_iter().map(|row| row.state).collect();
    assert!(states.contains(&PluginState::Quarantined), "{states:?}");
    // A new membership does not end it.
    assert!(slot.prepare(members(2)).pick(None).is_some());
    assert_eq!(slot.health(), quarantined);

    host.exchange_selector(&slot, &strategy("skymesh_fixture_unruly/unruly", json!({}))).unwrap();
    assert!(!slot.health().is_degraded());
    let again = slot.prepare_roster(prepared.roster().clone());
    assert_eq!(again.pick(None), Some(0));
    assert!(again.version() > prepared.version());
}

#[test]
fn panics_outside_of_the_message_path_are_survived_too() {
    let folder = Folder::new();
    let (host, slot) = unruly(&folder, json!({"mischief": "panic_in_prepare"}), 1000);
    let prepared = slot.prepare(members(3));
    assert!(prepared.pick(None).is_some_and(|index| index < 3));
    assert!(matches!(slot.health(), SlotHealth::Unprepared { .. }) && slot.health().is_degraded());
    let row = unruly_row(&host);
    assert_eq!(row.state, PluginState::Degraded);
    assert_eq!(row.reason.unwrap(), "it panicked while it prepared its table");

    drop(prepared);
    let dropping = json!({"mischief": "panic_in_drop"});
    host.exchange_selector(&slot, &strategy("unruly", dropping)).unwrap();
    drop(slot.prepare(members(3)));
    let row = unruly_row(&host);
    assert_eq!(row.reason.unwrap(), "it panicked when it was dropped; failures so far: 1");
    host.exchange_selector(&slot, &strategy("unruly", json!({}))).unwrap();
    assert_eq!(slot.prepare(members(3)).pick(None), Some(0));
    // The instance itself ended after its successor was made.
    assert_eq!(unruly_row(&host).reason.unwrap(), "it panicked when it was dropped");
}

#[test]
fn one_that_blocks_is_found_by_samples_named_and_taken_out_of_service() {
    let folder = Folder::new();
    let (host, slot) = unruly(&folder, json!({"mischief": "stall"}), 2);
    let prepared = slot.prepare(members(4));
    pick_until_degraded(&slot, &prepared);
    let SlotHealth::Quarantined { failures, .. } = slot.health() else { panic!("{slot:?}") };
    assert_eq!(failures, 2);
    let reason = host.report().into_iter().find_map(|row| row.reason).unwrap();
    assert!(reason.contains("took longer than 1ms"), "{reason}");
    let pace = slot.pace();
    assert!(pace.samples == 16 && pace.mean >= Duration::from_millis(50), "{pace:?}");
    assert!(prepared.pick(None).is_some());
    assert_eq!(slot.pace().samples, 16, "it is not asked any more");
}

#[test]
fn a_quick_one_is_left_alone_and_timed_seldom() {
    let folder = Folder::new();
    let (_host, slot) = unruly(&folder, json!({}), 1);
    let prepared = slot.prepare(members(4));
    (0..20_000).for_each(|_| assert!(prepared.pick(None).is_some()));
    assert!(!slot.health().is_degraded(), "{:?}", slot.health());
    let samples = slot.pace().samples;
    // One in 256: 78 of 20000, with a deviation of 9; and 8 in the first round.
    assert!((40..200).contains(&samples), "{samples}");
}

#[test]
fn nothing_serves_for_a_strict_pick_that_fails() {
    let request = Request::new(Some(7), 0, 0, 0);
    for mischief in ["panic_in_call", "out_of_view", "panic_in_prepare"] {
        let folder = Folder::new();
        let (_host, slot) = unruly(&folder, json!({"mischief": mischief, "every": 1}), 2);
        let prepared = slot.prepare(members(4));
        for _ in 0..10 {
            assert_eq!(prepared.pick_strictly(&request), Err(PickFailed), "{mischief}");
        }
    }
    // Quarantine for what others asked of it, here or in another process, changes nothing.
    let folder = Folder::new();
    let (_host, slot) = unruly(&folder, json!({"mischief": "panic_in_call", "every": 2}), 2);
    let prepared = slot.prepare(members(4));
    let picks: Vec<_> = (0..20).map(|_| prepared.pick_strictly(&request)).collect();
    assert!(slot.health().is_degraded());
    assert!(picks.chunks(2).all(|two| *two == [Ok(Some(0)), Err(PickFailed)]), "{picks:?}");
}

#[test]
fn one_that_blocks_now_and_then_is_taken_out_of_service_too() {
    let folder = Folder::new();
    let (_host, slot) = unruly(&folder, json!({"mischief": "stall", "every": 3}), 2);
    pick_until_degraded(&slot, &slot.prepare(members(4)));
}

/// Nothing here waits for a plugin for ever.
#[test]
fn a_constructor_that_hangs_is_refused_by_name_and_holds_nothing_up() {
    let folder = Folder::new();
    let config = PluginsConfig {
        dirs: Vec::new(),
        start_budget: Duration::from_millis(100),
        ..folder.config()
    };
    let host = PluginHost::new(config.clone()).unwrap();
    let slot = host.selector(&strategy("skymesh_fixture_unruly/unruly", json!({}))).unwrap();
    let hanging = strategy("skymesh_fixture_unruly/unruly", json!({"mischief": "hang_in_new"}));
    for kind in PluginKind::ALL {
        let renewal = renewed(&host, config.clone()).unwrap();
        let refused = match kind {
            PluginKind::Selector => renewal.selector(&hanging).err(),
            PluginKind::Codec => renewal.codec(None, &hanging).err(),
            PluginKind::Election => host.election(&hanging).err(),
            PluginKind::Metrics => host.metrics(&hanging).err(),
            PluginKind::Trace => host.trace(&hanging).err(),
        };
        let error = refused.unwrap().to_string();
        assert!(error.starts_with("skymesh_fixture_unruly/unruly 0.1.0: not ready: "), "{error}");
        assert!(error.contains("its constructor: it took longer than 100ms"), "{error}");
        assert!(host.report().iter().any(|row| row.reason.as_ref() == Some(&error)), "{error}");
    }
    assert_eq!(slot.prepare(members(2)).pick(None), Some(0), "what served before goes on");
    let renewal = renewed(&host, config).unwrap();
    renewal.selector(&strategy("skymesh_fixture_unruly/unruly", json!({}))).unwrap();
    renewal.commit();
}
