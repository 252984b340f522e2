//! The origin's layout of a virtual connection, inside the payload of a plain v1 message. Layout
//! only: who is to be spoken to like this is decided elsewhere, by the peer's protocol.
//!
//! `[u32 LE command: 1 data, 2 connect, 4 close][u32 LE seq][u64 LE connection id][bytes]`.
//! The dialler makes the id. Data packets are numbered from 0 per direction; connect and close have
//! seq 0 and take none. There is no window and no half close. A receiver that misses a packet, or
//! gets data for a connection that it does not know, answers close.

use bytes::Bytes;

/// Bytes of the layout before the bytes that it carries.
pub const HEADER_BYTES: usize = 4 + 4 + 8;

/// Most bytes that one packet to a v1 peer carries, so that with its header it is no larger than
/// the 4 KiB buffers of the origin.
pub const DATA_BYTES: usize = 4096 - HEADER_BYTES;

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Bytes of the stream.
    Data = 1,
    /// A new connection.
    Connect = 2,
    /// The end of a connection, in both directions, in order or not.
    Close = 4,
}

/// A packet as v1 carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What it is for.
    pub command: Command,
    /// A data packet's place in its direction, from 0.
    pub seq: u32,
    /// Which connection of these two instances.
    pub connection: u64,
    /// Bytes of the stream; nothing but in data.
    pub bytes: Bytes,
}

impl Packet {
    /// Appends the packet to `out`.
    pub fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.command as u32).to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.connection.to_le_bytes());
        out.extend_from_slice(&self.bytes);
    }

    /// Reads a payload; `None` if it is no packet of this layout (then it is a plain message).
    pub fn read(payload: &Bytes) -> Option<Self> {
        let number =
            |at: usize| Some(u32::from_le_bytes(payload.get(at..at + 4)?.try_into().ok()?));
        let command = match number(0)? {
            1 => Command::Data,
            2 => Command::Connect,
            4 => Command::Close,
            _ => return None,
        };
        let seq = number(4)?;
        let connection = u64::from_le_bytes(payload.get(8..HEADER_BYTES)?.try_into().ok()?);
        Some(Self { command, seq, connection, bytes: payload.slice(HEADER_BYTES..) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skymesh_captured::Captured;
    use std::collections::HashMap;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// Source instance, and payload, of all messages that the origin's client and servers sent.
    fn captured() -> Vec<(String, Bytes)> {
        let frames = skymesh_captured::captured("grpc.jsonl").into_iter();
        let message = |one: Captured| {
            let source = one.line["body"]["src_service"]["service_id"].to_string();
            Some((source, Bytes::copy_from_slice(one.payload()?)))
        };
        frames.filter_map(message).collect()
    }

    #[test]
    fn what_the_origin_said_is_read_and_written_byte_for_byte() {
        let captured = captured();
        assert!(captured.len() >= 19, "only {} messages in the vectors", captured.len());
        let mut next: HashMap<(String, u64), u32> = HashMap::new();
        let mut connects = 0;
        for (source, payload) in captured {
            let packet = Packet::read(&payload).unwrap();
            let mut out = Vec::new();
            packet.append(&mut out);
            assert_eq!(out, payload[..]);
            let next = next.entry((source, packet.connection)).or_default();
            match packet.command {
                Command::Connect => {
                    connects += 1;
                    assert_eq!((packet.seq, packet.bytes.len(), *next), (0, 0, 0));
                }
                Command::Data => {
                    assert_eq!(packet.seq, *next, "packets are numbered from 0 per direction");
                    *next += 1;
                }
                Command::Close => panic!("nothing was closed in this capture"),
            }
        }
        assert_eq!(connects, 2, "one connection to each of the two servers");
    }

    #[test]
    fn the_first_bytes_of_a_captured_connection_are_those_of_http_2() {
        let packets = captured().into_iter().map(|(_, payload)| Packet::read(&payload).unwrap());
        let first = packets.filter(|p| p.command == Command::Data).find(|p| p.seq == 0).unwrap();
        assert_eq!(&first.bytes[..], PREFACE);
    }

    #[test]
    fn other_payloads_are_plain_messages() {
        let mut good = Vec::new();
        let packet = Packet { command: Command::Close, seq: 0, connection: 7, bytes: Bytes::new() };
        packet.append(&mut good);
        assert_eq!(Packet::read(&good.clone().into()), Some(packet));
        for len in 0..HEADER_BYTES {
            assert_eq!(Packet::read(&good[..len].to_vec().into()), None, "{len} bytes");
        }
        for command in [0, 3, 5, 8] {
            good[0] = command;
            assert_eq!(Packet::read(&good.clone().into()), None, "command {command}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(packet) = Packet::read(&bytes.clone().into()) {
                let mut out = Vec::new();
                packet.append(&mut out);
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
