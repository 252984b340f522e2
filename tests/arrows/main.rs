//! Holds the arrows of ARCHITECTURE.md: which of our crates may depend on which.

// As in a test: what can't be read fails it.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Crate -> what it may depend on. What an arrow reaches may be used as well.
const ARROWS: &[(&str, &[&str])] = &[
    ("skymesh-types", &[]),
    ("skymesh-proto", &[]),
    ("skymesh-plugin-api", &[]),
    ("skymesh-wire", &["skymesh-types", "skymesh-proto"]),
    ("skymesh-naming", &["skymesh-types", "skymesh-plugin-api"]),
    ("skymesh-transport", &["skymesh-wire", "skymesh-types"]),
    ("skymesh-store", &["skymesh-naming", "skymesh-types"]),
    ("skymesh-plugin-host", &["skymesh-plugin-api", "skymesh-types"]),
    ("skymesh-telemetry", &["skymesh-plugin-host"]),
    ("skymesh-stages", &["skymesh-plugin-host"]),
    ("skymesh-fleet", &["skymesh-stages"]),
    ("skymesh-reload", &[]),
    (
        "skymesh-nameserver",
        &[
            "skymesh-naming",
            "skymesh-store",
            "skymesh-transport",
            "skymesh-telemetry",
            "skymesh-reload",
            "skymesh-proto",
        ],
    ),
    (
        "skymesh-agent",
        &[
            "skymesh-naming",
            "skymesh-transport",
            "skymesh-telemetry",
            "skymesh-stages",
            "skymesh-reload",
            "skymesh-proto",
        ],
    ),
    ("skymesh-rpc", &["skymesh-agent"]),
    ("skymesh-grpc", &["skymesh-agent"]),
    ("skymesh", &["skymesh-agent", "skymesh-nameserver", "skymesh-rpc", "skymesh-grpc"]),
    ("skymesh-cli", &["skymesh", "skymesh-fleet"]),
];

/// Every crate below `core/` must have a line above.
const CORE: &str = "core/";

fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut closure: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (name, arrows) in ARROWS {
        let mut reached: BTreeSet<&str> = arrows.iter().copied().collect();
        for arrow in *arrows {
            // The list is in order: what an arrow points at has been closed already.
            reached.extend(&closure[arrow]);
        }
        closure.insert(*name, reached);
    }
    closure
}

/// Our crates that `package` uses in what it ships (not in its tests).
fn uses<'a>(package: &'a Package, ours: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
        .filter(|name| ours.contains(name))
        .collect()
}

/// The crates below `plugins/`: plugins, and what is none.
fn plugins_and_others<'a>(metadata: &'a Metadata) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
    let root = metadata.workspace_root.join("plugins");
    let below = metadata.packages.iter().filter(|p| p.manifest_path.starts_with(&root));
    let (plugins, others): (Vec<_>, Vec<_>) =
        below.partition(|package| package.targets.iter().any(|target| target.is_cdylib()));
    let names = |packages: Vec<&'a Package>| packages.iter().map(|p| p.name.as_str()).collect();
    (names(plugins), names(others))
}

fn broken_arrows() -> Vec<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(root).no_deps().exec().unwrap();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let allowed = allowed();
    let (plugins, others) = plugins_and_others(&metadata);
    let mut broken = Vec::new();
    let mut seen = 0;
    for package in &metadata.packages {
        let manifest = package.manifest_path.strip_prefix(&metadata.workspace_root).unwrap();
        let folder = manifest.parent().unwrap();
        let name = package.name.as_str();
        let may = match allowed.get(name) {
            Some(may) => may.clone(),
            // It collects all plugins, and is for executables alone.
            None if folder == "plugins/stock" => {
                let linked = uses(package, &ours);
                let lacks = plugins.difference(&linked);
                broken.extend(lacks.map(|plugin| format!("stock lacks {plugin}")));
                plugins.iter().copied().chain(["skymesh-plugin-api"]).collect()
            }
            // What several plugins share is no plugin itself.
            None if folder.starts_with("plugins") => {
                others.iter().copied().chain(["skymesh-plugin-api"]).collect()
            }
            None if folder.as_str().starts_with(CORE) => {
                broken.push(format!("{name} has no line in ARROWS"));
                continue;
            }
            // Examples, tests, benchmarks and fixtures may use anything; nothing may use them.
            None => continue,
        };
        seen += 1;
        for used in uses(package, &ours).difference(&may) {
            broken.push(format!("{name} -> {used}"));
        }
    }
    assert!(seen > ARROWS.len(), "only {seen} crates were looked at");
    broken
}

#[test]
fn crates_depend_only_along_the_arrows() {
    assert_eq!(broken_arrows(), Vec::<String>::new());
}

/// `unsafe` lives in two places only; everything else forbids it through the workspace's lints.
#[test]
fn every_crate_inherits_the_lints_that_forbid_unsafe() {
    const OWN_LINTS: &[&str] = &["skymesh-plugin-api", "skymesh-plugin-host"];
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(root).no_deps().exec().unwrap();
    for package in metadata.packages.iter().filter(|p| !OWN_LINTS.contains(&p.name.as_str())) {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let inherits = manifest.contains("[lints]\nworkspace = true");
        let fixture = package.manifest_path.as_str().contains("/tests/fixtures/");
        assert!(inherits || fixture, "{} does not inherit the workspace's lints", package.name);
    }
}
