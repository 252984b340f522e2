//! Everything that is refused, and the one line that says why.

use std::path::Path;

use serde_json::json;
use skymesh_plugin_host::{
    LoadConfig, PluginHost, PluginLoadError, PluginState, PluginsConfig, SlotHealth,
    StrategyConfig, inspect,
};

use crate::fixture::{Folder, built, by_path, file_name, host, members, set_mode, strategy};

/// The message of a load that must fail, checked to be one line that has all of `parts`.
#[track_caller]
fn refused(error: &PluginLoadError, parts: &[&str]) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than one line: {text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

fn load(folder: &Folder, path: &Path) -> Result<PluginHost, PluginLoadError> {
    PluginHost::new(PluginsConfig { load: vec![by_path(path)], ..folder.config() })
}

#[test]
fn missing_plugins_and_libraries_are_named_with_the_folders_searched() {
    let folder = Folder::new();
    folder.write(&file_name("skymesh_selector_round_robin"), "");
    let host = PluginHost::new(folder.config()).unwrap();
    let searched = folder.path().display().to_string();
    let error = host.selector(&StrategyConfig::new("round_robbin")).unwrap_err();
    let parts = ["selector `round_robbin` not found", &searched, "did you mean `round_robin`?"];
    refused(&error, &parts);
    let error = host.selector(&StrategyConfig::new("no_such_lib/x")).unwrap_err();
    refused(&error, &["library `no_such_lib` not found; searched", &searched, "plugins.dirs"]);
    let error = host.selector(&StrategyConfig::new("../evil/x")).unwrap_err();
    refused(&error, &["`../evil` is no library name"]);
    let error = host.selector(&StrategyConfig::new("skymesh_fixture_orderly/cicle")).unwrap_err();
    refused(&error, &["has no selector `cicle`", "`selector cycle`", "did you mean `cycle`?"]);
}

#[test]
fn what_is_no_plugin_is_refused_by_what_it_is() {
    let folder = Folder::new();
    let text = folder.write("libtext.so", "not an ELF file, by far");
    refused(&load(&folder, &text).unwrap_err(), &["libtext.so: not a library that can be loaded"]);

    let renamed = folder.put("skymesh_fixture_orderly", "librenamed.so");
    let parts = ["not a skymesh plugin of crate `renamed`", "skymesh_plugin_v1_renamed"];
    refused(&load(&folder, &renamed).unwrap_err(), &parts);

    let wrong_version =
        folder.put("skymesh_fixture_orderly", "libskymesh_fixture_orderly-0.9.0.so");
    let parts = ["the file's name says `0.9.0`, the library says `0.4.1`"];
    refused(&load(&folder, &wrong_version).unwrap_err(), &parts);

    let no_header = folder.put("skymesh_fixture_misfits", "libskymesh_fixture_no_header.so");
    refused(&load(&folder, &no_header).unwrap_err(), &["not a library that can be loaded"]);

    refused(
        &load(&folder, &folder.path().join("libnone.so")).unwrap_err(),
        &["libnone.so: No such file"],
    );
    refused(&load(&folder, Path::new("libx.so")).unwrap_err(), &["`libx.so` must be absolute"]);
    refused(&load(&folder, &folder.path().join("x.txt")).unwrap_err(), &["x.txt", "lib<crate>.so"]);
    std::fs::create_dir(folder.path().join("libfolder.so")).unwrap();
    set_mode(&folder.path().join("libfolder.so"), 0o755);
    let error = load(&folder, &folder.path().join("libfolder.so")).unwrap_err();
    refused(&error, &["libfolder.so: not a regular file"]);
}

#[test]
fn a_library_that_was_cut_short_is_refused_and_ends_nobody() {
    let folder = Folder::new();
    let name = "skymesh_fixture_orderly";
    let whole = std::fs::read(built().join(file_name(name))).unwrap();
    for length in [0, 10, 64, 4096, whole.len() / 4, whole.len() / 2, whole.len() - 1] {
        let file = folder.put(name, &file_name(name));
        let cut = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        cut.set_len(length as u64).unwrap();
        let bytes = format!("truncated, not a complete library: {length} bytes, needs ");
        refused(&load(&folder, &file).unwrap_err(), &[&bytes, "copy it again (deploy by rename)"]);
        assert_eq!(inspect(&file, &folder.config()).reports[0].state, PluginState::Copied);
    }
    let file = folder.put(name, &file_name(name));
    assert!(load(&folder, &file).is_ok(), "the whole one");
}

#[test]
fn other_apis_and_layouts_are_refused_before_their_code_runs() {
    let folder = Folder::new();
    let two = folder.put("skymesh_fixture_misfits", "libskymesh_fixture_api_two.so");
    let parts = ["built for plugin-api 2.0.0, this host has 1.", "skymesh-plugin-api = \"1\""];
    refused(&load(&folder, &two).unwrap_err(), &parts);

    let symbol = folder.put("skymesh_fixture_misfits", "libskymesh_fixture_api_two_symbol.so");
    refused(&load(&folder, &symbol).unwrap_err(), &["built for plugin-api 2.x, this host has 1."]);

    let layout = folder.put("skymesh_fixture_misfits", "libskymesh_fixture_layout.so");
    let error = load(&folder, &layout).unwrap_err();
    refused(&error, &["libskymesh_fixture_layout.so: built against different types", "rebuild it"]);
    assert!(error.to_string().len() < 2_000, "abi_stable's pages: {error}");

    let abort = folder.put("skymesh_fixture_misfits", "libskymesh_fixture_panic_abort.so");
    refused(&load(&folder, &abort).unwrap_err(), &["panic = \"abort\"", "panic = \"unwind\""]);
}

#[test]
fn pins_are_compared_demanded_and_not_to_be_bypassed() {
    let folder = Folder::new();
    let name = "skymesh_fixture_orderly";
    let file = folder.put(name, &file_name(name));
    let pinned = |sha256: &str, required| PluginsConfig {
        load: vec![LoadConfig { sha256: Some(sha256.into()), required, ..by_path(&file) }],
        require_pins: true,
        ..folder.config()
    };
    let wrong = "00".repeat(32);
    let truth = inspect(&file, &folder.config()).reports[0].sha256.unwrap().to_string();
    let error = PluginHost::new(pinned(&wrong, true)).unwrap_err();
    refused(&error, &[&wrong, &truth, &file.display().to_string()]);
    refused(&PluginHost::new(pinned("12", true)).unwrap_err(), &["`12` is no sha256", name]);

    let host = PluginHost::new(pinned(&wrong, false)).unwrap();
    let row = &host.report()[0];
    assert_eq!((row.state, row.failed()), (PluginState::Found, true));
    // The same library, found by its name this time.
    let error = host.selector(&StrategyConfig::new("skymesh_fixture_orderly/last")).unwrap_err();
    refused(&error, &["sha256 is", &wrong]);
    let error = host.selector(&StrategyConfig::new("skymesh_fixture_unruly/unruly")).unwrap_err();
    refused(&error, &["plugins.require_pins is set", "add sha256 = \""]);

    let host = PluginHost::new(pinned(&truth, true)).unwrap();
    assert!(host.selector(&StrategyConfig::new("last")).is_ok());
}

#[test]
fn folders_and_files_that_others_may_write_are_refused() {
    let folder = Folder::new();
    let name = "skymesh_fixture_orderly";
    let file = folder.put(name, &file_name(name));
    let shown = folder.path().display().to_string();
    set_mode(&folder.path(), 0o777);
    let error = load(&folder, &file).unwrap_err();
    refused(&error, &[&shown, "may be written by anyone", "chmod o-w", "allow_insecure_dirs"]);
    set_mode(&folder.path(), 0o775);
    let go_w = format!("run `chmod go-w {shown}`");
    refused(&load(&folder, &file).unwrap_err(), &["may be written by its group", &go_w]);
    let allowed = PluginsConfig { allow_insecure_dirs: true, ..folder.config() };
    assert!(PluginHost::new(PluginsConfig { load: vec![by_path(&file)], ..allowed }).is_ok());
    set_mode(&folder.path(), 0o755);
    set_mode(&file, 0o666);
    let in_file = format!("{} may be written", file.display());
    refused(&load(&folder, &file).unwrap_err(), &[&in_file]);
    // A link does not hide where the file really is.
    let link = folder.path().join("libskymesh_fixture_unruly.so");
    let elsewhere = Folder::new();
    let target = elsewhere.put("skymesh_fixture_unruly", "libskymesh_fixture_unruly.so");
    set_mode(&elsewhere.path(), 0o777);
    std::os::unix::fs::symlink(&target, &link).unwrap();
    refused(&load(&folder, &link).unwrap_err(), &["may be written by anyone"]);
}

#[test]
fn configuration_errors_name_strategy_key_and_expectation() {
    let folder = Folder::new();
    let host = host(&folder);
    let of =
        |config| host.selector(&strategy("skymesh_fixture_orderly/cycle", config)).unwrap_err();
    let who = "selector `cycle` of library `skymesh_fixture_orderly`: ";
    refused(&of(json!({"strat": 1})), &[who, "unknown key `strat`: did you mean `start`?"]);
    let parts = [who, "key `start` = 1001: expected a whole number from 0 to 1000"];
    refused(&of(json!({"start": 1001})), &parts);
    refused(&of(json!({"start": "1"})), &["key `start` = \"1\": expected a whole number"]);
    let error = host
        .selector(&strategy("skymesh_fixture_unruly/unruly", json!({"mischief": "refuse"})))
        .unwrap_err();
    refused(&error, &["key `mischief`: expected anything but a refusal"]);
    let error = host
        .selector(&strategy("skymesh_fixture_unruly/unruly", json!({"mischief": "panic_in_new"})))
        .unwrap_err();
    refused(&error, &["the constructor panicked: mischief in new"]);
}

#[test]
fn two_libraries_with_one_id_must_be_told_apart() {
    let folder = Folder::new();
    let host = PluginHost::with_linked(
        PluginsConfig { dirs: Vec::new(), ..folder.config() },
        [skymesh_fixture_orderly::skymesh_plugin(), crate::linking::second_cycle()],
    )
    .unwrap();
    let error = host.selector(&StrategyConfig::new("cycle")).unwrap_err();
    refused(&error, &["`cycle` is ambiguous", "`skymesh_fixture_orderly/cycle`", "`second/cycle`"]);
    assert!(host.selector(&StrategyConfig::new("second/cycle")).is_ok());
}

#[test]
fn what_is_optional_leaves_the_builtin_and_a_reason() {
    let folder = Folder::new();
    let missing = LoadConfig {
        library: Some("no_such_lib".into()),
        required: false,
        ..LoadConfig::default()
    };
    let host = PluginHost::new(PluginsConfig { load: vec![missing], ..folder.config() }).unwrap();
    assert_eq!(host.report()[0].state, PluginState::Declared);
    assert!(host.report()[0].reason.as_ref().unwrap().contains("`no_such_lib` not found"));

    let optional = StrategyConfig { required: false, ..StrategyConfig::new("nothing") };
    let slot = host.selector(&optional).unwrap();
    assert!(
        matches!(slot.health(), SlotHealth::Missing { reason } if reason.contains("`nothing`"))
    );
    assert!(slot.health().is_degraded());
    assert!(slot.prepare(members(3)).pick(None).is_some_and(|index| index < 3));
    assert!(host.codec(&optional).unwrap().is_none());
    assert!(host.codec(&StrategyConfig::new("nothing")).is_err());
    let neither = PluginsConfig { load: vec![LoadConfig::default()], ..folder.config() };
    refused(
        &PluginHost::new(neither).unwrap_err(),
        &["needs either `library` or an absolute `path`"],
    );
}

#[test]
fn inspecting_tells_the_reason_and_how_far_it_came() {
    let folder = Folder::new();
    let file = folder.put("skymesh_fixture_misfits", "libskymesh_fixture_layout.so");
    let inspection = inspect(&file, &folder.config());
    assert!(matches!(inspection.error, Some(PluginLoadError::Layout { .. })));
    assert_eq!(inspection.reports.len(), 1);
    assert_eq!(inspection.reports[0].state, PluginState::Opened);
    assert_eq!(inspection.reports[0].api_version.as_deref(), Some("1.0.0"));
    assert!(built().is_dir());
}
