//! The bytes around a payload that may be packed. Knows no compression. The same form, byte for byte,
//! in each codec that packs payloads.

use skymesh_plugin_api::{CodecError, Envelope, Output};

/// The version of the form that is written, and the only one there is so far.
const VERSION: u8 = 1;

/// The payload is packed.
const PACKED: u8 = 1;

/// A payload of up to this many bytes may have been packed to anything: 1 MiB.
const FREE_BYTES: usize = 1 << 20;

/// The most that larger payloads may have been packed by. What packs better is sent as it is: else a
/// peer that sends little could have much unpacked.
const MOST_RATIO: usize = 1024;

/// Why a claim of more is refused.
const TOO_GOOD: CodecError =
    CodecError::malformed("it claims to be packed to less than 1/1024 of its size");
const SHORT: CodecError = CodecError::malformed("it ends before the fields do");
const OVERLONG: CodecError = CodecError::malformed("a number is longer than it must be");

/// What was read: the fields with the metadata, and the payload as it was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<'a> {
    /// Without the payload.
    pub(crate) fields: Envelope<'a>,
    /// The payload, or what it was packed to.
    pub(crate) body: &'a [u8],
    /// The payload's length if it is packed.
    pub(crate) unpacked_len: Option<usize>,
}

/// Whether a payload of `len` bytes may be sent as `packed` ones, and should be.
pub(crate) fn is_worth(len: usize, packed: usize) -> bool {
    packed < len && (len <= FREE_BYTES || len / MOST_RATIO <= packed)
}

/// Writes an envelope; `packed` is what its payload was packed to.
#[inline]
pub(crate) fn write(envelope: &Envelope<'_>, packed: Option<&[u8]>, out: &mut Output<'_>) {
    out.put(&[VERSION, if packed.is_some() { PACKED } else { 0 }, envelope.kind]);
    out.put_u64_le(envelope.destination);
    out.put_u64_le(envelope.source);
    out.put_varint(u64::from(envelope.flags));
    out.put_varint(envelope.epoch);
    out.put_varint(envelope.correlation);
    out.put_varint(envelope.metadata.len() as u64);
    if packed.is_some() {
        out.put_varint(envelope.payload.len() as u64);
    }
    out.put(envelope.metadata);
    out.put(packed.unwrap_or(envelope.payload));
}

/// Reads what [`write`] wrote.
#[inline]
pub(crate) fn read(input: &[u8]) -> Result<Form<'_>, CodecError> {
    let (&[version, packing, kind], rest) = input.split_first_chunk().ok_or(SHORT)?;
    if version != VERSION {
        return Err(CodecError::malformed("not version 1 of this format"));
    }
    if packing > PACKED {
        return Err(CodecError::malformed("packed in a way that this version does not know"));
    }
    let mut rest = rest;
    let destination = fixed(&mut rest)?;
    let source = fixed(&mut rest)?;
    let flags = u32::try_from(varint(&mut rest)?)
        .map_err(|_| CodecError::malformed("flags beyond 32 bits"))?;
    let epoch = varint(&mut rest)?;
    let correlation = varint(&mut rest)?;
    let metadata_len = varint(&mut rest)?;
    let unpacked_len = if packing == PACKED { Some(varint(&mut rest)?) } else { None };
    let (metadata, body) = usize::try_from(metadata_len)
        .ok()
        .and_then(|len| rest.split_at_checked(len))
        .ok_or(CodecError::malformed("metadata beyond the end"))?;
    let unpacked_len = match unpacked_len {
        Some(len) => Some(believable(len, body.len())?),
        None => None,
    };
    let fields =
        Envelope { destination, source, kind, flags, epoch, correlation, metadata, payload: &[] };
    Ok(Form { fields, body, unpacked_len })
}

/// The length that a packed payload claims, if nothing speaks against it.
fn believable(len: u64, packed: usize) -> Result<usize, CodecError> {
    let len = usize::try_from(len).map_err(|_| TOO_GOOD)?;
    match is_worth(len, packed) {
        true => Ok(len),
        false if packed >= len => Err(CodecError::malformed("packed to no less than it was")),
        false => Err(TOO_GOOD),
    }
}

#[inline]
fn fixed(rest: &mut &[u8]) -> Result<u64, CodecError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(SHORT)?;
    *rest = after;
    Ok(u64::from_le_bytes(*bytes))
}

/// One way only of writing each number, so that an envelope has one only.
#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, CodecError> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(SHORT)?;
        *rest = after;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            return Err(OVERLONG);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return if byte == 0 && shift > 0 { Err(OVERLONG) } else { Ok(number) };
        }
    }
    Err(OVERLONG)
}
