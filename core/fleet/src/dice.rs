//! All randomness of a run, out of its seed.

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Streams of one seed are independent: what one client does moves nobody else's dice.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(scrambled(seed).wrapping_add(scrambled(!stream)))
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scrambled(self.0)
    }

    /// Evenly, from 0 to `end`, which is excluded; 0 if `end` is.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.roll()) * end as u128) >> 64) as usize
    }

    /// Evenly, above 0, up to 1.
    pub(crate) fn share(&mut self) -> f64 {
        ((self.roll() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// The time between two events that happen independently, in nanoseconds.
    pub(crate) fn exponential(&mut self, mean_ns: f64) -> u64 {
        (-self.share().ln() * mean_ns) as u64
    }
}

/// The finaliser of SplitMix64: a permutation without any order left.
pub(crate) fn scrambled(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_are_fair_and_streams_differ() {
        let mut dice = Dice::new(1, 2);
        let mut counts = [0u32; 10];
        let mut sum = 0;
        for _ in 0..100_000 {
            counts[dice.below(10)] += 1;
            sum += dice.exponential(1000.0);
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert!((98_000_000..102_000_000).contains(&sum), "{sum}");
        assert_ne!(Dice::new(1, 1).roll(), Dice::new(1, 2).roll());
        assert_ne!(Dice::new(1, 1).roll(), Dice::new(2, 1).roll());
        assert_eq!(dice.below(0), 0);
    }
}
