//! The pieces of protobuf that the hand-tuned message form needs: varints and a forward reader.
//! Everything else of protobuf is prost's.

/// Encoded length of `value`, 1 to 10 bytes.
#[inline]
pub(crate) const fn len(value: u64) -> usize {
    // Seven bits a byte; zero takes one byte as well.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends `value`.
#[inline]
pub(crate) fn put(mut value: u64, out: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let mut at = 0;
    while value >= 0x80 {
        bytes[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    bytes[at] = value as u8;
    out.extend_from_slice(&bytes[..=at]);
}

/// Reads forward through borrowed bytes. Every method gives `None` at the end or at anything that
/// a careful encoder would not write.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Steps over `tag` if it comes next.
    #[inline]
    pub(crate) fn tag<const N: usize>(&mut self, tag: [u8; N]) -> bool {
        match self.rest.strip_prefix(&tag) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte holds bit 63 alone.
            if at == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Some(value);
            }
        }
        None
    }

    /// A length and that many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    /// The varint after `tag`, or 0 if another field comes next.
    #[inline]
    pub(crate) fn varint_field<const N: usize>(&mut self, tag: [u8; N]) -> Option<u64> {
        if self.tag(tag) { self.varint() } else { Some(0) }
    }

    /// The bytes after `tag`, or none if another field comes next.
    #[inline]
    pub(crate) fn bytes_field<const N: usize>(&mut self, tag: [u8; N]) -> Option<&'a [u8]> {
        if self.tag(tag) { self.bytes() } else { Some(&[]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_match_prost_and_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let (mut ours, mut prosts) = (Vec::new(), Vec::new());
                put(value, &mut ours);
                prost::encoding::encode_varint(value, &mut prosts);
                assert_eq!((&ours, ours.len()), (&prosts, len(value)), "{value}");
                assert_eq!(Reader::new(&ours).varint(), Some(value));
            }
        }
    }

    #[test]
    fn overlong_varints_and_short_bytes_are_nothing() {
        assert_eq!(Reader::new(&[0xff; 10]).varint(), None);
        assert_eq!(Reader::new(&[0x80; 3]).varint(), None);
        assert_eq!(Reader::new(&[5, 1, 2]).bytes(), None);
    }
}
