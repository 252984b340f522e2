//! Files change under a running host: what is found anew, what is kept, and what is refused.

use std::time::Duration;

use serde_json::json;
use skymesh_plugin_api::{MetricsBatch, TraceBatch};
use skymesh_plugin_host::{
    ElectionSlot, LoadConfig, MetricsSlot, PluginHost, PluginReport, PluginState, PluginsConfig,
    SelectorSlot, SlotHealth, StrategyConfig, TraceSlot,
};

use crate::fixture::{Folder, by_path, file_name, members, renewed, set_mode, strategy};

const EDITION: &str = "skymesh_fixture_edition";
const ONE: &str = "skymesh_fixture_edition_one";
const TWO: &str = "skymesh_fixture_edition_two";

/// Puts an edition under the library's name by rename, as libraries are deployed.
fn deploy(folder: &Folder, edition: &str) {
    let new = folder.put(edition, "new");
    std::fs::rename(new, folder.path().join(file_name(EDITION))).unwrap();
}

fn edition() -> StrategyConfig {
    StrategyConfig::new("skymesh_fixture_edition/edition")
}

/// Renews everything for one slot; answers whether it got another selector.
fn renew(host: &PluginHost, folder: &Folder, slot: &SelectorSlot) -> Result<bool, String> {
    let renewal = renewed(host, folder.config()).map_err(|error| error.to_string())?;
    let fresh = renewal.selector_for(slot, &edition()).map_err(|error| error.to_string())?;
    if let Some(fresh) = &fresh {
        slot.renew(fresh);
    }
    renewal.commit();
    Ok(fresh.is_some())
}

fn states(host: &PluginHost) -> Vec<(Option<String>, PluginState)> {
    let row = |row: PluginReport| (row.version, row.state);
    let selector = |row: &PluginReport| row.id.as_deref() == Some("edition");
    host.report().into_iter().filter(selector).map(row).collect()
}

#[test]
fn a_changed_file_of_the_same_name_is_another_library() {
    let folder = Folder::new();
    deploy(&folder, ONE);
    let host = PluginHost::new(folder.config()).unwrap();
    let slot = host.selector(&edition()).unwrap();
    assert_eq!(slot.strategy(), "skymesh_fixture_edition/edition 1.0.0");
    assert_eq!(renew(&host, &folder, &slot), Ok(false), "nothing has changed");
    assert_eq!(slot.version(), 0, "so the slot was left alone");

    let before = slot.prepare(members(4));
    deploy(&folder, TWO);
    assert_eq!(renew(&host, &folder, &slot), Ok(true));
    assert_eq!(slot.strategy(), "skymesh_fixture_edition/edition 2.0.0");
    let after = slot.prepare(members(4));
    assert_eq!((before.pick(Some(2)), after.pick(Some(2))), (Some(2), Some(3)), "both live");
    let (one, two) = (Some("1.0.0".to_owned()), Some("2.0.0".to_owned()));
    let expected = [(one.clone(), PluginState::Retired), (two.clone(), PluginState::Active)];
    assert_eq!(states(&host), expected);

    // Back again: the first library is mapped still, and found by its content.
    deploy(&folder, ONE);
    assert_eq!(renew(&host, &folder, &slot), Ok(true));
    assert_eq!(slot.prepare(members(4)).pick(Some(2)), Some(2));
    assert_eq!(states(&host), [(one, PluginState::Active), (two, PluginState::Retired)]);
}

#[test]
fn what_is_refused_changes_nothing_and_says_why() {
    let folder = Folder::new();
    deploy(&folder, ONE);
    let host = PluginHost::new(folder.config()).unwrap();
    let slot = host.selector(&edition()).unwrap();
    let file = folder.path().join(file_name(EDITION));

    // Overwritten in place while it is mapped, by something that is no library.
    std::fs::write(&file, "no library").unwrap();
    let error = renew(&host, &folder, &slot).unwrap_err();
    assert!(error.contains("not a library"), "{error}");
    assert_eq!(slot.prepare(members(4)).pick(Some(2)), Some(2), "the old one serves");
    let reason = |host: &PluginHost| host.report().into_iter().find_map(|row| row.reason);
    assert_eq!(reason(&host), Some(error));

    // Cut short, as by a copy that did not end.
    let whole = std::fs::read(folder.put(TWO, "whole")).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    set_mode(&file, 0o755);
    assert!(renew(&host, &folder, &slot).unwrap_err().contains("truncated"));

    // A required library that is missing.
    std::fs::remove_file(&file).unwrap();
    let mut config = folder.config();
    config.load.push(by_path(&file));
    assert!(renewed(&host, config).is_err());

    deploy(&folder, TWO);
    assert_eq!(renew(&host, &folder, &slot), Ok(true), "the repaired file serves");
    assert_eq!(reason(&host), None, "and what was refused is forgotten");
}

#[test]
fn what_fails_its_self_test_does_not_take_the_place_of_what_works() {
    let folder = Folder::new();
    let host = crate::fixture::host(&folder);
    let unruly =
        |mischief: &str| strategy("skymesh_fixture_unruly/unruly", json!({ "mischief": mischief }));
    let config = || skymesh_plugin_host::PluginsConfig { dirs: Vec::new(), ..folder.config() };
    let cases = [
        ("panic_in_prepare", "panicked while it prepared a view of 0"),
        ("panic_in_call", "panicked on a view of 0"),
        ("out_of_view", "picked outside a view of 0"),
        ("largest_index", "picked outside a view of 0"),
    ];
    for (mischief, fault) in cases {
        let renewal = renewed(&host, config()).unwrap();
        let error = renewal.selector(&unruly(mischief)).unwrap_err().to_string();
        assert!(error.contains(fault) && error.contains("unruly 0.1.0"), "{error}");
    }
    for mischief in ["panic_in_call", "insatiable", "foreign_bytes"] {
        let renewal = renewed(&host, config()).unwrap();
        let error = renewal.codec(None, &unruly(mischief)).unwrap_err().to_string();
        assert!(error.contains("self-test"), "{error}");
    }
}

#[test]
fn a_renewal_ends_a_quarantine() {
    let folder = Folder::new();
    let host = crate::fixture::host(&folder);
    // It behaves for as long as a self-test takes, and not for ever.
    let late = strategy(
        "skymesh_fixture_unruly/unruly",
        json!({ "mischief": "panic_in_call", "every": 100 }),
    );
    let slot = host.selector(&late).unwrap();
    let prepared = slot.prepare(members(3));
    (0..1000).for_each(|_| assert!(prepared.pick(None).is_some()));
    assert!(matches!(slot.health(), SlotHealth::Quarantined { .. }));
    let config = skymesh_plugin_host::PluginsConfig { dirs: Vec::new(), ..folder.config() };
    let renewal = renewed(&host, config).unwrap();
    let fresh = renewal.selector_for(&slot, &late).unwrap().expect("it does not serve");
    slot.renew(&fresh);
    renewal.commit();
    assert!(!slot.health().is_degraded());
}

#[test]
fn a_slow_one_fails_its_self_test() {
    let folder = Folder::new();
    let host = PluginHost::new(folder.config()).unwrap();
    let renewal = renewed(&host, folder.config()).unwrap();
    for every in [1, 3] {
        let slow = json!({"mischief": "stall", "every": every});
        let refused = renewal.selector(&strategy("skymesh_fixture_unruly/unruly", slow));
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("its picks take") && error.contains("of 1ms"), "{error}");
    }
    let builtin = ElectionSlot::builtin();
    let faults = |config| {
        let strategy = strategy("skymesh_fixture_unruly/unruly", config);
        let (codec, election) =
            (renewal.codec(None, &strategy), renewal.election_for(&builtin, &strategy));
        [codec.err(), election.err()].map(|error| error.map(|error| error.to_string()))
    };
    for every in [1, 2] {
        let [codec, election] = faults(json!({"mischief": "stall", "every": every}));
        let codec = codec.expect("it is slow");
        assert!(codec.contains("its calls take") && codec.contains("of 1ms"), "{codec}");
        let election = election.expect("it is slow");
        assert!(election.contains("its elections take"), "{election}");
        assert!(election.contains("of 20ms"), "{election}");
    }
    assert_eq!(faults(json!({})), [None, None]);
    renewal.selector(&strategy("skymesh_fixture_unruly/unruly", json!({}))).unwrap();
}

#[test]
fn one_that_is_late_is_made_anew_though_nothing_has_changed() {
    let folder = Folder::new();
    deploy(&folder, ONE);
    let host = PluginHost::new(folder.config()).unwrap();
    let slot = host.selector(&edition()).unwrap();
    let row = || host.report().into_iter().find(|row| row.library == EDITION).unwrap();
    slot.note_late(slot.version(), true);
    assert!(matches!(slot.health(), SlotHealth::Late { .. }));
    // What hangs holds the old one for ever.
    let held = slot.prepare(members(1));
    assert_eq!(row().state, PluginState::Degraded);
    assert_eq!(renew(&host, &folder, &slot), Ok(true));
    assert!(matches!(slot.health(), SlotHealth::Healthy { .. }));
    assert_eq!((row().state, row().reason), (PluginState::Active, None));
    assert_eq!(renew(&host, &folder, &slot), Ok(false), "which is left alone");
    drop(held);
}

#[test]
fn other_limits_make_another_selector() {
    let folder = Folder::new();
    deploy(&folder, ONE);
    let host = PluginHost::new(folder.config()).unwrap();
    let slot = host.selector(&edition()).unwrap();
    let mut config = folder.config();
    config.quarantine.failures += 1;
    for (config, anew) in [(folder.config(), false), (config.clone(), true), (config, false)] {
        let renewal = renewed(&host, config).unwrap();
        let fresh = renewal.selector_for(&slot, &edition()).unwrap();
        assert_eq!(fresh.is_some(), anew);
        fresh.iter().for_each(|fresh| slot.renew(fresh));
        renewal.commit();
    }
}

#[test]
fn the_builtin_serves_where_another_optional_one_is_configured_and_missing() {
    let folder = Folder::new();
    deploy(&folder, ONE);
    let host = PluginHost::new(folder.config()).unwrap();
    let slot = host.selector(&edition()).unwrap();
    let renewal = renewed(&host, folder.config()).unwrap();
    let missing = StrategyConfig { required: false, ..StrategyConfig::new("nowhere") };
    let error = renewal.selector_for(&slot, &missing).unwrap_err();
    assert!(
        renewal.fallback_for(&slot, &edition(), &error).is_none(),
        "nothing else is configured"
    );
    let fallback = renewal.fallback_for(&slot, &missing, &error).unwrap();
    slot.renew(&fallback);
    let SlotHealth::Missing { reason } = slot.health() else { panic!("{:?}", slot.health()) };
    assert!(reason.contains("nowhere"), "{reason}");
    assert_eq!((slot.version(), slot.strategy()), (1, "builtin".to_owned()));
    assert!(renewal.fallback_for(&slot, &missing, &error).is_none(), "it is in place");
}

#[test]
fn the_builtin_is_the_same_whatever_else_is_said_of_it() {
    let folder = Folder::new();
    let host = PluginHost::new(folder.config()).unwrap();
    let optional = StrategyConfig { required: false, ..strategy("builtin", json!({"key": 1})) };
    let renewal = renewed(&host, folder.config()).unwrap();
    for strategy in [StrategyConfig::new("builtin"), optional] {
        let (selector, election) =
            (host.selector(&strategy).unwrap(), host.election(&strategy).unwrap());
        assert!(renewal.selector_for(&selector, &strategy).unwrap().is_none(), "{strategy:?}");
        assert!(renewal.election_for(&election, &strategy).unwrap().is_none(), "{strategy:?}");
    }
}

/// A failed renewal is worth another attempt when what it looked for changes, and no longer once another
/// one was committed.
#[test]
fn what_a_failed_renewal_looked_for_is_among_the_files() {
    let folder = Folder::new();
    let file = folder.path().join(file_name(EDITION));
    let signature = folder.path().join(format!("{}.minisig", file_name(EDITION)));
    let by_name = LoadConfig { library: Some(EDITION.into()), ..LoadConfig::default() };
    let signed = PluginsConfig {
        signers: vec!["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".into()],
        load: vec![by_name],
        ..folder.config()
    };
    let host = PluginHost::new(folder.config()).unwrap();
    let renewal = renewed(&host, folder.config()).unwrap();
    renewal.selector(&edition()).unwrap_err();
    drop(renewal);
    assert!(!host.files().contains(&file), "it is not there");
    deploy(&folder, ONE);
    assert!(host.files().contains(&file), "a strategy looked for it");
    assert!(!host.files().contains(&signature), "signatures do not count");

    std::fs::remove_file(&file).unwrap();
    renewed(&host, signed).map(|_| ()).unwrap_err();
    deploy(&folder, TWO);
    let files = host.files();
    assert!(files.contains(&file) && files.contains(&signature), "it was declared: {files:?}");
    renewed(&host, folder.config()).unwrap().commit();
    assert!(!host.files().contains(&file), "nobody wants it any more");
}

/// Who reads why a sink was refused is told what it did, how long it might take, and where that is set.
#[test]
fn a_sink_that_fails_over_its_first_batch_is_told_of_by_what_it_did() {
    let folder = Folder::new();
    let mut config = PluginsConfig { dirs: Vec::new(), ..folder.config() };
    config.quarantine.batch_budget = Duration::from_millis(10);
    let host = PluginHost::new(config.clone()).unwrap();
    let renewal = renewed(&host, config).unwrap();
    let cases = [
        (
            "stall",
            "it took longer than 10ms, the plugins.quarantine.batch_budget, over its first batch",
        ),
        ("panic_in_call", ": it panicked over its first batch"),
    ];
    for (mischief, said) in cases {
        let unruly = strategy("skymesh_fixture_unruly/unruly", json!({ "mischief": mischief }));
        let flush = |slot: &MetricsSlot| {
            slot.flush(&MetricsBatch {
                samples: &[],
                resource: &[],
                started_unix_ns: 0,
                unix_ns: 0,
            });
        };
        let export = |slot: &TraceSlot| {
            slot.export(&TraceBatch { spans: &[], resource: &[], dropped: 0 });
        };
        let metrics = renewal.metrics_for(None, &unruly, flush).map(|_| ());
        let trace = renewal.trace_for(None, &unruly, export).map(|_| ());
        for refused in [metrics, trace] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(said), "{mischief}: {error}");
        }
    }
}
