//! Routing keys: what a caller routes by, reduced to the 64 bits that selectors see.

use xxhash_rust::xxh3::xxh3_64;

/// A routing key. Integers are taken as they are (so `mod_hash` over player ids is plain modulo,
/// as in the origin); text and bytes are hashed with XXH3-64, which is the same in every process
/// and on every platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// The 64 bits that a selector sees.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Key {
    fn from(key: u64) -> Self {
        Self(key)
    }
}

impl From<&str> for Key {
    fn from(key: &str) -> Self {
        Self(xxh3_64(key.as_bytes()))
    }
}

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Self {
        Self(xxh3_64(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stay_and_text_is_hashed_the_same_for_ever() {
        assert_eq!(Key::from(42u64).get(), 42);
        // A changed constant here would re-route every key of every running mesh.
        assert_eq!(Key::from("player-42"), Key::from(b"player-42".as_slice()));
        assert_eq!(Key::from("").get(), 0x2d06_8005_38d3_94c2);
    }
}
