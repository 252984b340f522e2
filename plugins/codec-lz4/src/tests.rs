//! What payloads are packed to, as bytes, and what every codec that packs has to pass.

use proptest::prelude::*;
use skymesh_plugin_api::abi::host::{CodecInstance, DecodeError};
use skymesh_plugin_api::conformance;

use super::*;

/// Twenty times `a`: one literal, then a match of 14 at distance 1, five literals at the end, as LZ4 demands.
#[rustfmt::skip]
const PACKED_BYTES: [u8; 37] = [
    1, 1, 2,
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
    5, 0xAC, 2, 7, 2, 20,
    b'm', b'm',
    0x1A, b'a', 1, 0, 0x50, b'a', b'a', b'a', b'a', b'a',
];

skymesh_packed_form::trials! {
    Lz4,
    packed: PACKED_BYTES,
    refused: "no LZ4 block of the length that it claims" for [
        bent(29, 2),
        bent(29, 0),
    ]
}

#[test]
fn keeps_the_contract() {
    conformance::codec::<Lz4>();
    conformance::codec_with::<Lz4>(r#"{"threshold_bytes": 0}"#);
}

#[test]
fn a_wrong_config_is_refused_by_name() {
    let error = CodecInstance::of::<Lz4>(r#"{"threshold": 5}"#).unwrap_err().to_string();
    assert!(error.contains("did you mean `threshold_bytes`?"), "{error}");
}
