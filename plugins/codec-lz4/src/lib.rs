//! `lz4`: a small envelope whose payload is packed by LZ4 where that saves bytes. For payloads that
//! repeat themselves, over networks that are slower than a processor: it packs some 500 MB/s and
//! unpacks some 2 GB/s on one core.
//!
//! # Format
//! That of [`skymesh_packed_form`]; what payloads are packed to is one LZ4 block. It has no frame around
//! it and no checksum; TCP has one.
//!
//! # What is packed
//! Payloads of `threshold_bytes` and more that become smaller. Metadata is not: it is short.
//!
//! # Hostile input
//! A claimed length is believed up to 1 MiB, beyond that up to 1024 times the packed bytes (LZ4 itself
//! ends at 255), and always up to the host's limit for a message only; the block must fill it exactly.
//! The decoder has no unsafe code.
//!
//! # Cost
//! * 24 bytes beside metadata and payload for a plain message, where `compact` has 48.
//! * Packing copies the packed bytes once more; unpacking gives the payload memory of its own. Each
//!   thread that sends keeps 8 to 24 KiB of tables, and up to 1 MiB of space.
//!
//! # When not to use it
//! For payloads that are packed or encrypted already, or mostly below the threshold: use `compact`.
//! `zstd` packs two to three times as tightly for about three times the work.
//!
//! # Configuration
//! See [`Lz4Config`].

mod packer;

use serde::Deserialize;
use skymesh_packed_form as form;
use skymesh_plugin_api::{
    Codec, CodecError, Envelope, Output, PluginError, Scratch, export_plugin,
};

/// For tools, and for the check before the constructor runs.
const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "threshold_bytes": {
      "description": "payloads below this are sent as they are",
      "type": "integer", "minimum": 0, "maximum": 1073741824, "default": 512
    }
  }
}"#;

/// Why a body that claims to be packed is refused.
const NOT_PACKED: CodecError = CodecError::malformed("no LZ4 block of the length that it claims");

/// The codec's table in the config file. Two ends may differ in it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lz4Config {
    /// From 0 to 1 GiB, default 512: payloads below this many bytes are sent as they are. Lower saves
    /// few bytes for about 1 us each.
    pub threshold_bytes: usize,
}

impl Default for Lz4Config {
    fn default() -> Self {
        Self { threshold_bytes: 512 }
    }
}

/// The codec; see the crate's documentation.
#[derive(Debug)]
pub struct Lz4 {
    threshold_bytes: usize,
}

impl Codec for Lz4 {
    const ID: &'static str = "lz4";
    const DESCRIPTION: &'static str = "payloads packed by LZ4: fast";
    const CONFIG_SCHEMA: &'static str = SCHEMA;
    type Config = Lz4Config;

    fn new(config: Lz4Config) -> Result<Self, PluginError> {
        Ok(Self { threshold_bytes: config.threshold_bytes })
    }

    fn encode(&self, envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError> {
        let payload = envelope.payload;
        if payload.len() < self.threshold_bytes {
            form::encode(envelope, None, out);
        } else {
            packer::pack(payload, |packed| form::encode(envelope, packed, out));
        }
        Ok(())
    }

    fn decode<'a>(
        &self,
        input: &'a [u8],
        scratch: &'a mut Scratch<'_>,
    ) -> Result<Envelope<'a>, CodecError> {
        form::decode(input, scratch, packer::unpack, NOT_PACKED)
    }
}

export_plugin! { codecs: [Lz4] }

#[cfg(test)]
mod tests;
