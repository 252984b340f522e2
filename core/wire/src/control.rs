//! Control messages: a [`Msg`] as a whole frame and back. The message path proper has a faster form
//! in [`message`](crate::message).

use bytes::Bytes;
use prost::Message as _;
use skymesh_proto::{Cmd, Msg};

use crate::frame::HEADER_BYTES;

/// A frame body that is not a control message. The connection it came on has to be closed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are no protobuf of ours.
    #[error("frame body is not a skymesh message: {0}; the peer does not speak skymesh")]
    Malformed(#[from] prost::DecodeError),
    /// The cmd and the body that came with it belong to different messages.
    #[error("cmd {cmd} came with the body of cmd {body:?}: the peer mixes up its messages")]
    CmdMismatch {
        /// The cmd as it came.
        cmd: i32,
        /// The cmd that this body needs.
        body: Cmd,
    },
    /// The cmd is a known one, but its body is missing.
    #[error("cmd {cmd:?} came without its body: the peer leaves out part of its message")]
    BodyMissing {
        /// The cmd.
        cmd: Cmd,
    },
}

/// Appends `msg` to `out` as one whole frame.
///
/// # Panics
/// If the message is 4 GiB or larger; callers hold their own, far lower limits.
pub fn encode_msg(msg: &Msg, out: &mut Vec<u8>) {
    let start = begin_frame(out);
    msg.encode_raw(out);
    end_frame(out, start);
}

/// Reads a frame body as a control message. From [`Bytes`] (see
/// [`Frame::to_bytes`](crate::Frame::to_bytes)), its `bytes` fields are slices without a copy.
///
/// An unknown cmd is no error: it comes with `body` `None`, to be counted and skipped by the caller.
///
/// # Errors
/// [`DecodeError`] for bytes that are no message, nest deeper than 100 levels (unknown fields
/// included), or pair a known cmd with no body or with another's.
pub fn decode_msg(body: impl Into<Bytes>) -> Result<Msg, DecodeError> {
    let msg = Msg::decode(body.into())?;
    match &msg.body {
        Some(body) if i32::from(body.cmd()) != msg.cmd => {
            Err(DecodeError::CmdMismatch { cmd: msg.cmd, body: body.cmd() })
        }
        None => match Cmd::try_from(msg.cmd) {
            Ok(cmd) if cmd != Cmd::Unspecified => Err(DecodeError::BodyMissing { cmd }),
            _ => Ok(msg),
        },
        Some(_) => Ok(msg),
    }
}

/// Leaves room for the length of a frame and returns where the frame starts.
pub(crate) fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    start
}

/// Writes the length of the frame that began at `start` and ends with `out`.
pub(crate) fn end_frame(out: &mut [u8], start: usize) {
    let body = start + HEADER_BYTES;
    let length = u32::try_from(out.len() - body).expect("a frame is smaller than 4 GiB");
    out[start..body].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use skymesh_proto::msg::Body;
    use skymesh_proto::{Heartbeat, SetAttributes};

    use super::*;

    #[test]
    fn frames_follow_each_other_in_one_buffer() {
        let mut out = Vec::new();
        encode_msg(&Heartbeat { handle: 7 }.into(), &mut out);
        let first = out.len();
        encode_msg(&Heartbeat { handle: 8 }.into(), &mut out);
        assert_eq!(out[..4], u32::try_from(first - 4).unwrap().to_be_bytes());
        let msg = decode_msg(out[first + 4..].to_vec()).unwrap();
        assert_eq!(msg, Heartbeat { handle: 8 }.into());
    }

    #[test]
    fn bytes_fields_are_not_copied() {
        let mut out = Vec::new();
        let attributes = Bytes::from_static(b"{\"zone\":\"eu\"}");
        encode_msg(&SetAttributes { handle: 7, attributes }.into(), &mut out);
        let frame = Bytes::from(out);
        let Some(Body::SetAttributes(set)) = decode_msg(frame.slice(4..)).unwrap().body else {
            panic!("another body came out");
        };
        assert!(frame.as_ptr_range().contains(&set.attributes.as_ptr()));
    }

    #[test]
    fn unknown_cmds_are_visible_and_no_error() {
        // cmd 4242 with an unknown field 300 of three bytes.
        let body = [0x08, 0x92, 0x21, 0xe2, 0x12, 3, 1, 2, 3];
        let msg = decode_msg(body.to_vec()).unwrap();
        assert_eq!((msg.cmd, msg.body), (4242, None));
        assert_eq!(decode_msg(Bytes::new()).unwrap(), Msg::default());
    }

    #[test]
    fn a_cmd_with_no_body_or_another_is_refused() {
        let alone = Msg { cmd: Cmd::Ping.into(), body: None }.encode_to_vec();
        assert_eq!(decode_msg(alone).unwrap_err(), DecodeError::BodyMissing { cmd: Cmd::Ping });
        let body = Some(Body::Heartbeat(Heartbeat { handle: 7 }));
        let mixed = Msg { cmd: 2001, body }.encode_to_vec();
        let error = decode_msg(mixed).unwrap_err();
        assert_eq!(error, DecodeError::CmdMismatch { cmd: 2001, body: Cmd::Heartbeat });
        assert_eq!(
            error.to_string(),
            "cmd 2001 came with the body of cmd Heartbeat: the peer mixes up its messages"
        );
    }

    #[test]
    fn nesting_has_a_limit_in_unknown_fields_too() {
        // Groups of the unknown field 300: 0xe3 0x12 opens one, 0xe4 0x12 closes it.
        let nested = |depth: usize| {
            let mut body = [0xe3, 0x12].repeat(depth);
            body.extend([0xe4, 0x12].repeat(depth));
            decode_msg(body)
        };
        assert!(nested(50).is_ok());
        assert!(matches!(nested(1_000_000), Err(DecodeError::Malformed(_))));
    }
}
