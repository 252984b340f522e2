//! The frames that were captured from the origin's own programs, decoded.

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
    let said = |captured: skymesh_captured::Captured| {
        let skymesh_captured::Captured { direction, from_port, to_port, frame, .. } = captured;
        let body = decode_msg(frame[4..].to_vec()).expect("a message").body.expect("a body");
        Captured { direction, from_port, to_port, frame, body }
    };
    skymesh_captured::captured(name).into_iter().map(said).collect()
}
