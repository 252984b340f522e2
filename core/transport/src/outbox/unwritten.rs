//! What a closed outbox leaves behind: frames that were accepted and not written.

use skymesh_wire::HEADER_BYTES;

use super::buffer::Batch;

/// Frames that an outbox accepted and did not write, so that their owner can tell the senders or
/// count them. A frame that the socket took only in part is among them. Frames that the socket took
/// wholly are not, though the peer may never have read them.
#[derive(Debug, Default)]
pub struct Unwritten {
    batch: Vec<u8>,
    queue: Vec<u8>,
}

impl Unwritten {
    pub(super) fn new(batch: Batch, queue: Vec<u8>) -> Self {
        // From the first frame on that ends after what was written; the greeting is nobody's.
        let mut start = batch.greeting;
        while let Some(frame) = first_frame(&batch.bytes[start..])
            && start + frame.len() <= batch.written
        {
            start += frame.len();
        }
        let mut bytes = batch.bytes;
        bytes.drain(..start);
        Self { batch: bytes, queue }
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.queue.is_empty()
    }

    /// Bytes of the frames, headers included.
    pub fn bytes(&self) -> usize {
        self.batch.len() + self.queue.len()
    }

    /// How many frames; walks them.
    pub fn count(&self) -> usize {
        self.bodies().count()
    }

    /// The bodies of the frames, in the order they were pushed.
    pub fn bodies(&self) -> impl Iterator<Item = &[u8]> {
        [&self.batch, &self.queue].into_iter().flat_map(|frames| {
            let mut rest = frames.as_slice();
            std::iter::from_fn(move || {
                let frame = first_frame(rest)?;
                rest = &rest[frame.len()..];
                Some(&frame[HEADER_BYTES..])
            })
        })
    }
}

fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    bytes.get(..HEADER_BYTES + u32::from_be_bytes(*header) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bodies: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for body in bodies {
            bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(body);
        }
        bytes
    }

    #[test]
    fn frames_written_in_part_count_as_unwritten() {
        let greeting = frames(&[b"hello"]);
        let bytes = [greeting.clone(), frames(&[b"a", b"bb", b"ccc"])].concat();
        // (written, what is left)
        let cases: [(usize, &[&[u8]]); 5] = [
            (0, &[b"a", b"bb", b"ccc", b"d"]),
            (greeting.len() + 4, &[b"a", b"bb", b"ccc", b"d"]),
            (greeting.len() + 5, &[b"bb", b"ccc", b"d"]),
            (greeting.len() + 12, &[b"ccc", b"d"]),
            (greeting.len() + 18, &[b"d"]),
        ];
        for (written, left) in cases {
            let batch = Batch { bytes: bytes.clone(), written, greeting: greeting.len() };
            let unwritten = Unwritten::new(batch, frames(&[b"d"]));
            assert_eq!(unwritten.bodies().collect::<Vec<_>>(), left, "{written} written");
            assert_eq!(unwritten.count(), left.len());
            assert_eq!(unwritten.bytes(), frames(left).len());
        }
        assert!(Unwritten::new(Batch::default(), Vec::new()).is_empty());
    }
}
