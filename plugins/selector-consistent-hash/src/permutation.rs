//! One instance's wishes: an order of all slots of the table that depends on its id alone, and can
//! be asked both ways. Frozen: a change here would move every key of every running mesh.

/// Odd, with about half of its bits set: the fractional part of the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Scatters 64 bits so that each bit of the input moves about half of the output. One to one.
/// (The finaliser of SplitMix64: Stafford's variant 13 of MurmurHash3's.)
#[inline]
pub(crate) const fn scatter(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// A further key to look up for `key`, at the given attempt. The key is scattered first, so that
/// neighbouring keys don't walk in step.
#[inline]
pub(crate) const fn jump(key: u64, attempt: u64) -> u64 {
    scatter(key ^ GOLDEN).wrapping_add(GOLDEN.wrapping_mul(attempt))
}

/// A pseudo-random order of `2^bits` slots: two rounds of add, multiply by an odd number and fold,
/// each of which can be undone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permutation {
    add: [u32; 3],
    multiply: [u32; 2],
    /// The inverses of `multiply`, modulo 2^32.
    divide: [u32; 2],
    mask: u32,
    /// At least half of the bits, so that a fold undoes itself.
    fold: u32,
}

impl Permutation {
    /// The order that the instance `id` wishes for. `bits` from 1 to 31.
    pub(crate) fn of_instance(id: u64, bits: u32) -> Self {
        // Three numbers of SplitMix64, seeded by the id.
        let draw = |turn: u64| scatter(id.wrapping_add(GOLDEN.wrapping_mul(turn)));
        let (first, second, third) = (draw(1), draw(2), draw(3));
        let multiply = [first as u32 | 1, (first >> 32) as u32 | 1];
        Self {
            add: [second as u32, (second >> 32) as u32, third as u32],
            multiply,
            divide: multiply.map(inverse),
            mask: (1 << bits) - 1,
            fold: bits.div_ceil(2),
        }
    }

    /// The slot that the instance wishes for in place `rank`.
    #[inline]
    pub(crate) fn slot(&self, rank: u32) -> u32 {
        let mut slot = rank;
        for round in 0..2 {
            slot = slot.wrapping_add(self.add[round]).wrapping_mul(self.multiply[round]);
            slot &= self.mask;
            slot ^= slot >> self.fold;
        }
        slot.wrapping_add(self.add[2]) & self.mask
    }

    /// In which place the instance wishes for `slot`: undoes [`slot`](Self::slot).
    #[inline]
    pub(crate) fn rank(&self, slot: u32) -> u32 {
        let mut rank = slot.wrapping_sub(self.add[2]) & self.mask;
        for round in [1, 0] {
            rank ^= rank >> self.fold;
            rank = rank.wrapping_mul(self.divide[round]).wrapping_sub(self.add[round]);
            rank &= self.mask;
        }
        rank
    }
}

/// The inverse of an odd number modulo 2^32, by Newton's method: each step doubles the right bits,
/// of which an odd number has three to begin with.
fn inverse(odd: u32) -> u32 {
    let mut inverse = odd;
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(inverse)));
    }
    inverse
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranks_and_slots_are_one_to_one(id: u64, bits in 1..=22u32, slot: u32) {
            let wishes = Permutation::of_instance(id, bits);
            let slot = slot & ((1 << bits) - 1);
            prop_assert_eq!(wishes.slot(wishes.rank(slot)), slot);
            prop_assert!(wishes.rank(slot) < 1 << bits);
        }
    }

    #[test]
    fn every_slot_comes_once() {
        let wishes = Permutation::of_instance(77, 12);
        let mut slots: Vec<u32> = (0..1 << 12).map(|rank| wishes.slot(rank)).collect();
        slots.sort_unstable();
        assert!(slots.into_iter().eq(0..1 << 12));
    }
}
