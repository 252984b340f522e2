//! `protobuf`: an envelope as a protobuf message, so that programs in other languages and ordinary
//! tools can read it. Written by hand for these eight fields: it allocates nothing, where a
//! generated type would copy metadata and payload.
//!
//! # Format
//! The same text is in `envelope.proto` beside this crate's `src`.
//! ```proto
//! syntax = "proto3";
//! package skymesh.codec.v1;
//!
//! message Envelope {
//!   fixed64 destination = 1;
//!   fixed64 source = 2;
//!   uint32 kind = 3;         // at most 255
//!   uint32 flags = 4;
//!   uint64 epoch = 5;
//!   uint64 correlation = 6;
//!   bytes metadata = 7;
//!   bytes payload = 8;
//! }
//! ```
//! Fields are written in this order, and left out where they are 0 or empty: byte for byte what
//! prost writes. Decoding takes any order; of a repeated field the last one counts; unknown fields
//! are skipped. Groups (deprecated since 2008) are refused, as are a known field of another wire
//! type, a kind above 255, and field number 0.
//!
//! # Cost
//! * 18 bytes for the two handles, 2 to 11 for each other number that is not 0, 2 to 11 for each of
//!   metadata and payload that is not empty. A plain message of 128 bytes has 21 bytes beside them.
//! * Encoding copies metadata and payload once. Decoding copies nothing: both borrow from the input.
//!
//! # When not to use it
//! Between skymesh agents in one data centre `compact` is faster, and its truncation checks are
//! stronger: protobuf has no mark of the end, so a message cut between two fields is a shorter one.
//! (Frames are length-delimited, so this can't happen by itself.)
//!
//! # Configuration
//! None.

mod read;
mod write;

use skymesh_plugin_api::{
    Codec, CodecError, Envelope, NoConfig, Output, PluginError, Scratch, export_plugin,
};

use crate::read::{Reader, Value};
use crate::write::Head;

/// Field numbers of `envelope.proto`.
mod field {
    pub(crate) const DESTINATION: u32 = 1;
    pub(crate) const SOURCE: u32 = 2;
    pub(crate) const KIND: u32 = 3;
    pub(crate) const FLAGS: u32 = 4;
    pub(crate) const EPOCH: u32 = 5;
    pub(crate) const CORRELATION: u32 = 6;
    pub(crate) const METADATA: u32 = 7;
    pub(crate) const PAYLOAD: u32 = 8;
}

/// The codec; see the crate's documentation.
#[derive(Debug)]
pub struct Protobuf;

impl Codec for Protobuf {
    const ID: &'static str = "protobuf";
    const DESCRIPTION: &'static str = "a protobuf message that any language can read";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    #[inline]
    fn encode(&self, envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError> {
        let mut head = Head::new();
        head.fixed64(field::DESTINATION, envelope.destination);
        head.fixed64(field::SOURCE, envelope.source);
        head.varint(field::KIND, u64::from(envelope.kind));
        head.varint(field::FLAGS, u64::from(envelope.flags));
        head.varint(field::EPOCH, envelope.epoch);
        head.varint(field::CORRELATION, envelope.correlation);
        head.length(field::METADATA, envelope.metadata.len());
        out.put(head.as_bytes());
        out.put(envelope.metadata);
        let mut head = Head::new();
        head.length(field::PAYLOAD, envelope.payload.len());
        out.put(head.as_bytes());
        out.put(envelope.payload);
        Ok(())
    }

    #[inline]
    fn decode<'a>(
        &self,
        input: &'a [u8],
        _scratch: &'a mut Scratch<'_>,
    ) -> Result<Envelope<'a>, CodecError> {
        let mut envelope = Envelope::default();
        let mut reader = Reader::new(input);
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (field::DESTINATION, Value::Fixed64(handle)) => envelope.destination = handle,
                (field::SOURCE, Value::Fixed64(handle)) => envelope.source = handle,
                (field::KIND, Value::Varint(kind)) => {
                    // As everywhere in protobuf, a uint32 is the lower half of its varint.
                    envelope.kind = u8::try_from(kind as u32)
                        .map_err(|_| CodecError::malformed("a kind above 255"))?;
                }
                (field::FLAGS, Value::Varint(flags)) => envelope.flags = flags as u32,
                (field::EPOCH, Value::Varint(epoch)) => envelope.epoch = epoch,
                (field::CORRELATION, Value::Varint(number)) => envelope.correlation = number,
                (field::METADATA, Value::Bytes(metadata)) => envelope.metadata = metadata,
                (field::PAYLOAD, Value::Bytes(payload)) => envelope.payload = payload,
                (field::DESTINATION..=field::PAYLOAD, _) => {
                    return Err(CodecError::malformed("a field of another wire type"));
                }
                _ => {}
            }
        }
        Ok(envelope)
    }
}

export_plugin! { codecs: [Protobuf] }

#[cfg(test)]
mod tests;
