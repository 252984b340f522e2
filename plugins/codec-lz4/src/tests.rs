//! What payloads are packed to, as bytes; what is packed, and what must be refused. The form around it
//! has its own tests.

use proptest::prelude::*;
use skymesh_plugin_api::abi::host::{CodecInstance, DecodeError};
use skymesh_plugin_api::conformance;

use super::*;

/// More than any test unpacks.
const LIMIT: usize = 4 << 20;

fn instance(threshold_bytes: usize) -> CodecInstance {
    CodecInstance::of::<Lz4>(&format!(r#"{{"threshold_bytes": {threshold_bytes}}}"#)).unwrap()
}

fn encode(codec: &CodecInstance, envelope: &Envelope<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode_into(envelope, &mut bytes, LIMIT).unwrap();
    bytes
}

/// Hands what was decoded to `check`.
fn decode<R>(
    bytes: &[u8],
    limit: usize,
    check: impl FnOnce(Envelope<'_>) -> R,
) -> Result<R, DecodeError> {
    let mut scratch = Vec::new();
    let decoded = instance(0).decode(bytes, &mut scratch, limit)?;
    Ok(check(decoded.envelope(bytes, &scratch)))
}

const SAMPLE: Envelope<'static> = Envelope {
    destination: 0x0102_0304_0506_0708,
    source: 0x1112_1314_1516_1718,
    kind: 2,
    flags: 5,
    epoch: 300,
    correlation: 7,
    metadata: b"mm",
    payload: b"ppp",
};

/// Pinned for ever, since the two ends may run different versions of this plugin: twenty times `a`, packed by hand: one literal, then a match of 14 at distance 1, five literals
/// at the end, as LZ4 demands.
#[rustfmt::skip]
const PACKED_BYTES: [u8; 37] = [
    1, 1, 2,
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
    5, 0xAC, 2, 7, 2, 20,
    b'm', b'm',
    0x1A, b'a', 1, 0, 0x50, b'a', b'a', b'a', b'a', b'a',
];

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

#[test]
fn the_bytes_never_change() {
    let twenty = Envelope { payload: &[b'a'; 20], ..SAMPLE };
    assert_eq!(decode(&PACKED_BYTES, LIMIT, |envelope| envelope == twenty), Ok(true));
}

#[test]
fn what_is_packed_and_what_is_not() {
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(5000)
    .collect();
    let text = b"the same again and ".repeat(300);
    let cases: [(&str, usize, &[u8], bool); 6] = [
        ("below the threshold", 6000, &text, false),
        ("at the threshold", text.len(), &text, true),
        ("text", 512, &text, true),
        ("noise", 512, &noise, false),
        ("nothing", 0, &[], false),
        ("too little to gain", 0, b"abc", false),
    ];
    for (what, threshold, payload, packed) in cases {
        let bytes = encode(&instance(threshold), &Envelope { payload, ..SAMPLE });
        assert_eq!(bytes[1] == 1, packed, "{what}");
        assert_eq!(bytes.len() < payload.len(), packed, "{what}: {} bytes", bytes.len());
        assert!(bytes.len() < payload.len() + 30, "{what}: {} bytes", bytes.len());
        assert_eq!(
            decode(&bytes, LIMIT, |envelope| envelope.payload == payload),
            Ok(true),
            "{what}"
        );
    }
}

#[test]
fn what_is_refused_and_why() {
    let bent = |bytes: &[u8], at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        bytes
    };
    let packed = &PACKED_BYTES[..];
    let no_block = "no LZ4 block of the length that it claims";
    let cases = [
        (bent(packed, 24, 19), no_block),
        (bent(packed, 24, 21), no_block),
        (bent(packed, 29, 2), no_block),
        (bent(packed, 29, 0), no_block),
        (packed[..36].to_vec(), no_block),
        ([packed, &[0]].concat(), no_block),
    ];
    for (bytes, reason) in cases {
        let error = decode(&bytes, LIMIT, |envelope| format!("{envelope:?}")).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed(_)), "{error:?} for {bytes:?}");
        assert!(error.to_string().contains(reason), "{error} for {bytes:?}");
    }
}

/// A packed body of `body` bytes that claims to be `len` long.
fn claim(len: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = PACKED_BYTES[..24].to_vec();
    let mut rest = len;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes.extend_from_slice(b"mm");
    bytes.extend_from_slice(body);
    bytes
}

proptest! {
    #[test]
    fn any_envelope_survives(
        numbers in any::<(u64, u64, u8, u32, u64, u64)>(),
        metadata in prop::collection::vec(any::<u8>(), 0..300),
        run in prop::collection::vec(any::<u8>(), 1..40),
        repeated in 0usize..2000,
        noise in prop::collection::vec(any::<u8>(), 0..1000),
        threshold in 0usize..3000,
    ) {
        let payload = [run.repeat(repeated), noise].concat();
        let (destination, source, kind, flags, epoch, correlation) = numbers;
        let envelope = Envelope {
            destination, source, kind, flags, epoch, correlation,
            metadata: &metadata, payload: &payload,
        };
        let bytes = encode(&instance(threshold), &envelope);
        prop_assert_eq!(decode(&bytes, LIMIT, |decoded| decoded == envelope), Ok(true));
        prop_assert!(bytes.len() <= 60 + metadata.len() + payload.len());
    }

    /// Bent packed bodies: refused, or something of exactly the claimed length.
    #[test]
    fn garbage_is_refused_or_has_the_length_that_it_claims(
        body in prop::collection::vec(any::<u8>(), 0..100),
        len in 0u64..100_000,
    ) {
        if let Ok(got) = decode(&claim(len, &body), LIMIT, |envelope| envelope.payload.len()) {
            prop_assert_eq!(got as u64, len);
        }
    }
}
