//! Proves that the committed prost output is what `skymesh/mesh.proto` gives today, and that every
//! body has the cmd that the protocol assigns. Not part of any build: protox and prost-build are
//! needed here only.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use skymesh_proto::{Cmd, Msg};

const PROTO: &str = "skymesh/mesh.proto";
const COMMITTED: &str = "src/gen/skymesh.rs";
const BLESS: &str = "SKYMESH_BLESS=1 cargo test -p skymesh-proto";

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn generate(out: &Path) -> String {
    let descriptors = protox::compile([here().join(PROTO)], [here()]).unwrap();
    prost_build::Config::new().bytes(["."]).out_dir(out).compile_fds(descriptors).unwrap();
    fs::read_to_string(out.join("skymesh.rs")).unwrap()
}

#[test]
fn committed_output_is_fresh() {
    let out = tempfile::tempdir().unwrap();
    let generated = generate(out.path());
    let committed = here().join(COMMITTED);
    if env::var_os("SKYMESH_BLESS").is_some() {
        fs::write(&committed, generated).unwrap();
        return;
    }
    assert!(
        fs::read_to_string(&committed).unwrap_or_default() == generated,
        "{COMMITTED} is stale: run `{BLESS}` and commit the result"
    );
}

/// Field numbers and cmds are facts of the protocol: v1 bodies 100.. and 200.. are cmds 1000.. and
/// 2000.., from 10000 up both are the same number.
fn cmd_of_field(field: i32) -> i32 {
    match field {
        100..=115 => 1000 + field - 100,
        200..=202 => 2000 + field - 200,
        10_000.. => field,
        _ => panic!("field {field} is in no range of bodies"),
    }
}

#[test]
fn every_body_has_its_cmd() {
    let descriptors = protox::compile([here().join(PROTO)], [here()]).unwrap();
    let msg = descriptors.file[0]
        .message_type
        .iter()
        .find(|message| message.name() == "Msg")
        .expect("mesh.proto declares Msg");
    let bodies: Vec<i32> = msg
        .field
        .iter()
        .filter(|field| field.oneof_index.is_some())
        .map(|field| field.number())
        .collect();
    assert_eq!(bodies.len(), 55, "a body came or went: see `bodies!` in src/body.rs");

    for field in bodies {
        // A Msg that holds nothing but this body, empty: its key, then length 0.
        let mut bytes = Vec::new();
        prost::encoding::encode_key(
            u32::try_from(field).unwrap(),
            prost::encoding::WireType::LengthDelimited,
            &mut bytes,
        );
        bytes.push(0);
        let body = Msg::decode(bytes.as_slice()).unwrap().body.expect("the field is a body");
        assert_eq!(i32::from(body.cmd()), cmd_of_field(field), "field {field}");

        let again = Msg::from(body.clone());
        assert_eq!(again.cmd, cmd_of_field(field));
        assert_eq!(again.body, Some(body));
        assert!(Cmd::try_from(again.cmd).is_ok());
    }
}
