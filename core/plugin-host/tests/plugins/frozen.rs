//! A library that is built of 1.0's own text loads and serves, whatever has been appended since.

use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use skymesh_plugin_host::{
    ElectionCandidate, Envelope, Office, PluginState, StrategyConfig, Verdict,
};

use crate::fixture::{Folder, host, members, strategy};

/// Of all that is in `apis/frozen-1.0` but its README: nobody edits what people have built against.
const FROZEN: &str = "a83ef4d8db89c0acc0dd27cdb45c6d7e79918ddc09edce8975d3da22b10d49ba";

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.file_name().is_some_and(|name| name != "README.md") {
            found.push(path);
        }
    }
}

#[test]
fn the_text_of_1_0_is_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apis/frozen-1.0");
    let mut found = Vec::new();
    files(&folder, &mut found);
    let mut named: Vec<(String, PathBuf)> = found
        .into_iter()
        .map(|path| (path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    named.sort();
    assert!(named.len() > 40, "{named:?}");
    let mut hash = Sha256::new();
    for (name, path) in named {
        let bytes = std::fs::read(path).unwrap();
        hash.update(format!("{name}\0{}\0", bytes.len()));
        hash.update(bytes);
    }
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digits, FROZEN, "see frozen-1.0/README.md");
}

#[test]
fn a_plugin_of_each_kind_that_was_built_with_1_0_serves() {
    let folder = Folder::new();
    let host = host(&folder);
    let named = |id: &str| StrategyConfig::new(format!("skymesh_fixture_frozen/{id}"));
    let last = host.selector(&named("last")).unwrap();
    assert_eq!(last.prepare(members(7)).pick(Some(1)), Some(6));
    let cycle = strategy("skymesh_fixture_frozen/cycle", json!({ "start": 1 }));
    assert!(host.selector(&cycle).unwrap().prepare(members(7)).pick(None).is_some());
    let wrong = strategy("skymesh_fixture_frozen/cycle", json!({ "strat": 1 }));
    assert!(host.selector(&wrong).unwrap_err().to_string().contains("did you mean `start`?"));

    for id in ["plain", "mirrored"] {
        let codec = host.codec(&named(id)).unwrap().unwrap();
        let envelope = Envelope { destination: 7, payload: b"frozen", ..Envelope::default() };
        let (mut bytes, mut scratch) = (Vec::new(), Vec::new());
        codec.encode(&envelope, &mut bytes).unwrap();
        let decoded = codec.decode(&bytes, &mut scratch).unwrap();
        assert_eq!(decoded.envelope(&bytes, &scratch), envelope, "{id}");
    }
    let election = host.election(&named("foremost")).unwrap();
    let candidate = |instance, priority| ElectionCandidate {
        instance,
        priority,
        attributes: "{}".to_owned(),
        ..ElectionCandidate::default()
    };
    let mut candidates = [candidate(1, 0), candidate(2, 9)];
    let verdict = election.elect(&mut candidates, &Office::default());
    assert_eq!(verdict, Verdict::Chosen(Some(1)));
    let batch = skymesh_plugin_api::MetricsBatch {
        samples: &[skymesh_plugin_api::Sample {
            name: "n",
            help: "",
            unit: "",
            labels: &[],
            value: skymesh_plugin_api::SampleValue::Counter(1),
        }],
        resource: &[],
        unix_ns: 2,
        started_unix_ns: 1,
    };
    assert!(host.metrics(&named("tally")).unwrap().unwrap().flush(&batch));
    let spans = skymesh_plugin_api::TraceBatch { spans: &[], resource: &[], dropped: 0 };
    let trace = host.trace(&named("tally")).unwrap().unwrap();
    assert!(!trace.export(&spans) && trace.failures() == 0, "it refuses batches without spans");
    let rows = host.report();
    assert!(rows.iter().all(|row| row.api_version.as_deref() == Some("1.0.0")), "{rows:?}");
    assert!(rows.iter().any(|row| row.state == PluginState::Active), "{rows:?}");
}
