//! Codecs, metrics and traces through real libraries.

use serde_json::json;
use skymesh_plugin_host::{DecodeError, EncodeError, Envelope, Place, StrategyConfig};

use crate::fixture::{Folder, host, strategy};

const ENVELOPE: Envelope<'static> = Envelope {
    destination: 1,
    source: 2,
    kind: 3,
    flags: 4,
    epoch: 5,
    correlation: 6,
    metadata: b"meta",
    payload: b"payload",
};

#[test]
fn a_codec_encodes_in_place_and_decodes_without_a_copy() {
    let folder = Folder::new();
    let host = host(&folder);
    let plain = host.codec(&StrategyConfig::new("skymesh_fixture_orderly/plain")).unwrap().unwrap();
    assert_eq!(plain.id(), "plain");
    let mut bytes = b"before".to_vec();
    let len = plain.encode(&ENVELOPE, &mut bytes).unwrap();
    assert_eq!(bytes.len(), 6 + len);
    let (input, mut scratch) = (&bytes[6..], Vec::new());
    let decoded = plain.decode(input, &mut scratch).unwrap();
    assert_eq!(decoded.payload, Place::Input(len - 7..len));
    assert_eq!(decoded.envelope(input, &scratch), ENVELOPE);
    assert!(scratch.is_empty());
    let error = plain.decode(&input[..10], &mut scratch).unwrap_err();
    assert_eq!(error, DecodeError::Malformed("shorter than its header"));

    let mirrored = host.codec(&StrategyConfig::new("mirrored")).unwrap().unwrap();
    bytes.clear();
    mirrored.encode(&ENVELOPE, &mut bytes).unwrap();
    assert!(bytes.ends_with(b"daolyap"));
    let decoded = mirrored.decode(&bytes, &mut scratch).unwrap();
    assert_eq!(decoded.payload, Place::Scratch(0..7));
    assert_eq!(decoded.envelope(&bytes, &scratch), ENVELOPE);

    let small = mirrored.limited_to(5);
    assert!(matches!(
        small.encode(&ENVELOPE, &mut bytes),
        Err(EncodeError::TooLarge { limit: 5, .. })
    ));
    let error = small.decode(&bytes, &mut scratch).unwrap_err();
    assert_eq!(error, DecodeError::TooLarge { needed: 7, limit: 5 });
}

#[test]
fn an_unruly_codec_costs_one_message_and_nothing_else() {
    let folder = Folder::new();
    let host = host(&folder);
    let codec = |mischief: &str| {
        let config = json!({"mischief": mischief, "every": 2});
        host.codec(&strategy("skymesh_fixture_unruly/unruly", config)).unwrap().unwrap()
    };
    let panicking = codec("panic_in_call");
    let (mut out, mut scratch) = (Vec::with_capacity(64), Vec::new());
    out.extend_from_slice(b"kept");
    panicking.encode(&ENVELOPE, &mut out).unwrap();
    assert_eq!(panicking.encode(&ENVELOPE, &mut out), Err(EncodeError::Panicked));
    assert_eq!(out, b"keptpayload");
    panicking.decode(b"x", &mut scratch).unwrap();
    assert_eq!(panicking.decode(b"x", &mut scratch), Err(DecodeError::Panicked));
    assert_eq!(panicking.failures(), 2);

    let insatiable =
        host.codec(&strategy("unruly", json!({"mischief": "insatiable"}))).unwrap().unwrap();
    let mut out = b"kept".to_vec();
    assert_eq!(insatiable.encode(&ENVELOPE, &mut out), Err(EncodeError::Insatiable));
    assert_eq!(out, b"kept");

    let lying = codec("foreign_bytes");
    lying.decode(b"x", &mut scratch).unwrap();
    let error = lying.decode(b"x", &mut scratch).unwrap_err();
    assert!(matches!(error, DecodeError::Broken(how) if how.contains("neither in the input")));
}
