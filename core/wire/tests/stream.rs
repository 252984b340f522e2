//! Properties of reading frames off a stream: however it was split, the same frames come out, and
//! no bytes make the decoder panic or reserve memory that a peer only claimed.

#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use skymesh_wire::{FrameDecoder, FrameTooLarge, HEADER_BYTES, classify, decode_msg, message};

const LIMIT: usize = 300;

/// What came out of a stream: bodies, then perhaps the error that ended it.
#[derive(Debug, PartialEq, Default)]
struct Read {
    bodies: Vec<Vec<u8>>,
    end: Option<FrameTooLarge>,
    left: usize,
}

/// Feeds `stream` in pieces that end at `cuts`, taking frames after every piece.
fn read(stream: &[u8], cuts: &[usize]) -> Read {
    let decoder = FrameDecoder::with_limit(LIMIT);
    let mut buffer = BytesMut::new();
    let mut read = Read::default();
    let mut at = 0;
    for cut in cuts.iter().copied().chain([stream.len()]) {
        buffer.extend_from_slice(&stream[at..cut.max(at)]);
        at = cut.max(at);
        loop {
            let capacity = buffer.capacity();
            match decoder.take(&mut buffer) {
                Ok(Some(frames)) => {
                    read.bodies.extend(frames.iter().map(|frame| frame.body().to_vec()));
                }
                Ok(None) => {
                    assert!(decoder.missing(&buffer) <= LIMIT + HEADER_BYTES);
                    assert_eq!(decoder.missing(&buffer) == 0, buffer.is_empty());
                    break;
                }
                Err(error) => {
                    read.end = Some(error);
                    read.left = stream.len() - at + buffer.len();
                    return read;
                }
            }
            assert!(buffer.capacity() <= capacity, "the decoder reserved memory");
        }
    }
    read.left = buffer.len();
    read
}

/// The same, straight from the definition of a frame.
fn model(mut stream: &[u8]) -> Read {
    let mut read = Read::default();
    while let Some((header, rest)) = stream.split_first_chunk::<HEADER_BYTES>() {
        let length = u32::from_be_bytes(*header) as usize;
        if length > LIMIT {
            read.end = Some(FrameTooLarge { length, limit: LIMIT });
            break;
        }
        let Some((body, rest)) = rest.split_at_checked(length) else { break };
        read.bodies.push(body.to_vec());
        stream = rest;
    }
    read.left = stream.len();
    read
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    // Well-formed frames mostly, now and then one over the limit, and an arbitrary tail.
    let frame = vec(any::<u8>(), 0..LIMIT + 3).prop_map(|body| {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [length.as_slice(), &body].concat()
    });
    (vec(frame, 0..12), vec(any::<u8>(), 0..20))
        .prop_map(|(frames, tail)| [frames.concat(), tail].concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(
        stream in any_stream(), cuts in vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(read(&stream, &cuts), model(&stream));
    }

    #[test]
    fn byte_by_byte_gives_the_same_frames(stream in any_stream()) {
        let cuts: Vec<_> = (0..stream.len()).collect();
        prop_assert_eq!(read(&stream, &cuts), model(&stream));
    }

    #[test]
    fn garbage_never_panics(stream in vec(any::<u8>(), 0..400)) {
        let _ = read(&stream, &[]);
        let _ = classify(&stream);
        let _ = message::read(&stream);
        let _ = decode_msg(stream);
    }
}

#[test]
fn a_claimed_length_reserves_nothing() {
    let mut buffer = BytesMut::from([0x7f, 0xff, 0xff, 0xff, 1, 2, 3].as_slice());
    let capacity = buffer.capacity();
    let decoder = FrameDecoder::with_limit(usize::MAX);
    assert!(decoder.take(&mut buffer).unwrap().is_none());
    assert_eq!(decoder.missing(&buffer), 0x7fff_ffff - 3);
    assert_eq!(buffer.capacity(), capacity);
}
