//! A codec behind its vtable.

use std::marker::PhantomData;
use std::ops::Range;

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
) -> Outcome {
    guarded(Outcome::of(OUTCOME_PANICKED, 0), || {
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
            Ok(()) if out.fits() => Outcome::of(OUTCOME_DONE, out.needed()),
            Ok(()) => Outcome::of(OUTCOME_NEEDS_SPACE, out.needed()),
            Err(error) => refusal(error),
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
) -> Outcome {
    guarded(Outcome::of(OUTCOME_PANICKED, 0), || {
        // SAFETY: `state` is a live `P` made by `create`, shared by reference only (P: Sync).
        let codec = unsafe { &*state.cast::<P>() };
        // SAFETY: the host lends these initialised bytes for this call.
        let space = unsafe { std::slice::from_raw_parts_mut(scratch, scratch_len) };
        let input = input.as_slice();
        let (input_at, scratch_at) = (span(input), span(space));
        match codec.decode(input, &mut Scratch::new(space, limit)) {
            Ok(envelope) => match located(&envelope, &input_at, &scratch_at) {
                Some(raw) => {
                    *decoded = raw;
                    Outcome::of(OUTCOME_DONE, 0)
                }
                None => Outcome::because(
                    OUTCOME_UNSUPPORTED,
                    "the codec answered bytes that lie neither in the input nor in the scratch",
                ),
            },
            Err(error) => refusal(error),
        }
    })
}

fn refusal(error: CodecError) -> Outcome {
    match error.fault {
        Fault::Malformed(reason) => Outcome::because(OUTCOME_REFUSED, reason),
        Fault::Unsupported(reason) => Outcome::because(OUTCOME_UNSUPPORTED, reason),
        Fault::ScratchTooSmall { needed } => Outcome::of(OUTCOME_NEEDS_SPACE, needed),
        Fault::TooLarge { needed } => {
            Outcome { code: OUTCOME_TOO_LARGE, reason: RStr::empty(), bytes: needed }
        }
    }
}

fn located(
    envelope: &Envelope<'_>,
    input: &Range<usize>,
    scratch: &Range<usize>,
) -> Option<RawDecoded> {
    let place = |part: &[u8]| {
        let at = span(part);
        if part.is_empty() {
            return Some(RawPlace::default());
        }
        let places = [(PLACE_INPUT, input), (PLACE_SCRATCH, scratch)];
        let (origin, whole) =
            places.into_iter().find(|(_, whole)| whole.start <= at.start && at.end <= whole.end)?;
        Some(RawPlace { origin, offset: at.start - whole.start, len: part.len() })
    };
    Some(RawDecoded {
        destination: envelope.destination,
        source: envelope.source,
        epoch: envelope.epoch,
        correlation: envelope.correlation,
        flags: envelope.flags,
        kind: envelope.kind,
        metadata: place(envelope.metadata)?,
        payload: place(envelope.payload)?,
    })
}

/// The addresses that a slice covers.
fn span(bytes: &[u8]) -> Range<usize> {
    let range = bytes.as_ptr_range();
    range.start as usize..range.end as usize
}
