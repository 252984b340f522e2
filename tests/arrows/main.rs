//! Holds what ARCHITECTURE.md says of crates: its table of arrows, and what the crates without I/O do
//! without.

// As in a test: what can't be read fails it.
#![allow(clippy::unwrap_used)]

mod sources;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand, Package};
use table::{Allowed, Table};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What the crates that promise no I/O may use of others', and plugin-api, which shows its own to every
/// author of a plugin. None of these opens, waits, looks at a clock or throws dice.
const FOREIGN: &[(&str, &[&str])] = &[
    ("proto", &["bytes", "prost"]),
    ("core/types", &["serde", "serde_json", "thiserror", "xxhash-rust"]),
    ("core/wire", &["bytes", "prost", "thiserror"]),
    ("core/naming", &["serde", "serde_json", "thiserror"]),
    ("core/stages", &["humantime-serde", "serde"]),
    ("core/fleet", &[]),
    (
        "plugin-api",
        &[
            "abi_stable",
            "serde",
            "serde_ignored",
            "serde_json",
            "serde_path_to_error",
            "strsim",
            "tracing",
            "tracing-core",
        ],
    ),
];

/// What a core crate may link only if somebody asks for it: a feature of executables, off by default.
const OPTIONAL: &[(&str, &str)] = &[("skymesh-cli", "skymesh-stock")];

/// The workspace as cargo knows it.
struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    fn read() -> Self {
        let manifest = format!("{ROOT}/Cargo.toml");
        Self { metadata: MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap() }
    }

    /// Our crates, by folder.
    fn crates(&self) -> BTreeMap<&str, &Package> {
        self.metadata.packages.iter().map(|package| (self.folder(package), package)).collect()
    }

    fn folder<'a>(&self, package: &'a Package) -> &'a str {
        let below = package.manifest_path.strip_prefix(&self.metadata.workspace_root).unwrap();
        below.parent().unwrap().as_str()
    }

    /// What `package` uses in what it ships (not in its tests), but for [`OPTIONAL`].
    fn uses<'a>(&self, package: &'a Package) -> impl Iterator<Item = &'a Dependency> {
        let shipped = |used: &&Dependency| {
            let arrow = (package.name.as_str(), used.name.as_str());
            let on_demand = used.optional && OPTIONAL.contains(&arrow);
            used.kind != DependencyKind::Development && !on_demand
        };
        package.dependencies.iter().filter(shipped)
    }
}

fn architecture() -> Table {
    Table::read(&std::fs::read_to_string(format!("{ROOT}/ARCHITECTURE.md")).unwrap())
}

/// Every arrow that the table does not allow.
fn broken_arrows(workspace: &Workspace, table: &Table) -> Vec<String> {
    let crates = workspace.crates();
    let folder_of: BTreeMap<&str, &str> =
        crates.iter().map(|(folder, package)| (package.name.as_str(), *folder)).collect();
    let is_plugin = |folder: &str| {
        let below = folder.starts_with("plugins/");
        below && crates[folder].targets.iter().any(|target| target.is_cdylib())
    };
    let mut broken = Vec::new();
    for (folder, package) in &crates {
        let Some(allowed) = table.allowed(folder) else {
            broken.push(format!("{folder} has no row"));
            continue;
        };
        let used: BTreeSet<&str> = workspace
            .uses(package)
            .filter_map(|used| folder_of.get(used.name.as_str()).copied())
            .collect();
        let may = |used: &str| match &allowed {
            Allowed::Anything => true,
            Allowed::Crates(crates) => crates.contains(used),
            Allowed::AllPlugins => used == "plugin-api" || is_plugin(used),
            // What several plugins share is no plugin itself.
            Allowed::NoPlugin => {
                used == "plugin-api" || (used.starts_with("plugins/") && !is_plugin(used))
            }
        };
        broken.extend(
            used.iter().filter(|used| !may(used)).map(|used| format!("{folder} -> {used}")),
        );
        if allowed == Allowed::AllPlugins {
            let plugins = crates.keys().filter(|folder| is_plugin(folder));
            let lacks = plugins.filter(|plugin| !used.contains(*plugin));
            broken.extend(lacks.map(|plugin| format!("{folder} lacks {plugin}")));
        }
    }
    broken
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let (workspace, table) = (Workspace::read(), architecture());
    assert_eq!(broken_arrows(&workspace, &table), Vec::<String>::new());
    // No row is about a crate that is not there any more.
    let crates = workspace.crates();
    for folder in table.folders() {
        let top = folder.trim_end_matches("/*");
        let about = |known: &&str| *known == folder || known.starts_with(&format!("{top}/"));
        assert!(crates.keys().any(about), "{folder} is no crate");
    }
}

#[test]
fn crates_without_io_use_nothing_that_could_do_any() {
    let (workspace, table) = (Workspace::read(), architecture());
    let crates = workspace.crates();
    let ours: BTreeSet<&str> = crates.values().map(|package| package.name.as_str()).collect();
    let foreign: BTreeMap<&str, &[&str]> = FOREIGN.iter().copied().collect();
    for folder in table.without_io() {
        assert!(foreign.contains_key(folder), "{folder} promises no I/O, and is not in FOREIGN");
    }
    for (folder, may) in foreign {
        let used = workspace.uses(crates[folder]).map(|used| used.name.as_str());
        let used: BTreeSet<&str> = used.filter(|name| !ours.contains(name)).collect();
        let may: BTreeSet<&str> = may.iter().copied().collect();
        assert_eq!(used, may, "{folder}: what it uses of others', and FOREIGN");
    }
}

#[test]
fn what_has_no_clock_asks_none_and_opens_nothing() {
    let table = architecture();
    assert!(table.without_io().count() > 1, "crates that promise it are found");
    for folder in table.without_io() {
        assert_eq!(sources::forbidden_below(format!("{ROOT}/{folder}/src")), Vec::<String>::new());
    }
}

/// An arrow to the plugins that is not followed by default is no way around the table.
#[test]
fn no_default_feature_links_plugins() {
    let workspace = Workspace::read();
    for (package, _) in OPTIONAL {
        let crates = workspace.crates();
        let package = crates.values().find(|one| one.name.as_str() == *package).unwrap();
        let default = package.features.get("default").cloned().unwrap_or_default();
        assert!(default.is_empty(), "{}: {default:?}", package.name);
        assert!(package.features.contains_key("stock"), "{}", package.name);
    }
}

/// `unsafe` lives in two places only; everything else forbids it through the workspace's lints.
#[test]
fn every_crate_inherits_the_lints_that_forbid_unsafe() {
    const OWN_LINTS: &[&str] = &["plugin-api", "core/plugin-host"];
    for (folder, package) in Workspace::read().crates() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let inherits = manifest.contains("[lints]\nworkspace = true");
        let excused = OWN_LINTS.contains(&folder) || folder.starts_with("tests/fixtures/");
        assert!(inherits || excused, "{folder} does not inherit the workspace's lints");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# X\n\n## Crates and their arrows\n| crate | what it is | may depend on |\n|---|---|---|\n\
        | `proto` | words | - |\n| `core/wire` | bytes. Sans-io | proto |\n\
        | `core/agent` | runtime | wire (why) |\n| `plugins/*` | each | plugin-api; never another plugin |\n\
        | `examples`, `tests` | | anything; nothing depends on them |\n\n## Next\n| `core/no` | of this chapter | - |\n";

    #[test]
    fn the_table_is_read_as_it_is_written() {
        let table = Table::read(TEXT);
        let crates = |folders: &[&str]| {
            Some(Allowed::Crates(folders.iter().map(|folder| (*folder).to_owned()).collect()))
        };
        assert_eq!(table.allowed("proto"), crates(&[]));
        assert_eq!(table.allowed("core/agent"), crates(&["core/wire", "proto"]));
        assert_eq!(table.allowed("plugins/any"), Some(Allowed::NoPlugin));
        assert_eq!(table.allowed("tests/bench"), Some(Allowed::Anything));
        assert_eq!(table.allowed("core/no"), None);
        assert_eq!(table.without_io().collect::<Vec<_>>(), ["core/wire"]);
    }
}
