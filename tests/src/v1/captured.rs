//! The frames that were captured from the origin's own programs.

use std::path::Path;

use serde_json::Value;
use skymesh_proto::msg::Body;
use skymesh_wire::decode_msg;

/// A captured frame.
#[derive(Debug)]
pub struct Captured {
    /// From whom to whom, e.g. `agent->agent`.
    pub direction: String,
    /// The port that it came from.
    pub from_port: u64,
    /// The port that it went to.
    pub to_port: u64,
    /// The whole frame.
    pub frame: Vec<u8>,
    /// What it says.
    pub body: Body,
}

/// What the origin's own programs said to each other.
///
/// # Panics
/// If there is no such file.
pub fn captured(name: &str) -> Vec<Captured> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/wire/tests/vectors/v1");
    let text = std::fs::read_to_string(folder.join(name)).expect("captured frames");
    let line = |line: &str| {
        let said: Value = serde_json::from_str(line).expect("a line of JSON");
        let frame = unhex(said["frame"].as_str().expect("a frame"));
        let body = decode_msg(frame[4..].to_vec()).expect("a message").body.expect("a body");
        let direction = said["direction"].as_str().expect("a direction").to_owned();
        let port = |key: &str| said[key].as_u64().expect("a port");
        let (from_port, to_port) = (port("from_port"), port("to_port"));
        Captured { direction, from_port, to_port, frame, body }
    };
    text.lines().map(line).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}
