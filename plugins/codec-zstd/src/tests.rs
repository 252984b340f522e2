//! What payloads are packed to, as bytes, and what every codec that packs has to pass.

use proptest::prelude::*;
use skymesh_plugin_api::abi::host::{CodecInstance, DecodeError};
use skymesh_plugin_api::conformance;

use super::*;

/// Twenty times `a`: as RFC 8878 has it: magic, a header for a single segment of 20 bytes, one last block
/// of run-length type.
#[rustfmt::skip]
const PACKED_BYTES: [u8; 37] = [
    1, 1, 2,
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
    5, 0xAC, 2, 7, 2, 20,
    b'm', b'm',
    0x28, 0xB5, 0x2F, 0xFD, 0x20, 20, 0xA3, 0, 0, b'a',
];

skymesh_packed_form::trials! {
    Zstd,
    packed: PACKED_BYTES,
    refused: "no Zstandard frame of the length that it claims" for [
        bent(27, 0),
        bent(31, 0x21),
        bent(33, 0xAB),
        bent(33, 0xA2),
    ]
}

#[test]
fn keeps_the_contract() {
    conformance::codec::<Zstd>();
    conformance::codec_with::<Zstd>(r#"{"threshold_bytes": 0, "level": -7}"#);
}

#[test]
fn a_wrong_config_is_refused_by_name() {
    let cases = [
        (r#"{"threshold": 5}"#, "did you mean `threshold_bytes`?"),
        (r#"{"level": 13}"#, "key `level` = 13: expected a whole number from -7 to 12"),
    ];
    for (json, expected) in cases {
        let error = CodecInstance::of::<Zstd>(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}
