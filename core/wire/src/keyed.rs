//! Keyed messages to stateful services: what such a message carries beside its envelope, so that it
//! can be routed again if its receiver knows another placement. Who owns which key is not known here.
//!
//! A keyed message has [`Kind::KEYED`] set in its kind, and a trailer behind its metadata: the key and
//! the placement's epoch (8 bytes each) and a tag of the sender (4 bytes), little endian. The receiver
//! takes both off before the message reaches its service. The envelope's own epoch is the same one,
//! unless the message has to do with a leader's term.

use crate::Kind;

impl Kind {
    /// The same kind, by key.
    #[must_use]
    pub const fn keyed(self) -> Self {
        Self(self.0 | Self::KEYED)
    }

    /// Whether a key decided who gets it.
    pub const fn is_keyed(self) -> bool {
        self.0 & Self::KEYED != 0
    }

    /// Whether it has to do with a leader, so that the epoch is a term.
    pub const fn has_term(self) -> bool {
        self.0 & (Self::BY_LEADER | Self::TO_LEADER) != 0
    }

    /// What it is for, whether by key or not.
    #[must_use]
    pub const fn plain(self) -> Self {
        Self(self.0 & !Self::KEYED)
    }
}

/// What follows the metadata of a keyed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTrailer {
    /// What it was routed by.
    pub key: u64,
    /// The epoch of the placement by which it was.
    pub epoch: u64,
    /// The sender's own word, given back with a message that was not taken.
    pub tag: u32,
}

impl KeyTrailer {
    /// Its length on the wire.
    pub const BYTES: usize = 20;

    /// The trailer as it stands on the wire.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.key.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..].copy_from_slice(&self.tag.to_le_bytes());
        bytes
    }

    /// Takes the trailer off a keyed message's metadata; `None` if there is no room for one.
    pub fn split(metadata: &[u8]) -> Option<(&[u8], Self)> {
        let at = metadata.len().checked_sub(Self::BYTES)?;
        let (metadata, trailer) = metadata.split_at_checked(at)?;
        let (key, trailer) = trailer.split_first_chunk()?;
        let (epoch, tag) = trailer.split_first_chunk()?;
        let (key, epoch) = (u64::from_le_bytes(*key), u64::from_le_bytes(*epoch));
        Some((metadata, Self { key, epoch, tag: u32::from_le_bytes(tag.try_into().ok()?) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_is_read_back_and_leaves_the_metadata_as_it_was() {
        let trailer = KeyTrailer { key: 0x0102_0304_0506_0708, epoch: 9, tag: 0x0a0b_0c0d };
        for metadata in [&b""[..], b"x", b"metadata of some length"] {
            let sent = [metadata, &trailer.to_bytes()].concat();
            assert_eq!(KeyTrailer::split(&sent), Some((metadata, trailer)));
        }
        let bytes = [8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0, 13, 12, 11, 10];
        assert_eq!(trailer.to_bytes(), bytes);
        assert_eq!(KeyTrailer::split(&[0; 19]), None);
    }

    #[test]
    fn a_kind_is_the_same_by_key_and_without() {
        assert!(Kind::REQUEST.keyed().is_keyed() && !Kind::REQUEST.is_keyed());
        assert_eq!(Kind::REQUEST.keyed().plain(), Kind::REQUEST);
    }
}
