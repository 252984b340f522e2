//! Several versions of one library.

use semver::VersionReq;
use skymesh_plugin_host::{PluginHost, PluginState, StrategyConfig, inspect};

use crate::fixture::{Folder, file_name, members};

const LIBRARY: &str = "skymesh_fixture_edition";

/// Both editions under versioned names.
fn both() -> Folder {
    let folder = Folder::new();
    for (edition, version) in [("one", "1.0.0"), ("two", "2.0.0")] {
        let name = format!(
            "{}{LIBRARY}-{version}{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        folder.put(&format!("skymesh_fixture_edition_{edition}"), &name);
    }
    folder
}

fn edition(version: Option<&str>) -> StrategyConfig {
    let version = version.map(|text| VersionReq::parse(text).unwrap());
    StrategyConfig { version, ..StrategyConfig::new("skymesh_fixture_edition/edition") }
}

#[test]
fn two_versions_live_at_once_as_each_service_asks() {
    let folder = both();
    let host = PluginHost::new(folder.config()).unwrap();
    // (what is asked, what it picks for key 2 of 4); the lower one first, so that it is loaded.
    let cases =
        [(Some("^1"), 2), (Some("^2"), 3), (Some("=1.0.0"), 2), (None, 3), (Some(">=1"), 3)];
    let slots: Vec<_> = cases
        .iter()
        .map(|(version, expected)| (host.selector(&edition(*version)).unwrap(), *expected))
        .collect();
    for ((slot, expected), (version, _)) in slots.iter().zip(cases) {
        assert_eq!(slot.prepare(members(4)).pick(Some(2)), Some(*expected), "{version:?}");
    }
    let active = host.report().into_iter().filter(|row| row.state == PluginState::Active);
    let versions: Vec<String> = active.filter_map(|row| row.version).collect();
    assert_eq!(versions, ["1.0.0", "2.0.0"]);
    let error = host.selector(&edition(Some("^3"))).unwrap_err().to_string();
    assert!(error.contains("`^3`") && error.contains("there are only 1.0.0, 2.0.0"), "{error}");
}

/// An unversioned file of a folder that is searched first, such as a build of one's own, is what the
/// configuration asks for or it is not: then the next folder has its turn, and nothing is shown of it.
#[test]
fn an_unversioned_file_of_another_version_does_not_hide_one_that_fits() {
    let (first, second) = (Folder::new(), both());
    first.put("skymesh_fixture_edition_one", &file_name(LIBRARY));
    let mut config = first.config();
    config.dirs.extend(second.config().dirs);
    std::fs::remove_file(second.path().join(file_name(&format!("{LIBRARY}-1.0.0")))).unwrap();
    let host = PluginHost::new(config.clone()).unwrap();
    for (version, expected) in [(Some("^2"), 3), (Some("^1"), 2)] {
        let slot = host.selector(&edition(version)).unwrap();
        assert_eq!(slot.prepare(members(4)).pick(Some(2)), Some(expected), "{version:?}");
    }
    assert!(host.report().iter().all(|row| row.reason.is_none()), "{:?}", host.report());
    // The same where only the one that fits is pinned.
    let pinned = host.report().into_iter().find(|row| row.version.as_deref() == Some("2.0.0"));
    config.load.push(skymesh_plugin_host::LoadConfig {
        library: Some(LIBRARY.into()),
        version: Some(VersionReq::parse("^2").unwrap()),
        sha256: Some(pinned.unwrap().sha256.unwrap().to_string()),
        required: true,
        ..Default::default()
    });
    let host = PluginHost::new(config).unwrap();
    assert!(host.selector(&edition(Some("^2"))).is_ok());
    // None fits: what is said is of the file that was tried.
    let error = host.selector(&edition(Some("^3"))).unwrap_err().to_string();
    assert!(error.contains("sha256 is"), "{error}");
    let host = PluginHost::new(first.config()).unwrap();
    let error = host.selector(&edition(Some("^3"))).unwrap_err().to_string();
    assert!(error.contains("version 1.0.0 does not satisfy `^3`"), "{error}");
}

#[test]
fn a_declared_version_is_the_one_that_serves() {
    let folder = both();
    let mut config = folder.config();
    config.load.push(skymesh_plugin_host::LoadConfig {
        library: Some(LIBRARY.into()),
        version: Some(VersionReq::parse("^1").unwrap()),
        ..Default::default()
    });
    let host = PluginHost::new(config).unwrap();
    let slot = host.selector(&edition(None)).unwrap();
    assert_eq!(slot.prepare(members(4)).pick(Some(2)), Some(2));
}

/// A plugin that was built against plugin-api as it is, but for one change.
#[test]
fn a_plugin_of_another_api_loads_or_is_refused_by_what_has_changed() {
    let folder = Folder::new();
    let host = PluginHost::new(folder.config()).unwrap();
    // A newer minor version, which appends.
    let library = "skymesh_fixture_of_newer";
    folder.put(library, &file_name(library));
    let slot = host.selector(&StrategyConfig::new(format!("{library}/middle"))).unwrap();
    assert_eq!(slot.prepare(members(5)).pick(None), Some(2));
    let row = host.report().into_iter().find(|row| row.library == library).unwrap();
    assert_eq!(row.api_version.as_deref(), Some("1.1.0"));
    // (the change, what is said of it)
    let refused = [
        ("argument", "built against different types than plugin-api 1.0.1 has: "),
        ("resized", "built against different types than plugin-api 1.0.2 has: "),
        ("reordered", "built against different types than plugin-api 1.0.3 has: "),
        ("inserted", "built against different types than plugin-api 1.0.4 has: "),
        ("vtable", "built against different types than plugin-api 1.0.5 has: "),
        ("codec", "built against different types than plugin-api 1.0.6 has: "),
        ("two", "built for plugin-api 2.x"),
    ];
    for (change, said) in refused {
        let library = format!("skymesh_fixture_of_{change}");
        let file = folder.put(&library, &file_name(&library));
        let error = inspect(&file, &folder.config()).error.expect(change).to_string();
        assert!(error.contains(&library) && error.lines().count() == 1, "{change}: {error}");
        assert!(error.contains(said), "{change}: {error}");
        assert!(host.selector(&StrategyConfig::new(format!("{library}/middle"))).is_err());
    }
}
