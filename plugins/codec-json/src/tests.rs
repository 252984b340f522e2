//! The format as text, and what must be refused.

use proptest::prelude::*;
use skymesh_plugin_api::abi::host::{CodecInstance, DecodeError, Place};
use skymesh_plugin_api::conformance;

use super::*;

const LIMIT: usize = 1 << 20;

fn instance() -> CodecInstance {
    CodecInstance::of::<Json>("{}").unwrap()
}

fn encode(envelope: &Envelope<'_>) -> String {
    let mut bytes = Vec::new();
    instance().encode_into(envelope, &mut bytes, LIMIT).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Hands what was decoded to `check`.
fn decode<R>(text: &[u8], check: impl FnOnce(Envelope<'_>) -> R) -> Result<R, DecodeError> {
    let mut scratch = Vec::new();
    let decoded = instance().decode(text, &mut scratch, LIMIT)?;
    Ok(check(decoded.envelope(text, &scratch)))
}

const PLAIN: Envelope<'static> = Envelope {
    destination: 1_234_605_616_436_508_552,
    source: 77,
    kind: 1,
    flags: 0,
    epoch: 0,
    correlation: 0,
    metadata: &[],
    payload: &[],
};

#[test]
fn keeps_the_contract() {
    conformance::codec::<Json>();
}

#[test]
fn the_text_never_changes() {
    let head = r#"{"to":"1234605616436508552","from":"77","kind":"request""#;
    let cases: [(Envelope<'_>, &str); 8] = [
        (PLAIN, "}"),
        (Envelope { payload: b"Nice to meet you.", ..PLAIN }, r#","text":"Nice to meet you."}"#),
        (
            Envelope { payload: "ä\t\"€\"\\\r\n".as_bytes(), ..PLAIN },
            r#","text":"ä\t\"€\"\\\r\n"}"#,
        ),
        (Envelope { payload: b"\0", ..PLAIN }, r#","payload":"AA=="}"#),
        (Envelope { payload: b"a\x7F", ..PLAIN }, r#","payload":"YX8="}"#),
        (Envelope { payload: b"\xFF\xFE\xFD", ..PLAIN }, r#","payload":"//79"}"#),
        (Envelope { metadata: b"mm", ..PLAIN }, r#","metadata":"bW0="}"#),
        (
            Envelope { flags: 5, epoch: 3, correlation: u64::MAX, metadata: b"m", ..PLAIN },
            r#","flags":5,"epoch":"3","correlation":"18446744073709551615","metadata":"bQ=="}"#,
        ),
    ];
    for (envelope, rest) in cases {
        let text = encode(&envelope);
        assert_eq!(text, format!("{head}{rest}"));
        assert_eq!(decode(text.as_bytes(), |decoded| decoded == envelope), Ok(true), "{text}");
    }
    for (kind, said) in
        [(0, "\"message\""), (2, "\"response\""), (3, "\"notify\""), (4, "4"), (255, "255")]
    {
        let text = encode(&Envelope { kind, ..PLAIN });
        assert!(text.ends_with(&format!("\"kind\":{said}}}")), "{text}");
    }
}

#[test]
fn text_without_escapes_is_not_copied() {
    let text = encode(&Envelope { payload: b"as it is", ..PLAIN });
    let decoded = instance().decode(text.as_bytes(), &mut Vec::new(), 0).unwrap();
    assert!(matches!(decoded.payload, Place::Input(_)), "{decoded:?}");
}

#[test]
fn any_order_and_white_space_and_names_as_numbers_will_do() {
    let text = b" {\"text\" : \"a\\u0062\",\r\n\t\"kind\":2,\"from\":\"1\", \"to\":\"0\" } ";
    let expected = Envelope { source: 1, kind: 2, payload: b"ab", ..Envelope::default() };
    assert_eq!(decode(text, |decoded| decoded == expected), Ok(true));
}

#[test]
fn what_is_refused_and_why() {
    let no_object = "no JSON object of an envelope";
    let cases = [
        ("", no_object),
        ("{}", no_object),
        ("[]", no_object),
        (r#"{"to":"1","from":"2"}"#, no_object),
        (r#"{"to":1,"from":"2","kind":0}"#, no_object),
        (r#"{"to":"1","from":"2","kind":0"#, no_object),
        (r#"{"to":"1","from":"2","kind":0} x"#, no_object),
        (r#"{"to":"1","from":"2","kind":0,"colour":"red"}"#, no_object),
        (r#"{"to":"1","to":"1","from":"2","kind":0}"#, no_object),
        (r#"{"to":"1","from":"2","kind":256}"#, no_object),
        (r#"{"to":"1","from":"2","kind":0,"flags":4294967296}"#, no_object),
        (r#"{"to":"1","from":"2","kind":"letter"}"#, "a kind that nobody knows"),
        (r#"{"to":"","from":"2","kind":0}"#, "is no number"),
        (r#"{"to":"+1","from":"2","kind":0}"#, "is no number"),
        (r#"{"to":"18446744073709551616","from":"2","kind":0}"#, "is no number"),
        (r#"{"to":"1","from":"2","kind":0,"epoch":"-1"}"#, "is no number"),
        (r#"{"to":"1","from":"2","kind":0,"payload":"A"}"#, "is no base64"),
        (r#"{"to":"1","from":"2","kind":0,"payload":"AA"}"#, "is no base64"),
        (r#"{"to":"1","from":"2","kind":0,"metadata":"A-=="}"#, "is no base64"),
        (r#"{"to":"1","from":"2","kind":0,"text":"a","payload":"AA=="}"#, "both a text"),
    ];
    for (text, reason) in cases {
        let error = decode(text.as_bytes(), |envelope| format!("{envelope:?}")).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed(_)), "{error:?} for {text}");
        assert!(error.to_string().contains(reason), "{error} for {text}");
    }
    assert!(decode(b"{\"to\":\"1\",\"from\":\"2\",\"kind\":0,\"text\":\"\xFF\"}", |_| ()).is_err());
}

/// A parser that recurses would end the process.
#[test]
fn nesting_is_refused() {
    let text = format!(r#"{{"to":"1","from":"2","kind":{}"#, "[".repeat(100_000));
    assert!(decode(text.as_bytes(), |_| ()).is_err());
}

proptest! {
    #[test]
    fn any_envelope_survives(
        numbers in any::<(u64, u64, u8, u32, u64, u64)>(),
        metadata in prop::collection::vec(any::<u8>(), 0..2000),
        payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            any::<String>().prop_map(String::into_bytes),
        ],
    ) {
        let (destination, source, kind, flags, epoch, correlation) = numbers;
        let envelope = Envelope {
            destination, source, kind, flags, epoch, correlation,
            metadata: &metadata, payload: &payload,
        };
        let text = encode(&envelope);
        prop_assert_eq!(decode(text.as_bytes(), |decoded| decoded == envelope), Ok(true));
        // Whoever knows JSON and nothing else reads it.
        let value: skymesh_plugin_api::serde_json::Value =
            skymesh_plugin_api::serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&value["to"], &destination.to_string());
    }

    #[test]
    fn any_truncation_is_refused(
        payload in prop::collection::vec(any::<u8>(), 0..50),
        cut: prop::sample::Index,
    ) {
        let text = encode(&Envelope { payload: &payload, ..PLAIN });
        prop_assert!(decode(&text.as_bytes()[..cut.index(text.len())], |_| ()).is_err());
    }
}
