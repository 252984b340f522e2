//! How many lines strangers may have written: whoever can connect decides how often there is something to say
//! of a bad connection, and nobody reads the hundredth line.
//!
//! What this is not: a count. What is left out here is counted all the same, in the metrics.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines of one window of a minute, at most.
pub const LINES: u32 = 20;
/// After so long since its first line, a window ends.
const WINDOW: Duration = Duration::from_secs(60);

/// A budget of warnings about connections. Of no use on the path of messages: it takes a lock.
#[derive(Debug, Default)]
pub struct LineBudget {
    window: Mutex<Option<Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    left_out: u64,
}

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Write it, and before it that so many were left out.
    Write {
        left_out: u64,
    },
    /// Write that no more is written.
    Announce,
    LeaveOut,
}

impl LineBudget {
    /// Whether a line may be written now. Where lines begin to be left out, and where that ends, it says
    /// so in a line of its own.
    pub fn admits(&self) -> bool {
        match self.judge(Instant::now()) {
            Verdict::Write { left_out } => {
                if left_out > 0 {
                    tracing::warn!(left_out, "lines about bad connections were left out");
                }
                true
            }
            Verdict::Announce => {
                tracing::warn!(
                    lines = LINES, within = ?WINDOW,
                    "too many lines about bad connections: further ones are left out, and counted in the metrics"
                );
                false
            }
            Verdict::LeaveOut => false,
        }
    }

    fn judge(&self, now: Instant) -> Verdict {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *window {
            Some(open) if now - open.began < WINDOW => {
                if open.lines < LINES {
                    open.lines += 1;
                    return Verdict::Write { left_out: 0 };
                }
                open.left_out += 1;
                if open.left_out == 1 { Verdict::Announce } else { Verdict::LeaveOut }
            }
            ended => {
                let left_out = ended.as_ref().map_or(0, |window| window.left_out);
                *ended = Some(Window { began: now, lines: 1, left_out: 0 });
                Verdict::Write { left_out }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_count() {
        let (budget, begin) = (LineBudget::default(), Instant::now());
        for line in 0..LINES {
            let soon = begin + WINDOW * line / LINES;
            assert_eq!(budget.judge(soon), Verdict::Write { left_out: 0 }, "{line}");
        }
        let last = begin + WINDOW - Duration::from_millis(1);
        assert_eq!(budget.judge(last), Verdict::Announce);
        for _ in 0..2000 {
            assert_eq!(budget.judge(last), Verdict::LeaveOut);
        }
        assert_eq!(budget.judge(begin + WINDOW), Verdict::Write { left_out: 2001 });
        assert_eq!(budget.judge(begin + WINDOW), Verdict::Write { left_out: 0 });
        // Nothing was left out in this one.
        assert_eq!(budget.judge(begin + 2 * WINDOW), Verdict::Write { left_out: 0 });
    }
}
