//! Handles of codecs. Buffers are the caller's; what a plugin claims about them is checked.

use std::ops::Range;
use std::sync::Arc;

use abi_stable::std_types::{RErr, ROk, RSlice, RStr};

use super::Owned;
use crate::abi::layout::{
    OUTCOME_DONE, OUTCOME_NEEDS_SPACE, OUTCOME_PANICKED, OUTCOME_TOO_LARGE, OUTCOME_UNSUPPORTED,
    Outcome, PLACE_SCRATCH, RawDecoded, RawEnvelope, RawPlace,
};
use crate::abi::module::RawInstance;
use crate::abi::shim::codec::CodecShim;
use crate::abi::vtable::CodecVtRef;
use crate::{Codec, Envelope, PluginError};

/// How often an encode or decode is tried again with the space that it asked for. Once is enough
/// for an honest codec; a second time forgives one whose first answer was an estimate.
const RETRIES: usize = 2;

/// Why an envelope could not be encoded. The buffer is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The encoded form is larger than the caller's limit.
    TooLarge {
        /// What the codec asked for.
        needed: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The format can't carry this envelope.
    Refused(&'static str),
    /// The plugin asked for more space after it had got what it asked for.
    Insatiable,
    /// The plugin panicked; its message is in the log.
    Panicked,
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { needed, limit } => {
                write!(f, "the encoded message takes {needed} bytes; the limit is {limit}")
            }
            Self::Refused(reason) => write!(f, "the codec refused the message: {reason}"),
            Self::Insatiable => f.write_str("the codec asked for more space than it had claimed"),
            Self::Panicked => f.write_str("the codec panicked; its message is in the log"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// They are no envelope of this codec.
    Malformed(&'static str),
    /// Unpacked they would be larger than the caller's limit.
    TooLarge {
        /// What the codec asked for.
        needed: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The plugin broke its contract; the text says how.
    Broken(&'static str),
    /// The plugin panicked; its message is in the log.
    Panicked,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(reason) => write!(f, "malformed message: {reason}"),
            Self::TooLarge { needed, limit } => {
                write!(f, "the message unpacks to {needed} bytes; the limit is {limit}")
            }
            Self::Broken(what) => write!(f, "the codec broke its contract: {what}"),
            Self::Panicked => f.write_str("the codec panicked; its message is in the log"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Where a part of a decoded envelope lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the bytes that were decoded.
    Input(Range<usize>),
    /// In the scratch buffer.
    Scratch(Range<usize>),
}

impl Place {
    /// How many bytes it is.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Input(range) | Self::Scratch(range) => range.len(),
        }
    }

    /// Whether it is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes themselves, from the buffers that the decode was given.
    ///
    /// # Panics
    /// If other, shorter buffers are given.
    #[inline]
    pub fn of<'a>(&self, input: &'a [u8], scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Input(range) => &input[range.clone()],
            Self::Scratch(range) => &scratch[range.clone()],
        }
    }
}

/// A decoded envelope: numbers, and where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// As in [`Envelope`].
    pub destination: u64,
    /// As in [`Envelope`].
    pub source: u64,
    /// As in [`Envelope`].
    pub kind: u8,
    /// As in [`Envelope`].
    pub flags: u32,
    /// As in [`Envelope`].
    pub epoch: u64,
    /// As in [`Envelope`].
    pub correlation: u64,
    /// Where the metadata lie.
    pub metadata: Place,
    /// Where the payload lies.
    pub payload: Place,
}

impl Decoded {
    /// The envelope, over the buffers that the decode was given.
    pub fn envelope<'a>(&self, input: &'a [u8], scratch: &'a [u8]) -> Envelope<'a> {
        Envelope {
            destination: self.destination,
            source: self.source,
            kind: self.kind,
            flags: self.flags,
            epoch: self.epoch,
            correlation: self.correlation,
            metadata: self.metadata.of(input, scratch),
            payload: self.payload.of(input, scratch),
        }
    }
}

type Encode = unsafe extern "C" fn(
    *const (),
    &RawEnvelope<'_>,
    *mut u8,
    usize,
    &mut RStr<'static>,
) -> Outcome;

type Decode = unsafe extern "C" fn(
    *const (),
    RSlice<'_, u8>,
    *mut u8,
    usize,
    usize,
    &mut RawDecoded,
    &mut RStr<'static>,
) -> Outcome;

/// A configured codec. Cheap to clone.
#[derive(Clone)]
pub struct CodecInstance {
    state: *const (),
    encode: Encode,
    decode: Decode,
    _owned: Arc<Owned>,
}

// SAFETY: the state is `Send + Sync` by the trait's bounds, is used by reference, and lives as long
// as `_owned`.
unsafe impl Send for CodecInstance {}
// SAFETY: as above.
unsafe impl Sync for CodecInstance {}

impl CodecInstance {
    pub(super) fn new(instance: &RawInstance<CodecVtRef>) -> Self {
        let vt = instance.vt;
        let owned = Arc::new(Owned::new(instance, vt.release()));
        Self { state: instance.state, encode: vt.encode(), decode: vt.decode(), _owned: owned }
    }

    /// The author's `C` as a host would have it, without a library. For tests and benchmarks.
    ///
    /// # Errors
    /// [`PluginError`] as the constructor or the check of `config` says.
    pub fn of<C: Codec>(config: &str) -> Result<Self, PluginError> {
        match CodecShim::<C>::create(config.into()) {
            ROk(instance) => Ok(Self::new(&instance)),
            RErr(error) => Err(error.into()),
        }
    }

    /// Appends the encoded envelope to `out` and returns its length. Writes into spare capacity and
    /// grows the buffer only if that is too small, by at most `limit` bytes.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` keeps what it had, and only that.
    pub fn encode_into(
        &self,
        envelope: &Envelope<'_>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<usize, EncodeError> {
        let raw = RawEnvelope {
            destination: envelope.destination,
            source: envelope.source,
            epoch: envelope.epoch,
            correlation: envelope.correlation,
            flags: envelope.flags,
            kind: envelope.kind,
            metadata: RSlice::from_slice(envelope.metadata),
            payload: RSlice::from_slice(envelope.payload),
        };
        let mut reason = RStr::empty();
        for _ in 0..=RETRIES {
            let spare = out.spare_capacity_mut();
            let capacity = spare.len().min(limit);
            let start = spare.as_mut_ptr().cast();
            // SAFETY: `state` is live; `capacity` bytes from `start` on are the vector's spare
            // space, which nobody else touches meanwhile.
            let outcome = unsafe { (self.encode)(self.state, &raw, start, capacity, &mut reason) };
            let needed = outcome.bytes;
            match outcome.code {
                OUTCOME_DONE if needed <= capacity => {
                    // SAFETY: within the capacity by the check, and written: `DONE` says so, and
                    // the shim's `Output` keeps that promise for every author.
                    unsafe { out.set_len(out.len() + needed) };
                    return Ok(needed);
                }
                OUTCOME_NEEDS_SPACE if needed > limit => {
                    return Err(EncodeError::TooLarge { needed, limit });
                }
                OUTCOME_NEEDS_SPACE if needed > capacity => out.reserve(needed),
                OUTCOME_UNSUPPORTED => return Err(EncodeError::Refused(reason.as_str())),
                OUTCOME_PANICKED => return Err(EncodeError::Panicked),
                OUTCOME_DONE | OUTCOME_NEEDS_SPACE => return Err(EncodeError::Insatiable),
                _ => return Err(EncodeError::Refused(reason.as_str())),
            }
        }
        Err(EncodeError::Insatiable)
    }

    /// Reads one envelope. `scratch` is reused from call to call; it is overwritten and grown to at
    /// most `limit` bytes where the codec has to unpack something.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(
        &self,
        input: &[u8],
        scratch: &mut Vec<u8>,
        limit: usize,
    ) -> Result<Decoded, DecodeError> {
        let (mut raw, mut reason) = (RawDecoded::default(), RStr::empty());
        for _ in 0..=RETRIES {
            let (space, space_len) = (scratch.as_mut_ptr(), scratch.len());
            // SAFETY: `state` is live; the scratch bytes are initialised and ours for the call.
            let outcome = unsafe {
                let bytes = RSlice::from_slice(input);
                (self.decode)(self.state, bytes, space, space_len, limit, &mut raw, &mut reason)
            };
            let needed = outcome.bytes;
            match outcome.code {
                OUTCOME_DONE => return checked(&raw, input.len(), scratch.len()),
                OUTCOME_NEEDS_SPACE if needed <= limit && needed > scratch.len() => {
                    scratch.resize(needed, 0);
                }
                OUTCOME_NEEDS_SPACE | OUTCOME_TOO_LARGE => {
                    return Err(DecodeError::TooLarge { needed, limit });
                }
                OUTCOME_UNSUPPORTED => return Err(DecodeError::Broken(reason.as_str())),
                OUTCOME_PANICKED => return Err(DecodeError::Panicked),
                _ => return Err(DecodeError::Malformed(reason.as_str())),
            }
        }
        Err(DecodeError::Broken("it asks for ever more space"))
    }
}

impl std::fmt::Debug for CodecInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodecInstance").finish_non_exhaustive()
    }
}

fn checked(raw: &RawDecoded, input: usize, scratch: usize) -> Result<Decoded, DecodeError> {
    let place = |part: &RawPlace| {
        let in_scratch = part.origin == PLACE_SCRATCH;
        let end = part.offset.checked_add(part.len);
        match end.filter(|end| *end <= if in_scratch { scratch } else { input }) {
            Some(end) if in_scratch => Ok(Place::Scratch(part.offset..end)),
            Some(end) => Ok(Place::Input(part.offset..end)),
            None => Err(DecodeError::Broken("it answered bytes outside of its buffers")),
        }
    };
    Ok(Decoded {
        destination: raw.destination,
        source: raw.source,
        kind: raw.kind,
        flags: raw.flags,
        epoch: raw.epoch,
        correlation: raw.correlation,
        metadata: place(&raw.metadata)?,
        payload: place(&raw.payload)?,
    })
}
