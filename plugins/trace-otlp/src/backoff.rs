//! How long to wait before the next attempt. Pure; randomness is an argument.

use std::time::Duration;

/// The first wait, before it is spread.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait.
const MOST: Duration = Duration::from_secs(30);

/// The wait after so many failed attempts, from 1: it doubles, and is spread over its upper half, so
/// that processes that failed together do not come back together. What the collector asked for goes
/// over it, up to the longest wait.
pub(crate) fn wait(failed: u32, asked: Option<Duration>, random: u64) -> Duration {
    if let Some(asked) = asked {
        return asked.min(MOST);
    }
    let whole = FIRST.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(MOST);
    let share = 0.5 + (random >> 11) as f64 / (1u64 << 54) as f64;
    whole.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let ms = |failed, random| wait(failed, None, random).as_millis();
        assert_eq!(
            [1, 2, 3, 7, 8, u32::MAX].map(|failed| ms(failed, 0)),
            [250, 500, 1000, 15_000, 15_000, 15_000]
        );
        assert_eq!([1, 2].map(|failed| ms(failed, u64::MAX)), [500, 1000]);
        assert_eq!(wait(1, Some(Duration::from_secs(7)), 0), Duration::from_secs(7));
        assert_eq!(wait(1, Some(Duration::from_secs(700)), 0), MOST);
    }
}
