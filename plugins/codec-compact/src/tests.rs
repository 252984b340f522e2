//! The format as bytes, and what must be refused.

use proptest::prelude::*;
use skymesh_plugin_api::abi::host::{CodecInstance, DecodeError};
use skymesh_plugin_api::conformance;

use super::*;
use crate::header::LEN;

fn encode(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    instance().encode_into(envelope, &mut bytes, usize::MAX >> 1).unwrap();
    bytes
}

fn instance() -> CodecInstance {
    CodecInstance::of::<Compact>("{}").unwrap()
}

/// Without any space to unpack into: both parts must lie in the input.
fn decode(bytes: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    Ok(instance().decode(bytes, &mut Vec::new(), 0)?.envelope(bytes, &[]))
}

const SAMPLE: Envelope<'static> = Envelope {
    destination: 0x0102_0304_0506_0708,
    source: 0x1112_1314_1516_1718,
    kind: 0x21,
    flags: 0x3132_3334,
    epoch: 0x4142_4344_4546_4748,
    correlation: 0x5152_5354_5556_5758,
    metadata: b"mm",
    payload: b"ppp",
};

/// Pinned for ever: the two ends may run different versions of this plugin.
#[rustfmt::skip]
const SAMPLE_BYTES: [u8; LEN + 5] = [
    1, 0x21, 0, 0,
    0x34, 0x33, 0x32, 0x31,
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
    0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41,
    0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,
    2, 0, 0, 0,
    3, 0, 0, 0,
    b'm', b'm', b'p', b'p', b'p',
];

#[test]
fn keeps_the_contract() {
    conformance::codec::<Compact>();
}

#[test]
fn the_bytes_never_change() {
    assert_eq!(encode(&SAMPLE), SAMPLE_BYTES);
    assert_eq!(decode(&SAMPLE_BYTES), Ok(SAMPLE));
}

#[test]
fn what_is_refused_and_why() {
    let bent = |at: usize, byte: u8| {
        let mut bytes = SAMPLE_BYTES;
        bytes[at] = byte;
        bytes.to_vec()
    };
    let cases = [
        (Vec::new(), "shorter than a header"),
        (SAMPLE_BYTES[..LEN - 1].to_vec(), "shorter than a header"),
        (bent(0, 0), "not version 1"),
        (bent(0, 2), "not version 1"),
        (bent(2, 1), "reserved bytes are set"),
        (bent(3, 128), "reserved bytes are set"),
        (bent(40, 3), "do not account for every byte"),
        (bent(43, 255), "do not account for every byte"),
        (bent(44, 2), "do not account for every byte"),
        ([&SAMPLE_BYTES[..], &[0]].concat(), "do not account for every byte"),
    ];
    for (bytes, reason) in cases {
        let error = decode(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed(_)), "{error:?}");
        assert!(error.to_string().contains(reason), "{error} for {bytes:?}");
    }
}

/// The two lengths together would wrap around in 32 bits and look right.
#[test]
fn lengths_do_not_wrap_around() {
    let mut bytes = SAMPLE_BYTES;
    bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    bytes[44..48].copy_from_slice(&6u32.to_le_bytes());
    assert!(decode(&bytes).is_err());
}

proptest! {
    #[test]
    fn any_envelope_survives(
        numbers in any::<(u64, u64, u8, u32, u64, u64)>(),
        metadata in prop::collection::vec(any::<u8>(), 0..300),
        payload in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        let (destination, source, kind, flags, epoch, correlation) = numbers;
        let envelope = Envelope {
            destination, source, kind, flags, epoch, correlation,
            metadata: &metadata, payload: &payload,
        };
        let bytes = encode(&envelope);
        prop_assert_eq!(decode(&bytes), Ok(envelope));
        prop_assert_eq!(bytes.len(), LEN + metadata.len() + payload.len());
    }

    #[test]
    fn any_truncation_is_refused(
        metadata in prop::collection::vec(any::<u8>(), 0..50),
        payload in prop::collection::vec(any::<u8>(), 0..50),
        cut: prop::sample::Index,
    ) {
        let bytes = encode(&Envelope { metadata: &metadata, payload: &payload, ..SAMPLE });
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    /// Whatever garbage is taken for an envelope is one: it encodes to the same bytes.
    #[test]
    fn garbage_is_refused_or_means_exactly_one_thing(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        metadata_len in 0..40u32,
    ) {
        if let Some(body) = bytes.len().checked_sub(LEN) {
            // Else hardly any of it would get past the first checks.
            bytes[0] = 1;
            bytes[2..4].fill(0);
            bytes[40..44].copy_from_slice(&metadata_len.to_le_bytes());
            bytes[44..48].copy_from_slice(&(body as u32).wrapping_sub(metadata_len).to_le_bytes());
        }
        if let Ok(envelope) = decode(&bytes) {
            prop_assert_eq!(encode(&envelope), bytes);
        }
    }
}
