//! Data frames between v2 agents: a codec's bytes of one envelope. Which codec an index stands for
//! was said in the dialler's `AgentInfo`; nothing here knows any codec.

use std::fmt;

use crate::control::{begin_frame, end_frame};

/// How many codecs one connection can name. Protobuf can't start with a byte below 8, which is how
/// data frames are told from control messages.
pub const DATA_CODECS: usize = 8;

/// Which codec of `AgentInfo.data_codecs` a data frame is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodecIndex(u8);

impl CodecIndex {
    /// The index, if it is below [`DATA_CODECS`].
    pub const fn new(index: usize) -> Option<Self> {
        if index < DATA_CODECS { Some(Self(index as u8)) } else { None }
    }

    /// The index into the list.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for CodecIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "codec {}", self.0)
    }
}

/// What kind of frame a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameBody<'a> {
    /// An envelope in a codec's bytes. Valid only on a connection whose hello named that codec.
    Data {
        /// Which codec.
        codec: CodecIndex,
        /// The codec's bytes.
        bytes: &'a [u8],
    },
    /// A protobuf `Msg`, not decoded yet.
    Control(&'a [u8]),
}

/// Says by its first byte what a body is. An empty body is a control message, the empty one.
#[inline]
pub const fn classify(body: &[u8]) -> FrameBody<'_> {
    match body {
        [index, bytes @ ..] if (*index as usize) < DATA_CODECS => {
            FrameBody::Data { codec: CodecIndex(*index), bytes }
        }
        _ => FrameBody::Control(body),
    }
}

/// Appends one data frame to `out`; `encode` appends the codec's bytes.
///
/// # Errors
/// That of `encode`; `out` is then as it was before.
///
/// # Panics
/// If the frame is 4 GiB or larger; callers hold their own, far lower limits.
#[inline]
pub fn append_data<E>(
    codec: CodecIndex,
    out: &mut Vec<u8>,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = begin_frame(out);
    out.push(codec.0);
    match encode(out) {
        Ok(()) => {
            end_frame(out, start);
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_control_are_told_apart() {
        let mut out = vec![0xff];
        let codec = CodecIndex::new(7).unwrap();
        let encoded: Result<(), ()> = append_data(codec, &mut out, |out| {
            out.extend_from_slice(b"abc");
            Ok(())
        });
        assert_eq!(encoded, Ok(()));
        assert_eq!(out, [0xff, 0, 0, 0, 4, 7, b'a', b'b', b'c']);
        assert_eq!(classify(&out[5..]), FrameBody::Data { codec, bytes: b"abc" });
        assert_eq!(classify(&[8, 1]), FrameBody::Control(&[8, 1]));
        assert_eq!(classify(&[]), FrameBody::Control(&[]));
        assert!(CodecIndex::new(8).is_none());
    }

    #[test]
    fn a_failed_codec_leaves_no_trace() {
        let mut out = vec![1, 2, 3];
        let error = append_data(CodecIndex::new(0).unwrap(), &mut out, |out| {
            out.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!((error, out), (Err("no"), vec![1, 2, 3]));
    }
}
