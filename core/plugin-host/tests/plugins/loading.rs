//! From a name in the configuration to a library that works.

use serde_json::json;
use skymesh_plugin_host::{
    Fingerprint, LoadConfig, PluginHost, PluginKind, PluginState, PluginsConfig, StrategyConfig,
    inspect,
};

use crate::fixture::{Folder, built, by_path, file_name, host, members, strategy};

#[test]
fn a_selector_is_found_beside_the_executable_and_picks() {
    let folder = Folder::new();
    let host = host(&folder);
    let slot =
        host.selector(&strategy("skymesh_fixture_orderly/cycle", json!({"start": 1}))).unwrap();
    let prepared = slot.prepare(members(3));
    let picks: Vec<_> = (0..5).map(|_| prepared.pick(None)).collect();
    assert_eq!(picks, [1, 2, 0, 1, 2].map(Some));

    // The library is loaded now, so an id alone will do.
    let last = host.selector(&StrategyConfig::new("last")).unwrap();
    assert_eq!(last.prepare(members(1000)).pick(Some(7)), Some(999));
    assert_eq!(last.prepare(Vec::new()).pick(Some(7)), None);
}

#[test]
fn the_report_tells_states_and_origins() {
    let folder = Folder::new();
    let host = host(&folder);
    let slot = host.selector(&StrategyConfig::new("skymesh_fixture_orderly/cycle")).unwrap();
    let dropped = host.codec(&StrategyConfig::new("plain")).unwrap();
    drop(dropped);
    let error = host.selector(&strategy("last", json!({"n": 1}))).unwrap_err().to_string();

    let report = host.report();
    let row = |kind, id: &str| {
        let mut rows = report.iter();
        rows.find(|row| row.kind == Some(kind) && row.id.as_deref() == Some(id)).unwrap()
    };
    assert_eq!(report.len(), 7, "one row per plugin: {report:#?}");
    let cycle = row(PluginKind::Selector, "cycle");
    assert_eq!((cycle.state, cycle.failed()), (PluginState::Active, false));
    assert_eq!(cycle.version.as_deref(), Some("0.4.1"));
    assert_eq!(cycle.api_version.as_deref(), Some("1.0.0"));
    let file = built().join(file_name("skymesh_fixture_orderly")).canonicalize().unwrap();
    assert_eq!(cycle.sha256, Some(Fingerprint::of(&std::fs::read(&file).unwrap())));
    assert_eq!(cycle.path, Some(file));
    assert_eq!(row(PluginKind::Codec, "plain").state, PluginState::Created);
    assert_eq!(row(PluginKind::Trace, "tally").state, PluginState::Checked);
    assert_eq!(row(PluginKind::Selector, "last").reason, Some(error));
    drop(slot);
    let json = serde_json::to_value(host.report()).unwrap();
    assert_eq!((&json[0]["kind"], &json[0]["state"]), (&json!("selector"), &json!("created")));
}

#[test]
fn the_highest_fitting_version_of_a_folder_is_loaded_by_declaration() {
    let folder = Folder::new();
    folder.put("skymesh_fixture_orderly", "libskymesh_fixture_orderly-0.4.1.so");
    // Not a library: would be refused if it were tried.
    folder.write("libskymesh_fixture_orderly-0.3.0.so", "old");
    let unruly = folder.put("skymesh_fixture_unruly", "libskymesh_fixture_unruly.so");
    let declared = LoadConfig {
        library: Some("skymesh_fixture_orderly".into()),
        version: Some("^0.4".parse().unwrap()),
        ..LoadConfig::default()
    };
    let host = PluginHost::new(PluginsConfig {
        load: vec![declared, by_path(&unruly)],
        ..folder.config()
    })
    .unwrap();
    assert!(host.selector(&StrategyConfig::new("cycle")).is_ok());
    assert!(host.selector(&StrategyConfig::new("unruly")).is_ok());

    let of_version = |text: &str| StrategyConfig {
        version: Some(text.parse().unwrap()),
        ..StrategyConfig::new("skymesh_fixture_orderly/cycle")
    };
    assert!(host.selector(&of_version(">=0.4, <0.5")).is_ok());
    let error = host.selector(&of_version("^0.5")).unwrap_err().to_string();
    assert!(error.contains("version 0.4.1 does not satisfy `^0.5`"), "{error}");
}

#[test]
fn a_manifest_carries_schema_and_description() {
    let folder = Folder::new();
    let manifest = host(&folder).manifest("skymesh_fixture_orderly/cycle").unwrap();
    assert_eq!(
        (manifest.kind, manifest.description.as_str()),
        (PluginKind::Selector, "one after the other")
    );
    let schema: serde_json::Value = serde_json::from_str(&manifest.config_schema).unwrap();
    assert_eq!(schema["properties"]["start"]["maximum"], json!(1000));
    assert!(manifest.library.panic_unwind && manifest.library.rustc.starts_with("rustc 1."));
}

#[test]
fn inspecting_a_file_tells_what_it_offers() {
    let folder = Folder::new();
    let file = folder.put("skymesh_fixture_orderly", "libskymesh_fixture_orderly.so");
    let inspection = inspect(&file, &folder.config());
    assert_eq!(inspection.error, None);
    let ids: Vec<_> = inspection.manifests.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["cycle", "last", "plain", "mirrored", "foremost", "tally", "tally"]);
    assert!(inspection.reports.iter().all(|row| row.state == PluginState::Checked));
}

#[test]
fn the_private_copy_outlives_the_file() {
    let folder = Folder::new();
    let file = folder.put("skymesh_fixture_orderly", "libskymesh_fixture_orderly.so");
    let host =
        PluginHost::new(PluginsConfig { load: vec![by_path(&file)], ..folder.config() }).unwrap();
    let slot = host.selector(&StrategyConfig::new("last")).unwrap();
    // In place: were it the mapped file, the next call would end the process by SIGBUS.
    std::fs::write(&file, "gone").unwrap();
    assert_eq!(slot.prepare(members(5)).pick(None), Some(4));
}
