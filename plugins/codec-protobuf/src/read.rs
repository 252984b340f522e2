//! Reading a protobuf message field by field, without copying. Knows wire types, not fields. Every
//! step takes at least one byte, and no length is believed beyond the end of the input.

use skymesh_plugin_api::CodecError;

/// Wire types of the protobuf encoding.
pub(crate) mod wire_type {
    pub(crate) const VARINT: u8 = 0;
    pub(crate) const FIXED64: u8 = 1;
    pub(crate) const BYTES: u8 = 2;
    pub(crate) const FIXED32: u8 = 5;
}

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// No field of ours; skipped.
    Fixed32,
}

/// The fields of a message, one after another.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

const CUT: CodecError = CodecError::malformed("it ends within a field");

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Number and value of the next field; `None` at the end.
    #[inline]
    pub(crate) fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, CodecError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?)
            .map_err(|_| CodecError::malformed("a field number above 2^29"))?;
        let value = match (key & 7) as u8 {
            wire_type::VARINT => Value::Varint(self.varint()?),
            wire_type::FIXED64 => Value::Fixed64(u64::from_le_bytes(self.chunk()?)),
            wire_type::BYTES => {
                let len = usize::try_from(self.varint()?).map_err(|_| CUT)?;
                let (bytes, rest) = self.rest.split_at_checked(len).ok_or(CUT)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            wire_type::FIXED32 => {
                self.chunk::<4>()?;
                Value::Fixed32
            }
            _ => return Err(CodecError::malformed("a group, or no wire type at all")),
        };
        match key >> 3 {
            0 => Err(CodecError::malformed("field number 0")),
            number => Ok(Some((number, value))),
        }
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(CUT)?;
        self.rest = rest;
        Ok(*chunk)
    }

    /// A number of 1 to 10 bytes; the tenth has room for one bit.
    #[inline]
    fn varint(&mut self) -> Result<u64, CodecError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(CUT)?;
            self.rest = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                let fits = shift < 63 || byte <= 1;
                return if fits { Ok(number) } else { Err(TOO_LONG) };
            }
        }
        Err(TOO_LONG)
    }
}

const TOO_LONG: CodecError = CodecError::malformed("a number above 64 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_up_to_64_bits() {
        let cases: [(&[u8], Result<u64, CodecError>); 7] = [
            (&[0], Ok(0)),
            (&[0x7F], Ok(127)),
            (&[0xAC, 2], Ok(300)),
            (&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], Ok(u64::MAX)),
            (&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2], Err(TOO_LONG)),
            (&[0x80; 11], Err(TOO_LONG)),
            (&[0x80], Err(CUT)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Reader::new(bytes).varint(), expected, "{bytes:?}");
        }
    }
}
