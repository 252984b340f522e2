//! Writing the short fields of a message: gathered on the stack, so that they go out in one copy.

use crate::read::wire_type;

/// Room for all fields before a payload: 9 bytes for each of two handles, up to 11 for each of four
/// numbers and for one length.
const ROOM: usize = 2 * 9 + 5 * 11;

/// Fields in their wire form. Fields of value 0 are left out, as proto3 has it.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: [u8; ROOM],
    len: usize,
}

impl Head {
    #[inline]
    pub(crate) fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    #[inline]
    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, wire_type::FIXED64);
            self.bytes[self.len..self.len + 8].copy_from_slice(&value.to_le_bytes());
            self.len += 8;
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, wire_type::VARINT);
            self.number(value);
        }
    }

    /// Key and length of a field of bytes, which the caller puts behind it.
    #[inline]
    pub(crate) fn length(&mut self, field: u32, len: usize) {
        if len != 0 {
            self.key(field, wire_type::BYTES);
            self.number(len as u64);
        }
    }

    /// Field numbers below 16 make keys of one byte.
    #[inline]
    fn key(&mut self, field: u32, wire_type: u8) {
        self.byte((field as u8) << 3 | wire_type);
    }

    #[inline]
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }
}
