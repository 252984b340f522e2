//! The keys that calls are made with.

use crate::dice::{Dice, scrambled};

/// How many hot keys there are, and how many are looked at to see which move.
const KEYS: usize = 10_000;

/// How often each key comes.
#[derive(Debug)]
pub(crate) enum Crowd {
    /// Hardly any comes twice.
    Even,
    /// By Zipf's law; for each key, how often it or a more frequent one comes, of the last one's.
    Zipf(Vec<f64>),
}

impl Crowd {
    pub(crate) fn zipf() -> Self {
        let mut sum = 0.0;
        let sums = (1..=KEYS).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self::Zipf(sums.collect())
    }

    pub(crate) fn draw(&self, dice: &mut Dice) -> u64 {
        match self {
            Self::Even => dice.roll(),
            Self::Zipf(sums) => {
                let drawn = dice.share() * sums.last().copied().unwrap_or(0.0);
                key(sums.partition_point(|sum| *sum < drawn).min(KEYS - 1))
            }
        }
    }

    /// Keys to look at, each once.
    pub(crate) fn sample() -> impl ExactSizeIterator<Item = u64> {
        (0..KEYS).map(key)
    }
}

/// Numbers as hashes of names give them.
fn key(rank: usize) -> u64 {
    scrambled(rank as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_key_comes_half_as_often_as_the_first() {
        let (crowd, mut dice) = (Crowd::zipf(), Dice::new(1, 1));
        let mut counts = [0u32; 3];
        for _ in 0..100_000 {
            let drawn = crowd.draw(&mut dice);
            for (rank, count) in counts.iter_mut().enumerate() {
                *count += u32::from(drawn == key(rank));
            }
        }
        // The 10 000th harmonic number is 9.79.
        assert!((9_900..10_500).contains(&counts[0]), "{counts:?}");
        assert!((4_900..5_300).contains(&counts[1]), "{counts:?}");
        assert!((3_200..3_600).contains(&counts[2]), "{counts:?}");
    }
}
