//! The same crates linked into this executable instead of loaded.

use skymesh_plugin_api::{
    LinkedPlugin, NoConfig, PluginError, Request, Selector, View, abi::entry,
};
use skymesh_plugin_host::{LoadConfig, PluginHost, PluginKind, PluginsConfig, StrategyConfig};

use crate::fixture::{Folder, members};

/// A second `cycle`, in a library called `second`.
struct Cycle;

impl Selector for Cycle {
    const ID: &'static str = "cycle";
    type Config = NoConfig;
    type Table = ();

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn prepare(&self, _view: &View<'_>) {}

    fn pick(&self, _view: &View<'_>, _table: &(), _request: &Request) -> Option<usize> {
        None
    }
}

pub(crate) fn second_cycle() -> LinkedPlugin {
    static MODULE: entry::ModuleStatic = entry::module(
        &entry::CrateFacts {
            library: "second",
            version: "2.0.0",
            authors: "",
            profile: "debug",
            panic_unwind: true,
        },
        &entry::Plugins {
            selectors: &[entry::SelectorShim::<Cycle>::DECLARATION],
            codecs: &[],
            elections: &[],
            metrics: &[],
            traces: &[],
        },
    );
    entry::linked(&MODULE)
}

#[test]
fn a_linked_library_serves_where_there_is_no_file() {
    let folder = Folder::new();
    let config = PluginsConfig { dirs: Vec::new(), ..folder.config() };
    let host = PluginHost::with_linked(config, [second_cycle()]).unwrap();
    let slot = host.selector(&StrategyConfig::new("cycle")).unwrap();
    assert_eq!(slot.prepare(members(3)).pick(None), None, "as this selector answers");
    let report = host.report();
    assert_eq!((report[0].kind, report[0].path.as_ref()), (Some(PluginKind::Selector), None));

    let version_two = StrategyConfig {
        version: Some("^1".parse().unwrap()),
        ..StrategyConfig::new("second/cycle")
    };
    let error = host.selector(&version_two).unwrap_err().to_string();
    assert!(error.contains("`second` of version `^1` not found"), "{error}");
}

#[test]
fn linked_and_loaded_are_the_same_but_a_file_goes_first() {
    let folder = Folder::new();
    let config = PluginsConfig { dirs: Vec::new(), ..folder.config() };
    let linked = [skymesh_fixture_orderly::skymesh_plugin()];
    let host = PluginHost::with_linked(config, linked).unwrap();
    let by_id = host.selector(&StrategyConfig::new("last")).unwrap();
    assert_eq!(by_id.prepare(members(7)).pick(None), Some(6));
    let of_file = |host: &PluginHost| host.report().iter().any(|row| row.path.is_some());
    assert!(!of_file(&host), "an id alone finds no file of that name, so the linked one serves");

    let by_library = host.selector(&StrategyConfig::new("skymesh_fixture_orderly/last")).unwrap();
    assert_eq!(by_library.prepare(members(7)).pick(None), Some(6));
    assert!(of_file(&host), "the file beside the executable is preferred");
}

#[test]
fn where_only_linked_libraries_count_no_file_is_taken() {
    let folder = Folder::new();
    let config = PluginsConfig { linked_only: true, ..folder.config() };
    let declared =
        |library: &str| LoadConfig { library: Some(library.into()), ..Default::default() };
    let linked = || [skymesh_fixture_orderly::skymesh_plugin()];
    let load = vec![declared("skymesh_fixture_orderly")];
    let host = PluginHost::with_linked(PluginsConfig { load, ..config.clone() }, linked()).unwrap();
    host.selector(&StrategyConfig::new("skymesh_fixture_orderly/last")).unwrap();
    assert!(host.report().iter().all(|row| row.path.is_none()), "{:?}", host.report());
    let error = host.selector(&StrategyConfig::new("skymesh_fixture_unruly/unruly")).unwrap_err();
    assert!(error.to_string().contains("is not linked"), "{error}");
    let load = vec![declared("skymesh_fixture_unruly")];
    assert!(PluginHost::with_linked(PluginsConfig { load, ..config }, linked()).is_err());
}
