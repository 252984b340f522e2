//! The form as bytes and what must be refused, by a codec that packs runs of one byte into that byte.

use proptest::prelude::*;
use skymesh_plugin_api::abi::host::{CodecInstance, DecodeError};
use skymesh_plugin_api::{Codec, NoConfig, PluginError, conformance};

use super::*;

/// More than any test unpacks.
const LIMIT: usize = 4 << 20;

struct Runs;

impl Codec for Runs {
    const ID: &'static str = "runs";
    const DESCRIPTION: &'static str = "payloads of one byte again and again, packed to that byte";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn encode(&self, envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError> {
        let run = envelope.payload.first().filter(|one| envelope.payload.iter().all(|b| b == *one));
        super::encode(envelope, run.map(std::slice::from_ref), out);
        Ok(())
    }

    fn decode<'a>(
        &self,
        input: &'a [u8],
        scratch: &'a mut Scratch<'_>,
    ) -> Result<Envelope<'a>, CodecError> {
        let unpack = |packed: &[u8], space: &mut [u8]| {
            let [run] = packed else { return false };
            space.fill(*run);
            true
        };
        super::decode(input, scratch, unpack, CodecError::malformed("no run"))
    }
}

fn instance() -> CodecInstance {
    CodecInstance::of::<Runs>("{}").unwrap()
}

fn encode(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    instance().encode_into(envelope, &mut bytes, LIMIT).unwrap();
    bytes
}

/// Hands what was decoded to `check`.
fn decode<R>(bytes: &[u8], check: impl FnOnce(Envelope<'_>) -> R) -> Result<R, DecodeError> {
    let mut scratch = Vec::new();
    let decoded = instance().decode(bytes, &mut scratch, LIMIT)?;
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
    payload: b"pqp",
};

/// Pinned for ever: the two ends may run different versions of a plugin.
#[rustfmt::skip]
const SAMPLE_BYTES: [u8; 29] = [
    1, 0, 2,
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
    5, 0xAC, 2, 7, 2,
    b'm', b'm', b'p', b'q', b'p',
];

/// Twenty times `a`.
#[rustfmt::skip]
const PACKED_BYTES: [u8; 28] = [
    1, 1, 2,
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
    5, 0xAC, 2, 7, 2, 20,
    b'm', b'm', b'a',
];

#[test]
fn keeps_the_contract_of_codecs() {
    conformance::codec::<Runs>();
}

#[test]
fn the_bytes_never_change() {
    assert_eq!(encode(&SAMPLE), SAMPLE_BYTES);
    assert_eq!(decode(&SAMPLE_BYTES, |envelope| envelope == SAMPLE), Ok(true));
    let twenty = Envelope { payload: &[b'a'; 20], ..SAMPLE };
    assert_eq!(encode(&twenty), PACKED_BYTES);
    assert_eq!(decode(&PACKED_BYTES, |envelope| envelope == twenty), Ok(true));
}

#[test]
fn what_would_not_be_believed_is_sent_as_it_is() {
    let longest = FREE_BYTES + MOST_RATIO;
    for (len, packed) in [(1, false), (2, true), (FREE_BYTES, true), (longest, false)] {
        let payload = vec![7; len];
        let envelope = Envelope { payload: &payload, ..SAMPLE };
        let bytes = encode(&envelope);
        assert_eq!(bytes[1] == PACKED, packed, "{len}");
        assert_eq!(decode(&bytes, |envelope| envelope.payload == payload), Ok(true), "{len}");
    }
}

#[test]
fn what_is_refused_and_why() {
    let bent = |bytes: &[u8], at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        bytes
    };
    let (plain, packed) = (&SAMPLE_BYTES[..], &PACKED_BYTES[..]);
    let overlong = [&plain[..19], &[0x85, 0], &plain[20..]].concat();
    let beyond = [&plain[..19], &[0xFF; 9], &[2], &plain[20..]].concat();
    let cases = [
        (Vec::new(), "it ends before the fields do"),
        (plain[..2].to_vec(), "it ends before the fields do"),
        (plain[..18].to_vec(), "it ends before the fields do"),
        (plain[..23].to_vec(), "it ends before the fields do"),
        (plain[..25].to_vec(), "metadata beyond the end"),
        (bent(plain, 0, 2), "not version 1"),
        (bent(plain, 1, 2), "packed in a way"),
        (bent(plain, 23, 6), "metadata beyond the end"),
        (overlong, "longer than it must be"),
        (beyond, "longer than it must be"),
        (bent(packed, 24, 1), "packed to no less than it was"),
        (bent(packed, 23, 1), "no run"),
    ];
    for (bytes, reason) in cases {
        let error = decode(&bytes, |envelope| format!("{envelope:?}")).unwrap_err();
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

#[test]
fn a_bomb_gets_no_memory() {
    let cases = [
        (u64::MAX, 100, "less than 1/1024"),
        (1 << 40, 100, "less than 1/1024"),
        ((1 << 20) + 1024, 1024, "less than 1/1024"),
        (LIMIT as u64 + 1, LIMIT / 1000, "the limit is"),
    ];
    assert_eq!(read(&claim(1 << 20, &[0; 9])).unwrap().unpacked_len, Some(1 << 20));
    assert_eq!(read(&claim(2 << 20, &[0; 2048])).unwrap().unpacked_len, Some(2 << 20));
    for (len, body, reason) in cases {
        let mut scratch = Vec::new();
        let bytes = claim(len, &vec![0xFF; body]);
        let error = instance().decode(&bytes, &mut scratch, LIMIT).unwrap_err();
        assert!(error.to_string().contains(reason), "{len} of {body}: {error}");
        assert_eq!(scratch.capacity(), 0, "{len} of {body}");
    }
}

proptest! {
    #[test]
    fn garbage_is_refused_or_means_what_it_says(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = [&[VERSION], &bytes[..]].concat();
        let again = decode(&bytes, |envelope| encode(&envelope));
        if let Ok(again) = again {
            // One form for each envelope, but for payloads that need not have been packed, or sent so.
            prop_assert_eq!(again[2..24].to_vec(), bytes[2..24].to_vec());
        }
    }
}
