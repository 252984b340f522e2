//! The author's kit: `skymesh plugin new` and what it makes, built by cargo as an author would.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary::run;

const KINDS: [&str; 5] = ["selector", "codec", "election", "metrics", "trace"];

/// A folder whose place does not change, so that cargo builds what has changed since the last run.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("kit")
}

/// Runs cargo in a folder, with nothing from the net.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    // Of the surrounding `cargo test`, only where the toolchain is holds for another workspace.
    let ours = |name: &str| name.starts_with("CARGO_") || name == "RUSTFLAGS";
    let mut command = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name) && name != "CARGO_HOME") {
        command.env_remove(name);
    }
    let output = command
        .args(arguments)
        .arg("--offline")
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", self::folder().join("target"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "cargo {arguments:?} in {}: {said}", folder.display());
    assert!(!said.contains("warning"), "cargo {arguments:?} in {}: {said}", folder.display());
    said
}

/// By rustfmt's defaults, whatever surrounds the folder.
fn assert_formatted(crate_folder: &Path) {
    let defaults = tempfile::tempdir().unwrap();
    fs::write(defaults.path().join("rustfmt.toml"), "").unwrap();
    let output = Command::new("rustfmt")
        .args(["--check", "--edition", "2024", "--config-path"])
        .arg(defaults.path())
        .arg(crate_folder.join("src/lib.rs"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn a_new_plugin_of_each_kind_builds_keeps_its_contract_and_loads() {
    for kind in KINDS {
        let id = format!("my_{kind}");
        let place = folder().join(&id);
        let _ = fs::remove_dir_all(&place);
        let path = place.to_str().unwrap();
        let made = run(&["plugin", "new", kind, &id, "--path", path]).await;
        assert!(made.good().starts_with(&format!("{path}: {kind} `{id}`, for ")), "{made:?}");

        let tested = cargo(&place, &["test"]);
        assert!(tested.contains("test tests::keeps_the_contract ... ok"), "{tested}");
        cargo(&place, &["build"]);
        assert_formatted(&place);
        let library = format!(
            "{}skymesh_{kind}_{id}{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        let library = folder().join("target/debug").join(library);
        let checked = run(&["plugin", "check", library.to_str().unwrap()]).await;
        let line = format!("  {kind:<9} {id}: ");
        assert!(checked.good().contains(&line), "{checked:?}");
    }
}

#[tokio::test]
async fn nothing_is_written_over_and_nothing_is_made_of_a_wrong_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let before: BTreeMap<PathBuf, Vec<u8>> =
        BTreeMap::from([(folder.path().join("x"), b"y".to_vec())]);
    fs::write(folder.path().join("x"), "y").unwrap();
    let answer = run(&["plugin", "new", "selector", "mine", "--path", root]).await;
    assert_eq!(
        answer.errors(),
        [format!("error: {root} is not empty; choose another folder with --path")]
    );
    let x = folder.path().join("x");
    let answer = run(&["plugin", "new", "codec", "mine", "--path", x.to_str().unwrap()]).await;
    assert!(answer.errors()[0].contains("Not a directory"), "{answer:?}");
    let target = folder.path().join("new");
    let target = target.to_str().unwrap();
    let no_api = ["plugin", "new", "codec", "mine", "--path", target, "--api-path", root];
    assert!(run(&no_api).await.errors()[0].contains("the package skymesh-plugin-api is not there"));
    for wrong in [["selector", "my-router"], ["selectors", "mine"]] {
        let answer = run(&["plugin", "new", wrong[0], wrong[1], "--path", target]).await;
        assert_eq!(answer.code, Some(2), "{answer:?}");
    }
    let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let left: BTreeMap<PathBuf, Vec<u8>> =
        left.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert_eq!(left, before);
}
