//! Cuts a stream of bytes into frames, in place. Knows lengths and limits only, not what a body
//! means.

use std::ops::RangeBounds;

use bytes::{Bytes, BytesMut};
use skymesh_types::limits;

/// Bytes of a frame before its body: the length, big-endian.
pub const HEADER_BYTES: usize = 4;

/// A peer announced a frame body over the limit. Nothing was reserved for it; the stream can't be
/// read on, so the connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "peer announced a frame of {length} bytes, over the limit of {limit} bytes: it does not speak \
     skymesh, or `max_frame_bytes` differs between the two ends"
)]
pub struct FrameTooLarge {
    /// What the peer announced, in bytes.
    pub length: usize,
    /// The limit that held, in bytes.
    pub limit: usize,
}

/// Takes whole frames off the front of a read buffer.
///
/// Keeps no bytes of its own: what is incomplete stays in the caller's buffer, and every byte is
/// looked at once, so the work is linear however the stream was split.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    limit: usize,
}

impl FrameDecoder {
    /// A decoder for a peer that has not introduced itself: bodies up to
    /// [`limits::GREETING_BYTES`].
    pub const fn new() -> Self {
        Self::with_limit(limits::GREETING_BYTES)
    }

    /// A decoder for bodies up to `max_frame_bytes`.
    pub const fn with_limit(max_frame_bytes: usize) -> Self {
        Self { limit: max_frame_bytes }
    }

    /// Sets another limit for the frames that have not been taken yet, once the peer has introduced
    /// itself.
    pub const fn set_limit(&mut self, max_frame_bytes: usize) {
        self.limit = max_frame_bytes;
    }

    /// Takes the longest run of whole frames off the front of `buffer`, or `None` if not one is
    /// complete. The run shares the buffer's memory.
    ///
    /// # Errors
    /// [`FrameTooLarge`] if the next frame is over the limit. Frames before it are handed out
    /// first, so a peer's last good words are heard, and a limit that they raise counts.
    pub fn take(&self, buffer: &mut BytesMut) -> Result<Option<Frames>, FrameTooLarge> {
        let mut whole = 0;
        loop {
            match self.next_len(&buffer[whole..]) {
                Ok(Some(len)) if len <= buffer.len() - whole => whole += len,
                Err(error) if whole == 0 => return Err(error),
                _ => break,
            }
        }
        if whole == 0 {
            return Ok(None);
        }
        Ok(Some(Frames { run: buffer.split_to(whole).freeze() }))
    }

    /// Bytes that the frame at the front of `buffer` still misses: 0 if the buffer is empty (no
    /// frame has begun) or a frame is complete. Before the length is known it is the rest of the
    /// header. A hint for supervision and read sizes; never more than limit plus header, and not a
    /// size to reserve, since the peer only claims it.
    pub fn missing(&self, buffer: &[u8]) -> usize {
        if buffer.is_empty() {
            return 0;
        }
        match self.next_len(buffer) {
            Ok(Some(len)) => len.saturating_sub(buffer.len()),
            Ok(None) => HEADER_BYTES - buffer.len(),
            Err(_) => 0,
        }
    }

    /// Length of the frame that starts `bytes`, header included; `None` if the header is not whole.
    fn next_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameTooLarge> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        if length > self.limit {
            return Err(FrameTooLarge { length, limit: self.limit });
        }
        Ok(length.checked_add(HEADER_BYTES))
    }
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// A run of one or more whole frames in one piece of memory. Walk it with [`iter`](Self::iter);
/// nothing is copied.
#[derive(Debug, Clone)]
pub struct Frames {
    /// Whole frames, back to back: made by [`FrameDecoder::take`] only.
    run: Bytes,
}

impl Frames {
    /// The frames in the order they came.
    pub const fn iter(&self) -> Iter<'_> {
        Iter { run: &self.run, at: 0 }
    }

    /// The run itself, headers included: what offsets of a frame's parts count from.
    pub const fn run(&self) -> &Bytes {
        &self.run
    }

    /// Bytes of the run, headers included.
    pub const fn bytes(&self) -> usize {
        self.run.len()
    }
}

impl<'a> IntoIterator for &'a Frames {
    type Item = Frame<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Iterator over the frames of a run.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    run: &'a Bytes,
    at: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        let rest = self.run.get(self.at..)?;
        let (header, rest) = rest.split_first_chunk::<HEADER_BYTES>()?;
        let body = rest.get(..u32::from_be_bytes(*header) as usize)?;
        self.at += HEADER_BYTES + body.len();
        Some(Frame { run: self.run, body })
    }
}

/// One frame within a run.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    run: &'a Bytes,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The body, without its length.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The body as shared bytes, without a copy: what [`decode_msg`](crate::decode_msg) takes.
    pub fn to_bytes(&self) -> Bytes {
        self.run.slice_ref(self.body)
    }

    /// A range of the body as shared bytes: one reference count, no copy. The bytes keep the whole
    /// run in memory for as long as they live.
    ///
    /// # Panics
    /// If the range is not within the body.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Bytes {
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        self.run.slice_ref(&self.body[range])
    }

    /// As [`slice`](Self::slice), for a part that was found by reading the body in place, such as
    /// the payload of an [`Envelope`](crate::Envelope).
    ///
    /// # Panics
    /// If `part` is not a part of this run's memory; an empty part may come from anywhere.
    pub fn slice_ref(&self, part: &[u8]) -> Bytes {
        self.run.slice_ref(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn a_run_ends_before_the_first_incomplete_frame() {
        let mut buffer = BytesMut::new();
        buffer.extend_from_slice(&frame(b"one"));
        buffer.extend_from_slice(&frame(b""));
        buffer.extend_from_slice(&frame(b"three")[..6]);
        let decoder = FrameDecoder::new();

        let frames = decoder.take(&mut buffer).unwrap().unwrap();
        let bodies: Vec<_> = frames.iter().map(|frame| frame.body()).collect();
        assert_eq!(bodies, [b"one".as_slice(), b""]);
        assert_eq!(frames.bytes(), 11);
        assert_eq!(decoder.missing(&buffer), 3);

        buffer.extend_from_slice(b"ree");
        assert_eq!(decoder.missing(&buffer), 0);
        let frames = decoder.take(&mut buffer).unwrap().unwrap();
        assert_eq!(frames.iter().next().unwrap().slice(1..=2), "hr");
        assert!(decoder.take(&mut buffer).unwrap().is_none());
        assert_eq!(decoder.missing(&buffer), 0);
    }

    #[test]
    fn slices_share_the_memory_of_the_run() {
        let mut buffer = BytesMut::from(frame(b"payload").as_slice());
        let frames = FrameDecoder::new().take(&mut buffer).unwrap().unwrap();
        let frame = frames.iter().next().unwrap();
        assert_eq!(frame.slice(3..).as_ptr(), frame.body()[3..].as_ptr());
        assert_eq!(frame.slice_ref(&frame.body()[..3]).as_ptr(), frame.body().as_ptr());
        assert_eq!(frame.to_bytes().as_ptr(), frame.body().as_ptr());
    }

    #[test]
    fn too_large_is_told_after_the_good_frames_and_before_any_reservation() {
        let mut buffer = BytesMut::from(frame(b"hello").as_slice());
        buffer.extend_from_slice(&u32::MAX.to_be_bytes());
        let mut decoder = FrameDecoder::with_limit(16);

        assert_eq!(decoder.take(&mut buffer).unwrap().unwrap().iter().count(), 1);
        let capacity = buffer.capacity();
        let error = decoder.take(&mut buffer).unwrap_err();
        assert_eq!(error, FrameTooLarge { length: u32::MAX as usize, limit: 16 });
        assert_eq!(buffer.capacity(), capacity);

        decoder.set_limit(u32::MAX as usize);
        assert!(decoder.take(&mut buffer).unwrap().is_none());
        assert_eq!(decoder.missing(&buffer), u32::MAX as usize);
    }
}
