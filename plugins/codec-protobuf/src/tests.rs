//! Against prost, which writes and reads the same message by its own code.

use proptest::prelude::*;
use prost::Message;
use skymesh_plugin_api::abi::host::{CodecInstance, DecodeError};
use skymesh_plugin_api::conformance;

use super::*;

/// `envelope.proto`, as prost has it.
#[derive(Clone, PartialEq, Message)]
struct Peer {
    #[prost(fixed64, tag = "1")]
    destination: u64,
    #[prost(fixed64, tag = "2")]
    source: u64,
    #[prost(uint32, tag = "3")]
    kind: u32,
    #[prost(uint32, tag = "4")]
    flags: u32,
    #[prost(uint64, tag = "5")]
    epoch: u64,
    #[prost(uint64, tag = "6")]
    correlation: u64,
    #[prost(bytes = "vec", tag = "7")]
    metadata: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    payload: Vec<u8>,
}

impl Peer {
    fn of(envelope: &Envelope<'_>) -> Self {
        Self {
            destination: envelope.destination,
            source: envelope.source,
            kind: u32::from(envelope.kind),
            flags: envelope.flags,
            epoch: envelope.epoch,
            correlation: envelope.correlation,
            metadata: envelope.metadata.to_vec(),
            payload: envelope.payload.to_vec(),
        }
    }
}

fn instance() -> CodecInstance {
    CodecInstance::of::<Protobuf>("{}").unwrap()
}

fn encode(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    instance().encode_into(envelope, &mut bytes, usize::MAX >> 1).unwrap();
    bytes
}

/// What the plugin reads, in prost's terms, without any space to unpack into.
fn decode(bytes: &[u8]) -> Result<Peer, DecodeError> {
    let decoded = instance().decode(bytes, &mut Vec::new(), 0)?;
    Ok(Peer::of(&decoded.envelope(bytes, &[])))
}

#[test]
fn keeps_the_contract() {
    conformance::codec::<Protobuf>();
}

/// Pinned for ever: the two ends may run different versions of this plugin.
#[test]
fn the_bytes_never_change() {
    let envelope = Envelope {
        destination: 1,
        source: u64::MAX,
        kind: 2,
        flags: 300,
        epoch: 5,
        correlation: 128,
        metadata: b"mm",
        payload: b"ppp",
    };
    #[rustfmt::skip]
    let expected = [
        0x09, 1, 0, 0, 0, 0, 0, 0, 0,
        0x11, 255, 255, 255, 255, 255, 255, 255, 255,
        0x18, 2,
        0x20, 0xAC, 2,
        0x28, 5,
        0x30, 0x80, 1,
        0x3A, 2, b'm', b'm',
        0x42, 3, b'p', b'p', b'p',
    ];
    assert_eq!(encode(&envelope), expected);
    assert_eq!(decode(&expected).unwrap(), Peer::of(&envelope));
    assert!(encode(&Envelope::default()).is_empty(), "zeros are left out");
}

#[test]
fn the_documented_message_is_the_file() {
    let squeezed = |text: &str| {
        let fields = text.lines().map(|line| line.trim_start_matches("//!").trim());
        let fields = fields.filter_map(|line| line.split_once(';').map(|(field, _)| field.trim()));
        fields.filter(|field| field.contains(" = ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let file = squeezed(include_str!("../envelope.proto"));
    let documented: Vec<String> = squeezed(include_str!("lib.rs"))
        .into_iter()
        .skip_while(|field| !field.starts_with("syntax"))
        .take(file.len())
        .collect();
    assert_eq!(documented, file);
    assert_eq!(file.len(), 9, "syntax and eight fields: {file:?}");
}

#[test]
fn fields_may_come_in_any_order_repeat_or_be_unknown() {
    let cases: [(&[u8], Peer); 5] = [
        (&[0x42, 1, 7, 0x18, 3], Peer { kind: 3, payload: vec![7], ..Peer::default() }),
        (&[0x18, 3, 0x18, 4], Peer { kind: 4, ..Peer::default() }),
        (&[0x42, 1, 7, 0x42, 0], Peer::default()),
        // Unknown: a varint 9, a fixed64 10, bytes 11, a fixed32 12, and bytes 2000.
        (
            &[
                0x48, 0xFF, 1, 0x51, 1, 2, 3, 4, 5, 6, 7, 8, 0x5A, 2, 1, 1, 0x65, 1, 2, 3, 4, 0x82,
                0x7D, 1, 9, 0x28, 6,
            ],
            Peer { epoch: 6, ..Peer::default() },
        ),
        // A uint32 is the lower half of its varint.
        (&[0x20, 0x81, 0x80, 0x80, 0x80, 0x10], Peer { flags: 1, ..Peer::default() }),
    ];
    for (bytes, expected) in cases {
        assert_eq!(decode(bytes).unwrap(), expected, "{bytes:?}");
        assert_eq!(Peer::decode(bytes).unwrap(), expected, "prost: {bytes:?}");
    }
}

#[test]
fn what_is_refused_and_why() {
    let cases: [(&[u8], &str); 12] = [
        (&[0x09, 1, 2], "ends within a field"),
        (&[0x18], "ends within a field"),
        (&[0x42, 2, 1], "ends within a field"),
        (
            &[0x42, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0],
            "ends within a field",
        ),
        (&[0x65, 1, 2, 3], "ends within a field"),
        (&[0x18, 0x80, 2], "a kind above 255"),
        (&[0x1A, 0], "another wire type"),
        (&[0x40, 1], "another wire type"),
        (&[0x02, 0], "field number 0"),
        (&[0x4B, 0x4C], "a group"),
        (&[0x0F], "no wire type"),
        (&[0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0], "a field number above"),
    ];
    for (bytes, reason) in cases {
        let error = decode(bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed(_)), "{error:?}");
        assert!(error.to_string().contains(reason), "{error} for {bytes:?}");
    }
}

/// Bytes that often are nearly messages: fields of small numbers and of all wire types.
fn near_messages() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..12);
    let field = (0..12u8, 0..6u8, payload, any::<u8>()).prop_map(|(number, kind, payload, len)| {
        let mut bytes = vec![number << 3 | kind];
        if kind == wire_type_of_bytes() {
            bytes.push(if len < 250 { payload.len() as u8 } else { len });
        }
        bytes.extend(payload);
        bytes
    });
    prop::collection::vec(field, 0..6).prop_map(|fields| fields.concat())
}

fn wire_type_of_bytes() -> u8 {
    crate::read::wire_type::BYTES
}

proptest! {
    #[test]
    fn prost_writes_the_same_bytes_and_reads_them(
        numbers in any::<(u64, u64, u8, u32, u64, u64)>(),
        zeroed in any::<[bool; 6]>(),
        metadata in prop::collection::vec(any::<u8>(), 0..300),
        payload in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        let or_zero = |number: u64, which: usize| if zeroed[which] { 0 } else { number };
        let (destination, source, kind, flags, epoch, correlation) = numbers;
        let envelope = Envelope {
            destination: or_zero(destination, 0),
            source: or_zero(source, 1),
            kind: or_zero(u64::from(kind), 2) as u8,
            flags: or_zero(u64::from(flags), 3) as u32,
            epoch: or_zero(epoch, 4),
            correlation: or_zero(correlation, 5),
            metadata: &metadata,
            payload: &payload,
        };
        let (bytes, peer) = (encode(&envelope), Peer::of(&envelope));
        prop_assert_eq!(&bytes, &peer.encode_to_vec());
        prop_assert_eq!(decode(&bytes).unwrap(), peer);
    }

    /// Both read the same, but for what is documented to be stricter here: groups and kinds.
    #[test]
    fn garbage_means_the_same_to_prost(
        bytes in prop_oneof![near_messages(), prop::collection::vec(any::<u8>(), 0..60)],
    ) {
        match (decode(&bytes), Peer::decode(bytes.as_slice())) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(_), Err(_)) => {}
            (Err(DecodeError::Malformed(reason)), Ok(_)) => {
                let stricter = ["a group, or no wire type at all", "a kind above 255"];
                prop_assert!(stricter.contains(&reason), "{}", reason);
            }
            (ours, theirs) => prop_assert!(false, "{:?} but prost {:?}", ours, theirs),
        }
    }

    #[test]
    fn a_cut_message_is_refused_or_lacks_its_last_fields(
        metadata in prop::collection::vec(any::<u8>(), 1..50),
        payload in prop::collection::vec(any::<u8>(), 1..50),
        cut: prop::sample::Index,
    ) {
        let envelope = Envelope {
            destination: 7, source: 8, kind: 1, metadata: &metadata, payload: &payload,
            ..Envelope::default()
        };
        let bytes = encode(&envelope);
        let bytes = &bytes[..cut.index(bytes.len())];
        if let Ok(shorter) = decode(bytes) {
            prop_assert_eq!(shorter.encode_to_vec(), bytes);
            prop_assert!(shorter.payload.is_empty());
        }
    }
}
