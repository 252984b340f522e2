//! Codecs, metrics and traces through real libraries.

use serde_json::json;
use skymesh_plugin_host::{
    DecodeError, EncodeError, Envelope, Place, PluginKind, PluginState, StrategyConfig,
};

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
    let length = panicking.encode(&ENVELOPE, &mut out).unwrap();
    assert_eq!(panicking.encode(&ENVELOPE, &mut out), Err(EncodeError::Panicked));
    assert!(out.len() == 4 + length && out.starts_with(b"kept") && out.ends_with(b"payload"));
    let encoded = out.split_off(4);
    let decoded = panicking.decode(&encoded, &mut scratch).unwrap();
    assert_eq!(decoded.envelope(&encoded, &scratch), ENVELOPE);
    assert_eq!(panicking.decode(&encoded, &mut scratch), Err(DecodeError::Panicked));
    assert_eq!(panicking.failures(), 2);

    let insatiable =
        host.codec(&strategy("unruly", json!({"mischief": "insatiable"}))).unwrap().unwrap();
    let mut out = b"kept".to_vec();
    assert_eq!(insatiable.encode(&ENVELOPE, &mut out), Err(EncodeError::Insatiable));
    assert_eq!(out, b"kept");

    let lying = codec("foreign_bytes");
    lying.decode(&encoded, &mut scratch).unwrap();
    let error = lying.decode(&encoded, &mut scratch).unwrap_err();
    assert!(matches!(error, DecodeError::Broken(how) if how.contains("neither in the input")));
}

#[test]
fn a_slow_codec_is_shown_and_serves_on() {
    let folder = Folder::new();
    let host = host(&folder);
    let stalling = strategy("skymesh_fixture_unruly/unruly", json!({"mischief": "stall"}));
    let slow = host.codec(&stalling).unwrap().unwrap();
    let mut out = Vec::new();
    let mut calls = 0;
    while slow.failures() == 0 {
        slow.encode(&ENVELOPE, &mut out).unwrap();
        calls += 1;
        assert!(calls <= 16, "a round of eight calls should do: {:?}", slow.pace());
    }
    slow.encode(&ENVELOPE, &mut out).unwrap();
    let row = host.report().into_iter().find(|row| row.kind == Some(PluginKind::Codec)).unwrap();
    assert_eq!(row.state, PluginState::Degraded);
    assert_eq!(row.reason.unwrap(), "it took longer than 1ms; failures so far: 1");

    let quick = host.codec(&strategy("skymesh_fixture_orderly/plain", json!({}))).unwrap().unwrap();
    for _ in 0..20_000 {
        out.clear();
        quick.encode(&ENVELOPE, &mut out).unwrap();
    }
    // One in 256: 78 of 20000, with a deviation of 9; and 8 in the first round.
    assert!((40..200).contains(&quick.pace().samples), "{:?}", quick.pace());
    assert_eq!(quick.failures(), 0, "{:?}", quick.pace());
}
