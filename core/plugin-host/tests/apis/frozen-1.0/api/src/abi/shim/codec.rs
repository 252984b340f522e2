//! A codec behind its vtable.

use std::marker::PhantomData;

use abi_stable::std_types::{RSlice, RStr};

use super::{declare, guarded};
use crate::abi::layout::{
    OUTCOME_DONE, OUTCOME_NEEDS_SPACE, OUTCOME_PANICKED, OUTCOME_REFUSED, OUTCOME_TOO_LARGE,
    OUTCOME_UNSUPPORTED, Outcome, PLACE_INPUT, PLACE_SCRATCH, RawDecoded, RawEnvelope, RawPlace,
};
use crate::abi::output::Output;
use crate::abi::vtable::{CodecVt, CodecVtRef};
use crate::codec::{Codec, CodecError, Envelope, Fault, Scratch};

/// The author's `P`, seen from outside.
pub struct CodecShim<P>(PhantomData<P>);

declare!(CodecShim, Codec, CodecVt, CodecVtRef, 0, { encode: encode::<P>, decode: decode::<P> });

/// # Safety
/// As [`CodecVt`] demands.
unsafe extern "C" fn encode<P: Codec>(
    state: *const (),
    raw: &RawEnvelope<'_>,
    out: *mut u8,
    capacity: usize,
    reason: &mut RStr<'static>,
) -> Outcome {
    guarded(outcome(OUTCOME_PANICKED, 0), || {
        // SAFETY: `state` is a live `P` made by `create`, shared by reference only (P: Sync).
        let codec = unsafe { &*state.cast::<P>() };
        // SAFETY: the host lends `capacity` bytes from `out` on for this call.
        let mut out = unsafe { Output::from_raw(out, capacity) };
        let envelope = Envelope {
            destination: raw.destination,
            source: raw.source,
            kind: raw.kind,
            flags: raw.flags,
            epoch: raw.epoch,
            correlation: raw.correlation,
            metadata: raw.metadata.as_slice(),
            payload: raw.payload.as_slice(),
        };
        match codec.encode(&envelope, &mut out) {
            Ok(()) if out.fits() => outcome(OUTCOME_DONE, out.needed()),
            Ok(()) => outcome(OUTCOME_NEEDS_SPACE, out.needed()),
            Err(error) => refusal(error, reason),
        }
    })
}

/// # Safety
/// As [`CodecVt`] demands.
unsafe extern "C" fn decode<P: Codec>(
    state: *const (),
    input: RSlice<'_, u8>,
    scratch: *mut u8,
    scratch_len: usize,
    limit: usize,
    decoded: &mut RawDecoded,
    reason: &mut RStr<'static>,
) -> Outcome {
    guarded(outcome(OUTCOME_PANICKED, 0), || {
        // SAFETY: `state` is a live `P` made by `create`, shared by reference only (P: Sync).
        let codec = unsafe { &*state.cast::<P>() };
        // SAFETY: the host lends these initialised bytes for this call.
        let space = unsafe { std::slice::from_raw_parts_mut(scratch, scratch_len) };
        let input = input.as_slice();
        let (input_at, scratch_at) = (Span::of(input), Span::of(space));
        match codec.decode(input, &mut Scratch::new(space, limit)) {
            Ok(envelope) => {
                let places = (
                    locate(envelope.metadata, input_at, scratch_at),
                    locate(envelope.payload, input_at, scratch_at),
                );
                let (Some(metadata), Some(payload)) = places else {
                    return refusal(FOREIGN_BYTES, reason);
                };
                *decoded = RawDecoded {
                    destination: envelope.destination,
                    source: envelope.source,
                    epoch: envelope.epoch,
                    correlation: envelope.correlation,
                    flags: envelope.flags,
                    kind: envelope.kind,
                    metadata,
                    payload,
                };
                outcome(OUTCOME_DONE, 0)
            }
            Err(error) => refusal(error, reason),
        }
    })
}

const FOREIGN_BYTES: CodecError = CodecError::unsupported(
    "the codec answered bytes that lie neither in the input nor in the scratch",
);

#[inline]
fn outcome(code: usize, bytes: usize) -> Outcome {
    Outcome { code, bytes }
}

#[cold]
fn refusal(error: CodecError, reason: &mut RStr<'static>) -> Outcome {
    match error.fault {
        Fault::Malformed(text) => {
            *reason = text.into();
            outcome(OUTCOME_REFUSED, 0)
        }
        Fault::Unsupported(text) => {
            *reason = text.into();
            outcome(OUTCOME_UNSUPPORTED, 0)
        }
        Fault::ScratchTooSmall { needed } => outcome(OUTCOME_NEEDS_SPACE, needed),
        Fault::TooLarge { needed } => outcome(OUTCOME_TOO_LARGE, needed),
    }
}

/// The addresses that a slice covers.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    #[inline]
    fn of(bytes: &[u8]) -> Self {
        Self { start: bytes.as_ptr() as usize, len: bytes.len() }
    }

    /// Where `part` begins in here, if all of it does lie here.
    #[inline]
    fn offset_of(self, part: Self) -> Option<usize> {
        let offset = part.start.wrapping_sub(self.start);
        (offset <= self.len && part.len <= self.len - offset).then_some(offset)
    }
}

#[inline]
fn locate(part: &[u8], input: Span, scratch: Span) -> Option<RawPlace> {
    let part = Span::of(part);
    if let Some(offset) = input.offset_of(part) {
        return Some(RawPlace { origin: PLACE_INPUT, offset, len: part.len });
    }
    if part.len == 0 {
        return Some(RawPlace::default());
    }
    let offset = scratch.offset_of(part)?;
    Some(RawPlace { origin: PLACE_SCRATCH, offset, len: part.len })
}
