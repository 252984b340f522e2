//! The bytes around a payload that may be packed: one form for every codec that packs payloads. Not a
//! plugin, and it knows no compression.
//!
//! # Format, version 1
//! | bytes | field |
//! |---|---|
//! | 1 | version of this format: 1 |
//! | 1 | 1 if the payload is packed, else 0 |
//! | 1 | kind |
//! | 8 | destination, little-endian |
//! | 8 | source, little-endian |
//! | varint | flags |
//! | varint | epoch |
//! | varint | correlation |
//! | varint | length of the metadata |
//! | varint | length of the payload before it was packed; only if it is |
//! | | metadata |
//! | | payload, or what it was packed to, up to the end |
//!
//! Varints are those of protobuf, in their shortest form only, so that an envelope has one form only.
//!
//! # Hostile input
//! A claimed length is believed up to 1 MiB, beyond that up to 1024 times the packed bytes, and always
//! up to the host's limit for a message only. What packs better than that is sent as it is.

mod trials;

use skymesh_plugin_api::{CodecError, Envelope, Output, Scratch};

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

/// What was read.
#[derive(Debug, Clone, Copy)]
struct Form<'a> {
    /// All but the payload.
    fields: Envelope<'a>,
    /// The payload, or what it was packed to.
    body: &'a [u8],
    /// The payload's length if it is packed.
    unpacked_len: Option<usize>,
}

/// Writes an envelope; `packed` is what its payload was packed to, if it was. That is sent only where
/// it saves bytes and a receiver will believe it.
#[inline]
pub fn encode(envelope: &Envelope<'_>, packed: Option<&[u8]>, out: &mut Output<'_>) {
    write(envelope, packed.filter(|packed| is_worth(envelope.payload.len(), packed.len())), out);
}

/// Reads what [`encode`] wrote; `unpack` has to fill all of the memory that it is given, or to answer
/// `false`.
///
/// # Errors
/// [`CodecError`] says what is wrong with `input`: `not_packed` if `unpack` answers `false`.
#[inline]
pub fn decode<'a>(
    input: &'a [u8],
    scratch: &'a mut Scratch<'_>,
    unpack: impl FnOnce(&[u8], &mut [u8]) -> bool,
    not_packed: CodecError,
) -> Result<Envelope<'a>, CodecError> {
    let form = read(input)?;
    let Some(len) = form.unpacked_len else {
        return Ok(Envelope { payload: form.body, ..form.fields });
    };
    let payload = scratch.reserve(len)?;
    if !unpack(form.body, payload) {
        return Err(not_packed);
    }
    Ok(Envelope { payload, ..form.fields })
}

/// Whether a payload of `len` bytes may be sent as `packed` ones, and should be.
fn is_worth(len: usize, packed: usize) -> bool {
    packed < len && (len <= FREE_BYTES || len / MOST_RATIO <= packed)
}

#[inline]
fn write(envelope: &Envelope<'_>, packed: Option<&[u8]>, out: &mut Output<'_>) {
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

#[inline]
fn read(input: &[u8]) -> Result<Form<'_>, CodecError> {
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

#[cfg(test)]
mod tests;
