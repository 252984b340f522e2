//! The suite for codecs.

use super::tries::Tries;
use super::{Declared, Dice, check_declaration};
use crate::abi::host::{CodecInstance, DecodeError, EncodeError};
use crate::{Codec, Envelope, PluginError};

/// Larger than anything that the suite encodes.
const LIMIT: usize = 4 << 20;

/// Payload sizes: around the edges of length prefixes, up to 1 MiB.
const SIZES: [usize; 10] = [0, 1, 92, 127, 128, 255, 256, 16_384, 65_536, 1 << 20];

/// Tests `C` with an empty configuration.
///
/// # Panics
/// If `C` breaks a promise of [`Codec`].
pub fn codec<C: Codec>() {
    codec_with::<C>("{}");
}

/// Tests `C` with the configuration `config`, a JSON object.
///
/// # Panics
/// If `C` breaks a promise of [`Codec`].
pub fn codec_with<C: Codec>(config: &str) {
    let declared = Declared { id: C::ID, schema: C::CONFIG_SCHEMA, deterministic: false };
    check(&declared, config, &CodecInstance::of::<C>, &mut Tries::Strict);
}

/// As [`codec_with`], however instances are made.
pub(super) fn check(
    declared: &Declared<'_>,
    config: &str,
    make: &dyn Fn(&str) -> Result<CodecInstance, PluginError>,
    tries: &mut Tries,
) {
    let id = declared.id;
    let Some(codec) = check_declaration(declared, config, make, tries) else { return };
    let mut dice = Dice(3);
    let metadata: Vec<u8> = (0..300).map(|_| dice.roll() as u8).collect();
    let noise: Vec<u8> = (0..1 << 20).map(|_| dice.roll() as u8).collect();
    let even = vec![7u8; 1 << 20];
    for numbers in numbers() {
        for size in SIZES {
            for body in [&noise, &even] {
                for metadata in [&[], &metadata[..1], &metadata] {
                    let envelope = Envelope { metadata, payload: &body[..size], ..numbers };
                    tries.of(|| check_round_trip(id, &codec, &envelope));
                }
            }
        }
    }
    tries.of(|| check_garbage(id, &codec, &metadata, &mut dice));
}

fn numbers() -> [Envelope<'static>; 4] {
    let usual = Envelope {
        destination: 0x1234_5678_9ABC_DEF0,
        source: 77,
        kind: 1,
        flags: 5,
        epoch: 3,
        correlation: 1_000_000,
        ..Envelope::default()
    };
    let largest = Envelope {
        destination: u64::MAX,
        source: u64::MAX,
        kind: u8::MAX,
        flags: u32::MAX,
        epoch: u64::MAX,
        correlation: u64::MAX,
        ..Envelope::default()
    };
    let ones = Envelope { destination: 1, source: 1, ..Envelope::default() };
    [Envelope::default(), usual, largest, ones]
}

fn encode(id: &str, codec: &CodecInstance, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> usize {
    codec.encode_into(envelope, out, LIMIT).unwrap_or_else(|error| {
        panic!("{id}: encoding a payload of {} bytes: {error}", envelope.payload.len())
    })
}

fn check_round_trip(id: &str, codec: &CodecInstance, envelope: &Envelope<'_>) {
    let size = envelope.payload.len();
    // Two bytes of somebody else's before it, and no space at all after them.
    let mut bytes = vec![0xAA, 0xBB];
    bytes.shrink_to_fit();
    let len = encode(id, codec, envelope, &mut bytes);
    assert_eq!(bytes.len(), len + 2, "{id}: the length answered is not the length written");
    assert_eq!(bytes[..2], [0xAA, 0xBB], "{id}: bytes before the envelope were touched");
    let bytes = bytes.split_off(2);

    let mut roomy = Vec::with_capacity(len + 64);
    encode(id, codec, envelope, &mut roomy);
    assert!(roomy == bytes, "{id}: a retry gave other bytes than one go, payload of {size} bytes");
    if len > 0 {
        let error = codec.encode_into(envelope, &mut Vec::new(), len - 1);
        assert!(
            matches!(error, Err(EncodeError::TooLarge { .. })),
            "{id}: encoding {len} bytes into {}: {error:?}",
            len - 1
        );
    }

    let mut scratch = Vec::new();
    let decoded = codec
        .decode(&bytes, &mut scratch, LIMIT)
        .unwrap_or_else(|error| panic!("{id}: decoding its own bytes, payload of {size}: {error}"));
    assert!(
        decoded.envelope(&bytes, &scratch) == *envelope,
        "{id}: the round trip of a payload of {size} bytes changed the envelope: {decoded:?}"
    );
}

/// Feeds bytes that nobody honest would send: any answer is right but a panic or a lie.
fn check_garbage(id: &str, codec: &CodecInstance, metadata: &[u8], dice: &mut Dice) {
    let mut scratch = Vec::new();
    let mut feed = |bytes: &[u8], what: &str| match codec.decode(bytes, &mut scratch, LIMIT) {
        Err(DecodeError::Panicked) => panic!("{id}: decode panicked on {what}: {bytes:?}"),
        Err(DecodeError::Broken(how)) => panic!("{id}: on {what}: {how}: {bytes:?}"),
        Ok(_) | Err(_) => assert!(scratch.len() <= LIMIT),
    };
    for numbers in numbers() {
        let mut bytes = Vec::new();
        encode(id, codec, &Envelope { metadata, payload: &[9; 40], ..numbers }, &mut bytes);
        for end in 0..bytes.len() {
            feed(&bytes[..end], "a truncated envelope");
        }
        for _ in 0..4_000 {
            let mut bent = bytes.clone();
            for _ in 0..=dice.below(3) {
                let at = dice.below(bent.len());
                bent[at] = match dice.below(3) {
                    0 => dice.roll() as u8,
                    1 => 0xFF,
                    _ => bent[at] ^ (1 << dice.below(8)),
                };
            }
            feed(&bent, "a bent envelope");
        }
        bytes.extend_from_slice(&[0xFF; 11]);
        feed(&bytes, "an envelope with bytes after it");
    }
    for _ in 0..20_000 {
        let len = dice.below(200);
        let noise: Vec<u8> = (0..len).map(|_| dice.roll() as u8).collect();
        feed(&noise, "noise");
    }
    for byte in [0u8, 0x7F, 0x80, 0xFF] {
        for len in 0..130 {
            feed(&vec![byte; len], "one byte repeated");
        }
    }
}
