//! How one virtual connection speaks to its peer: in which form, under which id. No state.

use bytes::Bytes;
use skymesh_agent::{Instance, Outgoing, SendError};
use skymesh_types::Handle;
use skymesh_wire::Kind;

use crate::segment::{Command, End, Number, Segment};
use crate::v1;

/// In which form a peer is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// The origin's packets in plain messages.
    V1,
    /// Segments in envelopes of their own kind.
    V2,
}

impl Form {
    pub(crate) fn of(protocol: u32) -> Self {
        if protocol == 1 { Self::V1 } else { Self::V2 }
    }

    /// Most bytes of a data segment: enough that its envelope costs nothing beside it, and little
    /// beside the mesh's window of 1 MiB, which other messages want too.
    pub(crate) fn data_bytes(self) -> usize {
        match self {
            Self::V1 => v1::DATA_BYTES,
            Self::V2 => 64 * 1024,
        }
    }

    /// Whether a data segment with `number` is the one that is due.
    pub(crate) fn is_due(self, due: Number, number: Number) -> bool {
        match self {
            Self::V1 => due == number,
            Self::V2 => due.is(number),
        }
    }
}

/// Something to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) command: Command,
    pub(crate) number: Number,
    pub(crate) payload: Bytes,
}

impl Parcel {
    pub(crate) fn of(command: Command, number: Number) -> Self {
        Self { command, number, payload: Bytes::new() }
    }

    pub(crate) fn window(bytes: u64) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let payload = Bytes::copy_from_slice(&bytes.to_le_bytes());
        Self { command: Command::Window, number: Number::default(), payload }
    }

    pub(crate) fn reset(reason: &str) -> Self {
        let end = (0..=reason.len().min(crate::segment::REASON_BYTES))
            .rev()
            .find(|at| reason.is_char_boundary(*at))
            .unwrap_or(0);
        let payload = Bytes::copy_from_slice(&reason.as_bytes()[..end]);
        Self { command: Command::Reset, number: Number::default(), payload }
    }

    /// As v1 says it; `None` for what v1 has no word for, and need not hear.
    fn as_v1(&self, connection: u64) -> Option<Vec<u8>> {
        let (command, seq) = match self.command {
            Command::Connect => (v1::Command::Connect, 0),
            Command::Data => (v1::Command::Data, self.number.get()),
            // There is no half of it.
            Command::HalfClose | Command::Close | Command::Reset => (v1::Command::Close, 0),
            Command::Window => return None,
        };
        let bytes = match command {
            v1::Command::Data => self.payload.clone(),
            _ => Bytes::new(),
        };
        let mut out = Vec::with_capacity(v1::HEADER_BYTES + bytes.len());
        v1::Packet { command, seq, connection, bytes }.append(&mut out);
        Some(out)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) instance: Instance,
    pub(crate) peer: Handle,
    pub(crate) form: Form,
    pub(crate) id: u64,
    /// Which end this is.
    pub(crate) end: End,
}

impl Line {
    /// Sends without waiting.
    pub(crate) fn try_post(&self, parcel: &Parcel) -> Result<(), SendError> {
        match self.form {
            Form::V2 => self.instance.try_post(self.peer, self.outgoing(parcel)),
            Form::V1 => match parcel.as_v1(self.id) {
                Some(payload) => self.instance.try_send(self.peer, payload),
                None => Ok(()),
            },
        }
    }

    /// Sends, and waits for room. Cancel safe: it has sent all of it, or nothing.
    pub(crate) async fn post(&self, parcel: &Parcel) -> Result<(), SendError> {
        match self.form {
            Form::V2 => self.instance.post(self.peer, self.outgoing(parcel)).await,
            Form::V1 => match parcel.as_v1(self.id) {
                Some(payload) => self.instance.send(self.peer, payload).await,
                None => Ok(()),
            },
        }
    }

    fn outgoing<'a>(&self, parcel: &'a Parcel) -> Outgoing<'a> {
        let segment = Segment { command: parcel.command, sender: self.end, number: parcel.number };
        Outgoing {
            kind: Kind::STREAM.0,
            flags: segment.flags(),
            correlation: self.id,
            payload: &parcel.payload,
            ..Outgoing::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        let parcel = Parcel::reset(&"é".repeat(200));
        assert_eq!(parcel.payload.len(), 256);
        let parcel = Parcel::reset(&format!("x{}", "é".repeat(200)));
        assert_eq!(parcel.payload.len(), 255);
        assert_eq!(&Parcel::reset("short").payload[..], b"short");
    }

    #[test]
    fn towards_v1_every_end_is_a_close_and_windows_are_not_said() {
        for command in [Command::HalfClose, Command::Close, Command::Reset] {
            let packet = Parcel::of(command, Number::of(9)).as_v1(7).unwrap();
            let packet = v1::Packet::read(&packet.into()).unwrap();
            assert_eq!((packet.command, packet.seq), (v1::Command::Close, 0));
        }
        assert_eq!(Parcel::window(5).as_v1(7), None);
    }
}
