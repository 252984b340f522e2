//! How long a peer is waited for that has much to read: as long as it shows that it reads.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// A peer that says nothing (no credit, no pong, nothing that comes back) while this process looks so often
/// may be frozen.
const LOOKS: u32 = 4;

/// From one look to the next. Several short ones: a process that had no turn for a second has not heard
/// anybody.
const LOOK: Duration = Duration::from_millis(250);

/// And so long at most, for one that reads and is far behind: others wait for it meanwhile. A window's
/// worth takes a second on a busy machine.
pub(crate) const BACKLOG: Duration = Duration::from_secs(3);

/// Waits for `arrived` while the peer says anything at all, which `heard` counts; `most` at most.
pub(super) async fn unless_silent(
    most: Duration,
    heard: impl Fn() -> u64,
    arrived: impl Future<Output = ()>,
) {
    tokio::pin!(arrived);
    let until = Instant::now() + most;
    let (mut known, mut silent) = (heard(), 0);
    while timeout_at(until.min(Instant::now() + LOOK), &mut arrived).await.is_err() {
        silent = if heard() == known { silent + 1 } else { 0 };
        known = heard();
        if silent == LOOKS || Instant::now() >= until {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::sleep;

    use super::*;

    /// How long a peer is waited for that speaks now and then for so long; `most` at most.
    async fn waited_for(speaks: Duration, most: Duration) -> Duration {
        let (heard, began) = (Cell::new(0), Instant::now());
        let speaking = async {
            while began.elapsed() < speaks {
                sleep(LOOK * 3 - LOOK / 2).await;
                heard.set(heard.get() + 1);
            }
            std::future::pending().await
        };
        tokio::select! {
            () = speaking => {}
            () = unless_silent(most, || heard.get(), std::future::pending()) => {}
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_on_is_waited_for_and_who_is_silent_is_not() {
        assert_eq!(waited_for(Duration::ZERO, BACKLOG).await, LOOK * 4);
        // Heard at the third look.
        assert_eq!(waited_for(LOOK, BACKLOG).await, LOOK * 7);
        for most in [BACKLOG, LOOK * 13 / 2, LOOK / 5] {
            assert_eq!(waited_for(Duration::MAX, most).await, most);
        }
        let began = Instant::now();
        unless_silent(BACKLOG, || 0, sleep(LOOK / 2)).await;
        assert_eq!(began.elapsed(), LOOK / 2);
    }
}
