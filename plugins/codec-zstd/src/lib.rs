//! `zstd`: a small envelope whose payload is packed by Zstandard where that saves bytes. For large
//! payloads over networks that are dear or slow: at level 3 it packs some 200 MB/s and unpacks some
//! 800 MB/s on one core.
//!
//! # Format
//! That of [`skymesh_packed_form`]; what payloads are packed to is one Zstandard frame (RFC 8878).
//!
//! # What is packed
//! Payloads of `threshold_bytes` and more that become smaller. Metadata is not: it is short.
//!
//! # Hostile input
//! A claimed length is believed up to 1 MiB, beyond that up to 1024 times the packed bytes, and always
//! up to the host's limit for a message only; the frame must fill it exactly, and can't write beyond.
//! What is larger and packs better is sent as it is. Frames that need a dictionary are refused.
//!
//! # Cost
//! * 24 bytes beside metadata and payload for a plain message, where `compact` has 48.
//! * Packing copies the packed bytes once more; unpacking gives the payload memory of its own. Each
//!   thread that sends keeps a context, about 1 MiB at level 3, 10 MiB and more at level 12 for large
//!   payloads, and up to 1 MiB of space; each that receives keeps 0.1 MiB.
//! * This crate compiles the C library, so building it takes a C compiler.
//!
//! # When not to use it
//! For payloads that are packed or encrypted already, or mostly below the threshold: use `compact`.
//! Where a processor is dearer than the network: use `lz4`.
//!
//! # Configuration
//! See [`ZstdConfig`].

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
    },
    "level": {
      "description": "higher packs tighter and takes longer; below 0 is faster still",
      "type": "integer", "minimum": -7, "maximum": 12, "default": 3
    }
  }
}"#;

/// Why a body that claims to be packed is refused.
const NOT_PACKED: CodecError =
    CodecError::malformed("no Zstandard frame of the length that it claims");

/// The codec's table in the config file. Two ends may differ in it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZstdConfig {
    /// From 0 to 1 GiB, default 512: payloads below this many bytes are sent as they are. Lower saves
    /// few bytes for some 5 us each.
    pub threshold_bytes: usize,
    /// From -7 to 12, default 3. 1 is about twice as fast, 9 five times as slow for a tenth less.
    /// 0 is 3, as in the library. Levels above 12 take hundreds of megabytes and are of no use here.
    pub level: i32,
}

impl Default for ZstdConfig {
    fn default() -> Self {
        Self { threshold_bytes: 512, level: 3 }
    }
}

/// The codec; see the crate's documentation.
#[derive(Debug)]
pub struct Zstd {
    config: ZstdConfig,
}

impl Codec for Zstd {
    const ID: &'static str = "zstd";
    const DESCRIPTION: &'static str = "payloads packed by Zstandard: tight";
    const CONFIG_SCHEMA: &'static str = SCHEMA;
    type Config = ZstdConfig;

    fn new(config: ZstdConfig) -> Result<Self, PluginError> {
        Ok(Self { config })
    }

    fn encode(&self, envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError> {
        let payload = envelope.payload;
        if payload.len() < self.config.threshold_bytes {
            form::encode(envelope, None, out);
        } else {
            packer::pack(payload, self.config.level, |packed| form::encode(envelope, packed, out));
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

export_plugin! { codecs: [Zstd] }

#[cfg(test)]
mod tests;
