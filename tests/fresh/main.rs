//! Proves that the committed output of tonic's generator is what the .proto files of the tests and
//! of the examples give today. protox compiles them: no protoc is needed, here or in any build.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::{env, fs};

const BLESS: &str = "SKYMESH_BLESS=1 cargo test -p skymesh-tests --test fresh";

/// Folder of the .proto file, its name, and the committed output, below the workspace.
const GENERATED: [(&str, &str, &str); 2] = [
    ("tests/proto", "trial", "tests/src/gen/trial.rs"),
    ("examples/grpc_helloworld", "helloworld", "examples/grpc_helloworld/gen/helloworld.rs"),
];

#[test]
fn committed_output_is_fresh() {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    for (folder, name, committed) in GENERATED {
        let out = tempfile::tempdir().unwrap();
        let folder = workspace.join(folder);
        let descriptors = protox::compile([format!("{name}.proto")], [folder]).unwrap();
        tonic_prost_build::configure().out_dir(out.path()).compile_fds(descriptors).unwrap();
        let generated = fs::read_to_string(out.path().join(format!("{name}.rs"))).unwrap();
        let path = workspace.join(committed);
        if env::var_os("SKYMESH_BLESS").is_some() {
            fs::write(&path, generated).unwrap();
            continue;
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == generated,
            "{committed} is stale: run `{BLESS}` and commit the result"
        );
    }
}
