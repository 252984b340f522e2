//! The author's kit: `skymesh plugin new` and what it makes, built by cargo as an author would, and
//! `skymesh plugin bench`.

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

/// A plugin of the fixture beside the binary.
pub(crate) const CYCLE: &str = "skymesh_fixture_orderly/cycle";

#[tokio::test]
async fn bench_measures_picks_and_changes_beside_the_builtin() {
    let few = ["--calls", "100", "--rounds", "3"];
    let arguments =
        [&["plugin", "bench", "builtin", CYCLE, "--instances", "3,70"][..], &few].concat();
    let answer = run(&arguments).await;
    let lines: Vec<&str> = answer.good().lines().collect();
    let at = lines.iter().position(|line| line.starts_with("selector cycle of ")).unwrap();
    assert!(
        lines[at].starts_with("selector cycle of skymesh_fixture_orderly 0.4.1, "),
        "{answer:?}"
    );
    let rows = lines[at..].iter().map(|line| line.split_whitespace().collect::<Vec<_>>());
    for size in ["3", "70"] {
        let row = rows.clone().find(|row| row.first() == Some(&size)).unwrap();
        let pick: f64 = row[1].parse().unwrap();
        let over: f64 = row[3].parse().unwrap();
        let base: f64 = row[2].parse().unwrap();
        assert!(pick > 0.0 && (pick - base - over).abs() < 0.11, "{row:?}");
        assert_eq!((row.len(), row[7]), (8, "us"), "{row:?}");
    }
    assert!(
        answer.stdout.ends_with("medians of 3 interleaved rounds of 100 calls\n"),
        "{answer:?}"
    );

    // A codec, in a library that has several of them.
    let library = fixture();
    let of_codec = ["plugin", "bench", &library, "--id", "plain", "--payload", "10,500"];
    let answer = run(&[&of_codec[..], &few].concat()).await;
    let plain = answer.good();
    assert!(plain.starts_with("codec plain of skymesh_fixture_orderly"), "{plain}");
    let row = plain.lines().find(|line| line.starts_with("500 ")).unwrap();
    let bytes: usize = row.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((500..600).contains(&bytes), "{row}");

    for instances in ["0", "10,10000000"] {
        let refused = run(&["plugin", "bench", &library, "--instances", instances]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("is not in 1..=100000"), "{refused:?}");
    }
    let none = run(&["plugin", "bench", &library, "--id", "no_such"]).await;
    let nothing = "it has no selector or codec or election or metrics or trace `no_such`";
    assert!(none.errors()[0].ends_with(nothing), "{none:?}");
}

/// Elections by ballot, sinks by batch: a line for each size.
#[tokio::test]
async fn bench_measures_elections_and_sinks_too() {
    let library = fixture();
    for (id, headings) in [
        ("foremost", &["election foremost of "][..]),
        ("tally", &["metrics tally of ", "trace tally of "]),
    ] {
        let few = ["--calls", "20000", "--rounds", "3", "--instances", "3,40"];
        let arguments = [&["plugin", "bench", &library, "--id", id][..], &few].concat();
        let answer = run(&arguments).await;
        let lines: Vec<&str> = answer.good().lines().collect();
        for heading in headings {
            let at = lines.iter().position(|line| line.starts_with(heading)).unwrap();
            let titles = lines[at..].iter().position(|line| line.contains("  PER ")).unwrap();
            for (size, line) in ["3", "40"].iter().zip(&lines[at + titles + 1..]) {
                let cells: Vec<&str> = line.split_whitespace().collect();
                let [whole, each] =
                    [1, cells.len() - 1].map(|at| cells[at].parse::<f64>().unwrap());
                assert_eq!(cells[0], *size, "{answer:?}");
                assert!(whole > 0.0 && each > 0.0 && each < whole, "{answer:?}");
            }
        }
    }
}

/// Those of this repository, however many.
fn stock_selectors() -> Vec<String> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let names = fs::read_dir(plugins).unwrap().map(|one| one.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap().replace('-', "_"));
    names.filter_map(|name| Some(name.strip_prefix("selector_")?.to_owned())).collect()
}

/// Without names, all that lies beside the binary, whether it can be measured or not.
#[tokio::test]
async fn bench_finds_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let skymesh = folder.path().join("skymesh");
    fs::copy(env!("CARGO_BIN_EXE_skymesh"), &skymesh).unwrap();
    let stock = stock_selectors();
    assert!(stock.len() >= 8, "{stock:?}");
    for id in &stock {
        let built = library(&format!("skymesh_selector_{id}"));
        fs::copy(&built, folder.path().join(built.file_name().unwrap())).unwrap();
    }
    fs::write(folder.path().join("libskymesh_codec_broken.so"), "no codec").unwrap();
    let output = Command::new(&skymesh)
        .args(["plugin", "bench", "--calls", "10", "--rounds", "1", "--instances", "3"])
        .env_clear()
        .env("SKYMESH_PLUGINS__CACHE_DIR", folder.path().join("cache"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let sections: Vec<&str> = text.split("\n\n").collect();
    for id in &stock {
        let heading = format!("selector {id} of skymesh_selector_{id} 0.");
        let section = sections.iter().find(|one| one.starts_with(&heading));
        let section = section.unwrap_or_else(|| panic!("no {heading}: {text}"));
        let row = section.lines().find(|line| line.starts_with("3 "));
        assert!(row.is_some_and(|row| row.split_whitespace().count() == 8), "{section}");
    }
    assert!(text.contains("skymesh_codec_broken/broken: not measured: "), "{text}");
}

/// The fixture's library.
pub(crate) fn fixture() -> String {
    library("skymesh_fixture_orderly").to_str().unwrap().to_owned()
}

/// Cargo puts libraries beside the binary.
fn library(name: &str) -> PathBuf {
    let name = format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let folder = Path::new(env!("CARGO_BIN_EXE_skymesh")).parent().unwrap();
    folder.join("deps").join(name)
}
