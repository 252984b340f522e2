//! JSON to an envelope. The syntax is serde_json's affair; this knows the keys.

use std::borrow::Cow;

use base64::engine::general_purpose::STANDARD;
use base64::{Engine, decoded_len_estimate};
use serde::Deserialize;
use skymesh_plugin_api::{CodecError, Envelope, Scratch, serde_json};

use crate::KINDS;

const NO_NUMBER: CodecError = CodecError::malformed("a handle, epoch or correlation is no number");
const NO_BASE64: CodecError = CodecError::malformed("metadata or payload is no base64");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    kind: Kind<'a>,
    #[serde(default)]
    flags: u32,
    #[serde(borrow, default)]
    epoch: Cow<'a, str>,
    #[serde(borrow, default)]
    correlation: Cow<'a, str>,
    #[serde(borrow, default)]
    metadata: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    payload: Option<Text<'a>>,
}

/// Without this, serde would copy a text within an `Option`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Kind<'a> {
    Number(u8),
    #[serde(borrow)]
    Name(Cow<'a, str>),
}

/// Reads the object, which is all of `input`.
pub(crate) fn envelope<'a>(
    input: &'a [u8],
    scratch: &'a mut Scratch<'_>,
) -> Result<Envelope<'a>, CodecError> {
    let object: Object<'a> = serde_json::from_slice(input)
        .map_err(|_| CodecError::malformed("no JSON object of an envelope"))?;
    let fields = Envelope {
        destination: number(&object.to)?,
        source: number(&object.from)?,
        kind: kind(&object.kind)?,
        flags: object.flags,
        epoch: number_or_none(&object.epoch)?,
        correlation: number_or_none(&object.correlation)?,
        ..Envelope::default()
    };
    let payload = match (object.text, object.payload) {
        (Some(_), Some(_)) => return Err(CodecError::malformed("both a text and a payload")),
        (Some(Text(Cow::Borrowed(text))), None) => Part::Ready(text.as_bytes()),
        (Some(Text(Cow::Owned(text))), None) => Part::Escaped(text),
        (None, Some(Text(packed))) => Part::Packed(packed),
        (None, None) => Part::Ready(&[]),
    };
    let metadata = Part::Packed(object.metadata);
    let space = scratch.reserve(metadata.space() + payload.space())?;
    let (for_metadata, for_payload) = space.split_at_mut(metadata.space());
    Ok(Envelope {
        metadata: metadata.unpack(for_metadata)?,
        payload: payload.unpack(for_payload)?,
        ..fields
    })
}

/// Metadata or payload as it was sent.
enum Part<'a> {
    /// As it should be.
    Ready(&'a [u8]),
    /// Text that had escapes in it.
    Escaped(String),
    /// In base64.
    Packed(Cow<'a, str>),
}

impl<'a> Part<'a> {
    /// The most that it needs.
    fn space(&self) -> usize {
        match self {
            Self::Ready(_) => 0,
            Self::Escaped(text) => text.len(),
            Self::Packed(text) => decoded_len_estimate(text.len()),
        }
    }

    fn unpack(&self, space: &'a mut [u8]) -> Result<&'a [u8], CodecError> {
        let len = match self {
            Self::Ready(bytes) => return Ok(bytes),
            Self::Escaped(text) => {
                space.copy_from_slice(text.as_bytes());
                text.len()
            }
            Self::Packed(text) => {
                STANDARD.decode_slice(text.as_bytes(), space).map_err(|_| NO_BASE64)?
            }
        };
        Ok(&space[..len])
    }
}

fn number(text: &str) -> Result<u64, CodecError> {
    // `parse` would take a plus sign.
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().map_err(|_| NO_NUMBER),
        false => Err(NO_NUMBER),
    }
}

fn number_or_none(text: &str) -> Result<u64, CodecError> {
    if text.is_empty() { Ok(0) } else { number(text) }
}

fn kind(kind: &Kind<'_>) -> Result<u8, CodecError> {
    let number = match kind {
        Kind::Number(number) => Some(*number),
        Kind::Name(name) => (0..).zip(KINDS).find(|(_, one)| one == name).map(|(number, _)| number),
    };
    number.ok_or(CodecError::malformed("a kind that nobody knows"))
}
