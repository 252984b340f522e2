//! The v2 form of a virtual connection: what an envelope of kind 4 says beside its payload. Layout
//! only.
//!
//! The envelope's correlation is the connection's id. Its flags are, from the lowest bit:
//! `[4 bits command][3 bits 0][1 bit: sent by who opened the connection][24 bits number]`. Data
//! segments are numbered from 0 per direction, modulo 2^24; the two ends of a direction carry the
//! number that data would have next, so that nothing is missing unseen. The payload is: of data the
//! bytes; of a window the bytes that may be sent more, u32 LE; of a reset the reason, as text.
//!
//! Who accepts a connection says so with a window, be it one of 0 bytes.

use crate::config::INITIAL_WINDOW_BYTES;

const _: () = assert!(INITIAL_WINDOW_BYTES == 64 * 1024, "a fact of the protocol");

/// Longest reason that a reset carries, in bytes; the rest of it is cut off.
pub(crate) const REASON_BYTES: usize = 256;

const COMMAND_MASK: u32 = 0xf;
const DIALLER: u32 = 1 << 7;
const RESERVED: u32 = 0x70;
const NUMBER_SHIFT: u32 = 8;

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Dialler,
    Acceptor,
}

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Connect = 1,
    Data = 2,
    /// The sender writes no more, and reads on.
    HalfClose = 3,
    /// The sender neither writes nor reads any more.
    Close = 4,
    /// Something is wrong; the payload says what.
    Reset = 5,
    Window = 6,
}

/// A segment without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) command: Command,
    pub(crate) sender: End,
    pub(crate) number: Number,
}

/// A data segment's place in its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Number(u32);

impl Number {
    /// The one after it, modulo 2^32; on the wire of v2 modulo 2^24.
    pub(crate) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// As v1 reads it.
    pub(crate) fn of(seq: u32) -> Self {
        Self(seq)
    }

    /// As v1 writes it.
    pub(crate) fn get(self) -> u32 {
        self.0
    }

    /// Whether a v2 segment with `other` is this one.
    pub(crate) fn is(self, other: Self) -> bool {
        (self.0 ^ other.0) << NUMBER_SHIFT == 0
    }
}

impl Segment {
    pub(crate) fn flags(self) -> u32 {
        let sender = if self.sender == End::Dialler { DIALLER } else { 0 };
        self.command as u32 | sender | self.number.0 << NUMBER_SHIFT
    }

    /// Reads flags; `None` for a command of another time.
    pub(crate) fn read(flags: u32) -> Option<Self> {
        use Command::{Close, Connect, Data, HalfClose, Reset, Window};
        let commands = [Connect, Data, HalfClose, Close, Reset, Window];
        let command = commands.into_iter().find(|c| *c as u32 == flags & COMMAND_MASK)?;
        if flags & RESERVED != 0 {
            return None;
        }
        let sender = if flags & DIALLER == 0 { End::Acceptor } else { End::Dialler };
        Some(Self { command, sender, number: Number(flags >> NUMBER_SHIFT) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn flags_are_as_the_protocol_says() {
        let number = Number(5);
        let data = Segment { command: Command::Data, sender: End::Dialler, number };
        assert_eq!(data.flags(), 0x0000_0582);
        let reset = Segment { command: Command::Reset, sender: End::Acceptor, number };
        assert_eq!(reset.flags(), 0x0000_0505);
        assert_eq!(Segment::read(0), None, "a command that is none");
        assert_eq!(Segment::read(7), None, "a command that is none");
        assert_eq!(Segment::read(0x12), None, "a bit of another time");
    }

    #[test]
    fn numbers_go_round() {
        let last = Number(0x00ff_ffff);
        assert!(last.next().is(Number(0)));
        assert!(!last.next().is(Number(1)));
        assert!(Number(u32::MAX).next().is(Number(0)));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(flags: u32) {
            if let Some(segment) = Segment::read(flags) {
                prop_assert_eq!(segment.flags(), flags);
            }
        }
    }
}
