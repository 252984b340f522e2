//! The table: which instance owns each slot. A pure function of ids and weights, the same on every
//! machine, so it uses whole numbers and the exactly rounded +, *, / of IEEE 754 only.

use crate::permutation::{Permutation, scatter};

/// Somebody who bids for slots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bidder {
    /// Index in the view.
    pub(crate) index: u32,
    /// The instance id.
    pub(crate) id: u64,
    /// Above 0.
    pub(crate) weight: u32,
}

/// Owners by slot: indices into the view, in as few bytes as they fit.
#[derive(Debug)]
enum Owners {
    Narrow(Box<[u16]>),
    Wide(Box<[u32]>),
}

/// Who owns each slot of `2^bits`.
#[derive(Debug)]
pub(crate) struct SlotTable {
    owners: Owners,
    /// 64 - bits: what is left of a scattered key after this shift is its slot.
    shift: u32,
}

/// A bid for one slot and who makes it, as one number to be compared: the earlier time wins, then
/// the lower index, which is the lower id. Times are positive, so their bits compare as they do.
fn bid(time: f32, bidder: usize) -> u64 {
    u64::from(time.to_bits()) << 32 | bidder as u64
}

impl SlotTable {
    /// Gives each slot to the earliest of all bids. Bidders in ascending order of their ids; none
    /// gives no table.
    pub(crate) fn new(bidders: &[Bidder], bits: u32) -> Option<Self> {
        let most = bidders.iter().map(|bidder| bidder.index).max()?;
        let race = Race::new(bidders, bits);
        let mut best = race.run_until_few_are_left();
        race.finish(&mut best);
        let owner = |bid: u64| bidders[bid as u32 as usize].index;
        let owners = if most <= u32::from(u16::MAX) {
            Owners::Narrow(best.into_iter().map(|bid| owner(bid) as u16).collect())
        } else {
            Owners::Wide(best.into_iter().map(owner).collect())
        };
        Some(Self { owners, shift: u64::BITS - bits })
    }

    /// The owner of the slot that `key` falls into.
    #[inline]
    pub(crate) fn owner(&self, key: u64) -> u32 {
        let slot = (scatter(key) >> self.shift) as usize;
        match &self.owners {
            Owners::Narrow(owners) => u32::from(owners[slot]),
            Owners::Wide(owners) => owners[slot],
        }
    }
}

/// The bidding: bidder b bids for the slot that it wishes for in place r at the time
/// `arrivals[r] / weight(b)`.
struct Race {
    wishes: Vec<Permutation>,
    /// One over the weight.
    pace: Vec<f32>,
    arrivals: Vec<f32>,
    /// When about one slot in as many as there are bidders has no bid yet.
    horizon: f32,
}

impl Race {
    fn new(bidders: &[Bidder], bits: u32) -> Self {
        let total: f64 = bidders.iter().map(|bidder| f64::from(bidder.weight)).sum();
        // A logarithm may differ between machines, but it decides who computes a slot's owner
        // (the run or the finish), never who the owner is.
        let horizon = (bidders.len() as f64).ln().max(1.0) / total;
        Self {
            wishes: bidders.iter().map(|b| Permutation::of_instance(b.id, bits)).collect(),
            pace: bidders.iter().map(|bidder| 1.0 / bidder.weight as f32).collect(),
            arrivals: arrivals(1 << bits),
            horizon: horizon as f32,
        }
    }

    /// The best bid for each slot up to the horizon; `u64::MAX` where there is none. Each bidder
    /// walks down its wishes, which costs slots * ln(bidders) steps for all of them together.
    fn run_until_few_are_left(&self) -> Vec<u64> {
        let mut best = vec![u64::MAX; self.arrivals.len()];
        for (bidder, (wishes, pace)) in self.wishes.iter().zip(&self.pace).enumerate() {
            for (rank, arrival) in self.arrivals.iter().enumerate() {
                let time = arrival * pace;
                if time > self.horizon {
                    break;
                }
                let best = &mut best[wishes.slot(rank as u32) as usize];
                *best = bid(time, bidder).min(*best);
            }
        }
        best
    }

    /// Asks every bidder about each slot that is left: about as many steps as there are slots.
    fn finish(&self, best: &mut [u64]) {
        for (slot, best) in best.iter_mut().enumerate().filter(|(_, best)| **best == u64::MAX) {
            let bids =
                self.wishes.iter().zip(&self.pace).enumerate().map(|(bidder, (wishes, pace))| {
                    bid(self.arrivals[wishes.rank(slot as u32) as usize] * pace, bidder)
                });
            *best = bids.min().expect("invariant: there is a bidder, checked in `new`");
        }
    }
}

/// When the r-th of `slots` exponentially distributed arrivals of rate 1 is expected:
/// 1/slots + 1/(slots - 1) + ... Exponential times are what makes shares exactly proportional to
/// weights; taking each place once instead of at random halves the variance of the shares.
fn arrivals(slots: u32) -> Vec<f32> {
    let mut time = 0.0f64;
    let next = |left: u32| {
        time += 1.0 / f64::from(left);
        time as f32
    };
    (1..=slots).rev().map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bidders(weights: &[u32]) -> Vec<Bidder> {
        let bidder = |(index, &weight)| Bidder { index, id: u64::from(index) + 1, weight };
        (0..).zip(weights).map(bidder).collect()
    }

    /// The definition, slot by slot, without the horizon.
    fn by_definition(bidders: &[Bidder], bits: u32) -> Vec<u32> {
        let race = Race::new(bidders, bits);
        let mut best = vec![u64::MAX; 1 << bits];
        race.finish(&mut best);
        best.into_iter().map(|bid| bidders[bid as u32 as usize].index).collect()
    }

    fn owners(table: &SlotTable) -> Vec<u32> {
        match &table.owners {
            Owners::Narrow(owners) => owners.iter().copied().map(u32::from).collect(),
            Owners::Wide(owners) => owners.to_vec(),
        }
    }

    #[test]
    fn the_shortcut_gives_what_the_definition_says() {
        let cases: [&[u32]; 6] =
            [&[1], &[1, 1], &[100; 40], &[1, 10, 100], &[u32::MAX, 1, 7], &[3; 700]];
        for weights in cases {
            let bidders = bidders(weights);
            let table = SlotTable::new(&bidders, 10).unwrap();
            assert_eq!(owners(&table), by_definition(&bidders, 10), "{} weights", weights.len());
        }
        assert!(SlotTable::new(&[], 10).is_none());
    }

    #[test]
    fn shares_follow_the_weights() {
        let cases: [&[u32]; 5] =
            [&[1, 2], &[1, 2, 3, 4], &[100, 100, 50], &[1000, 1], &[u32::MAX, u32::MAX / 3]];
        for weights in cases {
            let owners = owners(&SlotTable::new(&bidders(weights), 16).unwrap());
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (index, weight) in (0..).zip(weights) {
                let share = owners.iter().filter(|owner| **owner == index).count() as f64 / 65536.0;
                let expected = f64::from(*weight) / total;
                assert!((share - expected).abs() < 0.005, "{weights:?}: {weight} got {share}");
            }
        }
    }

    #[test]
    fn indices_beyond_16_bits_take_the_wide_table() {
        let far = [7, 70_000].map(|index| Bidder { index, id: u64::from(index), weight: 1 });
        let table = SlotTable::new(&far, 10).unwrap();
        assert!(matches!(table.owners, Owners::Wide(_)));
        assert!((0..100).all(|key| [7, 70_000].contains(&table.owner(key))));
    }
}
