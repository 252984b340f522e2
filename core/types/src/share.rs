//! The share of a stateful service's keys that one instance owns.

use crate::Key;

/// Set in shares that are bounds.
const BOUND: u64 = 1 << 63;

/// Which keys of a stateful service an instance owns, said at its registration. Two instances of
/// the same share are one owner and its stand-by: the one with the lower instance id owns the keys.
///
/// Hashed shares, the usual ones, divide all keys evenly among them, and a share that comes or goes
/// moves as few keys as possible. Explicit ones ([`up_to`](Self::up_to)) say which keys they own; a
/// service that has both keeps the keys above the highest bound for the hashed ones.
///
/// A share outlives its instance: whoever registers it anew, under whatever instance id, owns the same
/// keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share(u64);

impl Share {
    /// The keys that hash to `hash_key`, which names the share: any number but 0, different from those
    /// of the other instances. Its lower 63 bits count.
    pub const fn hashed(hash_key: u64) -> Self {
        Self(hash_key & !BOUND)
    }

    /// The keys from the next lower bound of the service (exclusive) to `bound` (inclusive), as they
    /// are, not hashed. Keys above the highest bound belong to the hashed shares, or, where there are
    /// none, to the lowest bound, so that every key has an owner. The highest possible bound is
    /// 2^63 - 1; higher ones count as that.
    pub const fn up_to(bound: u64) -> Self {
        Self(BOUND | if bound < BOUND { bound } else { BOUND - 1 })
    }

    /// The number on the wire; 0 would be a stateless instance.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The share of a number on the wire; `None` for 0, a stateless instance.
    pub const fn from_wire(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The highest key of an explicit share; `None` for a hashed one.
    pub const fn bound(self) -> Option<u64> {
        if self.0 & BOUND == 0 { None } else { Some(self.0 & !BOUND) }
    }
}

impl From<u64> for Share {
    fn from(hash_key: u64) -> Self {
        Self::hashed(hash_key)
    }
}

/// A hashed share, named by a text.
impl From<&str> for Share {
    fn from(name: &str) -> Self {
        Self::hashed(Key::from(name).get().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_hashed_or_bounds_and_never_look_stateless_by_accident() {
        let cases = [
            (Share::hashed(1000), 1000, None),
            (Share::from(u64::MAX), u64::MAX >> 1, None),
            (Share::up_to(0), 1 << 63, Some(0)),
            (Share::up_to(999), 1 << 63 | 999, Some(999)),
            (Share::up_to(u64::MAX), u64::MAX, Some(u64::MAX >> 1)),
        ];
        for (share, wire, bound) in cases {
            assert_eq!((share.get(), share.bound()), (wire, bound));
            assert_eq!(Share::from_wire(wire), Some(share));
        }
        assert_eq!(Share::from_wire(0), None);
        assert_ne!(Share::from("shard-1").get(), 0);
    }
}
