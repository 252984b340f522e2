//! Drawing lots by [entropy](crate::Request::entropy): in proportion to weights, or two that differ. Knows
//! numbers, not instances; each draw takes the same time for any number of them.

use std::hint::select_unpredictable;

/// One column: the coin decides between its own index and the alias.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// Out of 2^32: below this the column's own index is drawn. `u32::MAX` with `alias` equal to the
    /// own index where the column is not shared.
    own_below: u32,
    alias: u32,
}

/// Draws indices in proportion to weights: Walker's alias table (1977), built by Vose's linear method
/// (1991). One column per weight, each shared by at most two; the upper half of one multiplication
/// chooses the column, its lower half tosses the coin between the two. 8 bytes a column.
#[derive(Debug)]
pub struct AliasTable {
    columns: Box<[Column]>,
}

impl AliasTable {
    /// A table over `weights`, of which at least one is above 0 unless there is none at all. Linear,
    /// about 30 ns a weight. Shares are exact to 2^-32 of a column.
    pub fn new(weights: &[u32]) -> Self {
        // In whole numbers: with every weight times the number of columns, each column holds exactly
        // the sum of the weights, and a weight of 0 fills nothing of its own column.
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        let len = weights.len() as u128;
        let mut left: Vec<u128> = weights.iter().map(|weight| u128::from(*weight) * len).collect();
        let mut columns: Box<[Column]> = (0..weights.len() as u32)
            .map(|own| Column { own_below: u32::MAX, alias: own })
            .collect();
        let of_less = |index: &usize| left[*index] < total;
        let (mut less, mut more): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(of_less);
        while let (Some(poor), Some(&rich)) = (less.pop(), more.last()) {
            // Below `total`, so the quotient is below 2^32.
            columns[poor] =
                Column { own_below: ((left[poor] << 32) / total) as u32, alias: rich as u32 };
            left[rich] -= total - left[poor];
            if left[rich] < total {
                more.pop();
                less.push(rich);
            }
        }
        Self { columns }
    }

    /// The index that 64 random bits mean; `None` if there is no weight at all.
    #[inline]
    pub fn draw(&self, entropy: u64) -> Option<usize> {
        let product = u128::from(entropy) * self.columns.len() as u128;
        let index = (product >> 64) as usize;
        let column = self.columns.get(index)?;
        // Within a column the lower half runs evenly over its range.
        let coin = (product as u64 >> 32) as u32;
        Some(if coin < column.own_below { index } else { column.alias as usize })
    }
}

/// Two different indices below `len`, by the upper and the lower half of 64 random bits.
///
/// # Panics
/// May, if `len` is below 2 (or above 2^32): there are no two then.
#[inline]
pub fn two_of(len: usize, entropy: u64) -> [usize; 2] {
    let below = |half: u64, len: usize| ((half * len as u64) >> 32) as usize;
    let one = below(entropy >> 32, len);
    let step = 1 + below(entropy & 0xFFFF_FFFF, len - 1);
    let sum = one + step;
    // Nobody can predict which, so not by a branch: a wrong guess costs 5 ns.
    [one, select_unpredictable(sum >= len, sum.wrapping_sub(len), sum)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u64 = 1 << 16;

    fn shares(weights: &[u32]) -> Vec<f64> {
        let table = AliasTable::new(weights);
        let mut counts = vec![0u32; weights.len()];
        // Evenly over all of u64, so that the error is that of the table and not of chance.
        for step in 0..DRAWS {
            counts[table.draw(step << 48 | 1 << 47).unwrap()] += 1;
        }
        counts.into_iter().map(|count| f64::from(count) / DRAWS as f64).collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        let cases: [&[u32]; 9] = [
            &[1],
            &[1, 1],
            &[1, 2, 3, 4],
            &[0, 5],
            &[7, 0, 0, 0, 1],
            &[u32::MAX, u32::MAX, u32::MAX],
            &[u32::MAX, 1, 0],
            &[100; 37],
            &[1, 1000, 1, 1000, 1],
        ];
        for weights in cases {
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (share, weight) in shares(weights).into_iter().zip(weights) {
                let expected = f64::from(*weight) / total;
                let slack = 2.0 * weights.len() as f64 / DRAWS as f64;
                assert!((share - expected).abs() <= slack, "{weights:?}: {weight} got {share}");
                assert!(*weight > 0 || share == 0.0, "{weights:?}: weight 0 got {share}");
            }
        }
    }

    #[test]
    fn two_are_never_the_same_and_any_pair_comes() {
        for len in [2usize, 3, 7] {
            let mut seen = std::collections::BTreeSet::new();
            for step in 0..DRAWS {
                let [one, other] = two_of(len, step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                assert!(one < len && other < len && one != other, "{one}, {other} of {len}");
                seen.insert((one, other));
            }
            assert_eq!(seen.len(), len * (len - 1), "of {len}");
        }
    }

    #[test]
    fn no_weights_give_nothing() {
        assert_eq!(AliasTable::new(&[]).draw(9), None);
    }

    #[test]
    fn weight_zero_is_never_drawn_at_the_edges() {
        let table = AliasTable::new(&[0, 3, 0, 5]);
        let edges = (0..4u64).flat_map(|quarter| {
            let start = quarter << 62;
            [start, start.wrapping_add(1), start.wrapping_sub(1)]
        });
        for entropy in edges {
            assert!([1, 3].contains(&table.draw(entropy).unwrap()), "{entropy:x}");
        }
    }
}
