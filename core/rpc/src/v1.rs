//! The origin's layout of a call, inside the payload of a plain v1 message. Layout only: who is to
//! be spoken to like this is decided elsewhere, by the peer's protocol.
//!
//! `[u8 type: 1 request, 2 response][u8 method length][method][u64 LE seq; 0: notify]`
//! `[u64 LE send time in microseconds since 1970][u8 version: 0][body]`.
//! A response names no method. There is no failure, no deadline and no metadata.

use bytes::Bytes;

use crate::method::Method;
use crate::status::Status;

/// Longest method that v1 can name, in bytes. A call of a longer one fails before it is sent.
pub const METHOD_BYTES: usize = 32;

/// Largest call or answer with its layout, in bytes. A larger one is not sent: the origin's buffer
/// for it ends there.
pub const PACKET_BYTES: usize = 4096;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const VERSION: u8 = 0;

/// Bytes of the layout beside the method: type, length, seq, time and version.
const FIXED_BYTES: usize = 1 + 1 + 8 + 8 + 1;

/// A call or an answer as v1 carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What is called; `None` in a response.
    pub method: Option<Method>,
    /// Pairs a response with its request; 0 for a notify.
    pub seq: u64,
    /// When it was sent, in microseconds since 1970 by the sender's clock.
    pub sent_micros: u64,
    /// The application's bytes.
    pub body: Bytes,
}

/// Why something can't be said in v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum V1Error {
    /// The method's name is empty or too long.
    #[error("a v1 peer knows methods of 1 to {METHOD_BYTES} bytes, not of {0}")]
    Method(usize),
    /// The whole is too large.
    #[error("a v1 peer takes packets of up to {PACKET_BYTES} bytes, not of {0}")]
    Packet(usize),
}

impl From<V1Error> for Status {
    fn from(error: V1Error) -> Self {
        Self::invalid_argument(error.to_string()).not_processed()
    }
}

impl Packet {
    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`V1Error`] if v1 has no room for it; then nothing was appended.
    pub fn append(&self, out: &mut Vec<u8>) -> Result<(), V1Error> {
        let method = self.method.as_ref().map_or("", Method::as_str);
        let named = usize::from(self.method.is_some());
        if !(named..=METHOD_BYTES).contains(&method.len()) {
            return Err(V1Error::Method(method.len()));
        }
        let bytes = FIXED_BYTES + method.len() + self.body.len();
        if bytes > PACKET_BYTES {
            return Err(V1Error::Packet(bytes));
        }
        out.push(if self.method.is_some() { REQUEST } else { RESPONSE });
        out.push(method.len() as u8);
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.sent_micros.to_le_bytes());
        out.push(VERSION);
        out.extend_from_slice(&self.body);
        Ok(())
    }

    /// Reads a payload; `None` if it is no packet of this layout (then it is a plain message).
    pub fn read(payload: &Bytes) -> Option<Self> {
        let (&kind, rest) = payload.split_first()?;
        let (&len, rest) = rest.split_first()?;
        let method_bytes = usize::from(len);
        if method_bytes > METHOD_BYTES || rest.len() < method_bytes + FIXED_BYTES - 2 {
            return None;
        }
        let (_, rest) = rest.split_at(method_bytes);
        let number = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        let (seq, sent_micros) = (number(0)?, number(8)?);
        if rest.get(16) != Some(&VERSION) {
            return None;
        }
        let method = match (kind, method_bytes) {
            (REQUEST, 1..) => Some(Method::from_utf8(payload.slice(2..2 + method_bytes))?),
            (RESPONSE, 0) => None,
            _ => return None,
        };
        let body = payload.slice(FIXED_BYTES + method_bytes..);
        Some(Self { method, seq, sent_micros, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The payloads of all messages that the origin's client and server exchanged.
    fn captured() -> Vec<Bytes> {
        let frames = skymesh_captured::captured("inner_service.jsonl");
        frames.iter().filter_map(|one| one.payload().map(Bytes::copy_from_slice)).collect()
    }

    #[test]
    fn what_the_origin_said_is_read_and_written_byte_for_byte() {
        let captured = captured();
        let packets: Vec<Packet> = captured.iter().map(|p| Packet::read(p).unwrap()).collect();
        for (packet, payload) in packets.iter().zip(&captured) {
            let mut out = Vec::new();
            packet.append(&mut out).unwrap();
            assert_eq!(out, payload[..]);
        }
        let [notify, call, answer] = &packets[..3] else { panic!("{packets:?}") };
        assert_eq!((notify.method.as_ref().unwrap().as_str(), notify.seq), ("SayHello", 0));
        assert_eq!(&notify.body[..], b"\x0a\x05Jerry");
        assert_eq!((call.method.as_ref().unwrap().as_str(), call.seq), ("SayHello", 1));
        assert_eq!((&answer.method, answer.seq), (&None, 1));
        assert_eq!(&answer.body[2..], b"Nice to meet you Bob");
        assert!(packets.iter().all(|p| p.sent_micros > 1_700_000_000_000_000));
        assert!(packets.len() >= 6, "only {} messages in the vectors", packets.len());
    }

    #[test]
    fn what_v1_has_no_room_for_is_refused() {
        let packet = |method: usize, body: usize| Packet {
            method: Some("m".repeat(method).into()),
            seq: 1,
            sent_micros: 0,
            body: vec![0; body].into(),
        };
        let append = |packet: &Packet| packet.append(&mut Vec::new());
        assert_eq!(append(&packet(32, PACKET_BYTES - FIXED_BYTES - 32)), Ok(()));
        assert_eq!(append(&packet(33, 0)), Err(V1Error::Method(33)));
        assert_eq!(append(&packet(0, 0)), Err(V1Error::Method(0)));
        assert_eq!(
            append(&packet(32, PACKET_BYTES - FIXED_BYTES - 31)),
            Err(V1Error::Packet(PACKET_BYTES + 1))
        );
    }

    #[test]
    fn other_payloads_are_plain_messages() {
        let mut good = Vec::new();
        let body = Bytes::from_static(b"body");
        let packet = Packet { method: Some("m".into()), seq: 1, sent_micros: 2, body };
        packet.append(&mut good).unwrap();
        assert_eq!(Packet::read(&good.clone().into()), Some(packet));
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            Packet::read(&bytes.into())
        };
        assert_eq!(changed(0, 3), None, "a type that is none");
        assert_eq!(changed(0, 2), None, "a response with a method");
        assert_eq!(changed(1, 33), None, "too long a method");
        assert_eq!(changed(2, 0xff), None, "a method that is no text");
        assert_eq!(changed(19, 1), None, "another version");
        for len in 0..good.len() - 4 {
            assert_eq!(Packet::read(&good[..len].to_vec().into()), None, "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(packet) = Packet::read(&bytes.clone().into()) {
                let mut out = Vec::new();
                packet.append(&mut out).unwrap();
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
