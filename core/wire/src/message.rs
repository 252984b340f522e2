//! Core's own form of an envelope: the protobuf `Message` of v1, with the v2 fields only where they
//! are not empty. It serves towards v1 peers and wherever two agents share no codec.
//!
//! Hand-tuned because it is on the message path, and byte for byte what prost writes. [`read`]
//! knows that usual form only; whatever else protobuf allows (fields in another order, repeated,
//! unknown) goes through [`decode_msg`](crate::decode_msg) and [`MessageRef::from`].

use skymesh_proto::Message;

use crate::control::{begin_frame, end_frame};
use crate::envelope::{Envelope, Kind};
use crate::varint::{self, Reader};

/// Msg: cmd 2000, then the key of field 200.
const MSG_HEAD: [u8; 5] = [0x08, 0xd0, 0x0f, 0xc2, 0x0c];

const INFO: [u8; 1] = [0x0a];
const INFO_SERVICE_NAME: [u8; 1] = [0x0a];
const INFO_INSTANCE: [u8; 1] = [0x10];
const INFO_HANDLE: [u8; 1] = [0x18];

const DESTINATION: [u8; 1] = [0x10];
const PAYLOAD: [u8; 1] = [0x1a];
const KIND: [u8; 2] = [0xa0, 0x06];
const CORRELATION: [u8; 2] = [0xa8, 0x06];
const FLAGS: [u8; 2] = [0xb0, 0x06];
const EPOCH: [u8; 2] = [0xb8, 0x06];
const METADATA: [u8; 2] = [0xc2, 0x06];

/// Who sends, as v1 says it in every message. The handle is in the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Source<'a> {
    /// `app.env.service`
    pub service_name: &'a str,
    /// The number behind the slash of its URL.
    pub instance: u64,
}

/// A message in core's own form, borrowed from where it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageRef<'a> {
    /// Who sends.
    pub source: Source<'a>,
    /// The message itself.
    pub envelope: Envelope<'a>,
}

/// Appends `envelope` to `out` as one whole frame in core's own form. Once `out` is large enough it
/// does not allocate.
///
/// # Panics
/// If the frame is 4 GiB or larger; callers hold their own, far lower limits.
pub fn append(source: Source<'_>, envelope: &Envelope<'_>, out: &mut Vec<u8>) {
    let info_len = bytes_len(INFO_SERVICE_NAME, source.service_name.as_bytes())
        + varint_len(INFO_INSTANCE, source.instance)
        + varint_len(INFO_HANDLE, envelope.source);
    let message_len = INFO.len()
        + varint::len(info_len as u64)
        + info_len
        + varint_len(DESTINATION, envelope.destination)
        + bytes_len(PAYLOAD, envelope.payload)
        + varint_len(KIND, envelope.kind.0.into())
        + varint_len(CORRELATION, envelope.correlation)
        + varint_len(FLAGS, envelope.flags.into())
        + varint_len(EPOCH, envelope.epoch)
        + bytes_len(METADATA, envelope.metadata);

    let start = begin_frame(out);
    out.extend_from_slice(&MSG_HEAD);
    varint::put(message_len as u64, out);
    out.extend_from_slice(&INFO);
    varint::put(info_len as u64, out);
    put_bytes(INFO_SERVICE_NAME, source.service_name.as_bytes(), out);
    put_varint(INFO_INSTANCE, source.instance, out);
    put_varint(INFO_HANDLE, envelope.source, out);
    put_varint(DESTINATION, envelope.destination, out);
    put_bytes(PAYLOAD, envelope.payload, out);
    put_varint(KIND, envelope.kind.0.into(), out);
    put_varint(CORRELATION, envelope.correlation, out);
    put_varint(FLAGS, envelope.flags.into(), out);
    put_varint(EPOCH, envelope.epoch, out);
    put_bytes(METADATA, envelope.metadata, out);
    end_frame(out, start);
}

/// Reads a frame body in the form that [`append`] and v1 peers write. `None` says only that it is
/// not in that form: it may be another message, or this one written unusually, or nonsense; ask
/// [`decode_msg`](crate::decode_msg).
pub fn read(body: &[u8]) -> Option<MessageRef<'_>> {
    let mut msg = Reader::new(body);
    if !msg.tag(MSG_HEAD) {
        return None;
    }
    let mut message = Reader::new(msg.bytes()?);
    if !msg.is_empty() || !message.tag(INFO) {
        return None;
    }
    let mut info = Reader::new(message.bytes()?);
    let service_name = str::from_utf8(info.bytes_field(INFO_SERVICE_NAME)?).ok()?;
    let instance = info.varint_field(INFO_INSTANCE)?;
    let source = info.varint_field(INFO_HANDLE)?;
    let envelope = Envelope {
        destination: message.varint_field(DESTINATION)?,
        source,
        payload: message.bytes_field(PAYLOAD)?,
        kind: Kind(message.varint_field(KIND)?.try_into().ok()?),
        correlation: message.varint_field(CORRELATION)?,
        flags: message.varint_field(FLAGS)?.try_into().ok()?,
        epoch: message.varint_field(EPOCH)?,
        metadata: message.bytes_field(METADATA)?,
    };
    (info.is_empty() && message.is_empty())
        .then_some(MessageRef { source: Source { service_name, instance }, envelope })
}

/// The slow way in: whatever prost accepted. A kind beyond 255 becomes 31, which no version of
/// skymesh gives a meaning to.
impl<'a> From<&'a Message> for MessageRef<'a> {
    fn from(message: &'a Message) -> Self {
        let info = message.source.as_ref();
        Self {
            source: Source {
                service_name: info.map_or("", |info| info.service_name.as_str()),
                instance: info.map_or(0, |info| info.instance),
            },
            envelope: Envelope {
                destination: message.destination,
                source: info.map_or(0, |info| info.handle),
                kind: Kind(u8::try_from(message.kind).unwrap_or(Kind::MAX.0)),
                flags: message.flags,
                epoch: message.epoch,
                correlation: message.correlation,
                metadata: &message.metadata,
                payload: &message.payload,
            },
        }
    }
}

/// proto3 leaves out what has its default value: 0, or no bytes.
fn varint_len<const N: usize>(_tag: [u8; N], value: u64) -> usize {
    if value == 0 { 0 } else { N + varint::len(value) }
}

fn bytes_len<const N: usize>(_tag: [u8; N], bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { N + varint::len(bytes.len() as u64) + bytes.len() }
}

#[inline]
fn put_varint<const N: usize>(tag: [u8; N], value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        out.extend_from_slice(&tag);
        varint::put(value, out);
    }
}

#[inline]
fn put_bytes<const N: usize>(tag: [u8; N], bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        out.extend_from_slice(&tag);
        varint::put(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use skymesh_proto::msg::Body;
    use skymesh_proto::{Info, Msg};

    use super::*;
    use crate::{HEADER_BYTES, decode_msg, encode_msg};

    fn any_message() -> impl Strategy<Value = Message> {
        // Zero and the extremes matter most, and a random u64 is never small.
        let number = || prop_oneof![Just(0), 1..300u64, any::<u64>()];
        let bytes = || vec(any::<u8>(), 0..300);
        (
            ("[a-zé.]{0,20}", number(), number()),
            (number(), bytes(), any::<u8>(), number()),
            (prop_oneof![Just(0), any::<u32>()], number(), bytes()),
        )
            .prop_map(|(info, main, rest)| Message {
                source: Some(Info { service_name: info.0, instance: info.1, handle: info.2 }),
                destination: main.0,
                payload: main.1.into(),
                kind: main.2.into(),
                correlation: main.3,
                flags: rest.0,
                epoch: rest.1,
                metadata: rest.2.into(),
            })
    }

    fn ours(message: &Message) -> Vec<u8> {
        let mut out = Vec::new();
        let form = MessageRef::from(message);
        append(form.source, &form.envelope, &mut out);
        out
    }

    proptest! {
        #[test]
        fn written_as_prost_writes_and_read_back(message in any_message()) {
            let mut prosts = Vec::new();
            encode_msg(&message.clone().into(), &mut prosts);
            prop_assert_eq!(&ours(&message), &prosts);
            prop_assert_eq!(read(&prosts[HEADER_BYTES..]), Some(MessageRef::from(&message)));
        }

        #[test]
        fn what_read_accepts_prost_reads_alike(
            message in any_message(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            // One changed byte: nonsense mostly, but now and then another good message.
            let mut body = ours(&message).split_off(HEADER_BYTES);
            let at = at.index(body.len());
            body[at] = byte;
            if let Some(read) = read(&body) {
                let msg = decode_msg(body.clone()).unwrap();
                let Some(Body::Message(slow)) = &msg.body else { panic!("prost read {msg:?}") };
                prop_assert_eq!(read, MessageRef::from(slow));
            }
        }

        #[test]
        fn garbage_never_panics(body in vec(any::<u8>(), 0..200)) {
            let _ = read(&body);
            let _ = read(&[&MSG_HEAD, body.as_slice()].concat());
        }
    }

    #[test]
    fn unusual_forms_are_left_to_prost() {
        let plain =
            ours(&Message { destination: 9, source: Some(Info::default()), ..<_>::default() })
                .split_off(HEADER_BYTES);
        assert_eq!(read(&plain).unwrap().envelope.destination, 9);

        // The same with the destination in front of the source, and with a field from the future.
        let swapped = [MSG_HEAD.as_slice(), &[4, 0x10, 9, 0x0a, 0]].concat();
        let future = [MSG_HEAD.as_slice(), &[7, 0x0a, 0, 0x10, 9, 0xc0, 0x3e, 1]].concat();
        for body in [swapped, future] {
            assert_eq!(read(&body), None);
            let Msg { body: Some(Body::Message(message)), .. } = decode_msg(body).unwrap() else {
                panic!("another body came out");
            };
            assert_eq!(MessageRef::from(&message).envelope.destination, 9);
        }
    }
}
