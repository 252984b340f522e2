//! A coarse monotonic clock for the message path: reading it costs a load, where asking the system
//! costs 20 ns or more. Not for deadlines.
//!
//! A thread advances it every [`TICK`] while it is read, and sleeps while it is not.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How far the clock may lag, on a machine that is not overloaded.
const TICK: Duration = Duration::from_millis(4);

/// Nobody has read the clock for a tick: the ticker sleeps, and the time is out of date.
const ASLEEP: u8 = 0;
/// Ticking; not read since the last tick.
const UNREAD: u8 = 1;
/// Ticking; read since the last tick.
const READ: u8 = 2;

static NOW_NS: AtomicU64 = AtomicU64::new(0);
static STATE: AtomicU8 = AtomicU8::new(ASLEEP);
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static TICKER: OnceLock<Option<Thread>> = OnceLock::new();

/// Nanoseconds from an arbitrary zero, never decreasing, out of date by a few milliseconds at most.
#[inline]
pub fn now_ns() -> u64 {
    if STATE.load(Ordering::Relaxed) != READ {
        return note_read();
    }
    NOW_NS.load(Ordering::Relaxed)
}

/// The first read of each tick ends here, and the first after a sleep.
#[cold]
fn note_read() -> u64 {
    let ticker = TICKER.get_or_init(start_ticker);
    if STATE.swap(READ, Ordering::AcqRel) == ASLEEP {
        advance();
        if let Some(ticker) = ticker {
            ticker.unpark();
        }
    }
    if ticker.is_none() {
        // No thread to be had: then each read asks the system, slowly but rightly.
        STATE.store(ASLEEP, Ordering::Release);
        advance();
    }
    NOW_NS.load(Ordering::Relaxed)
}

fn advance() {
    let now = u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX);
    // 0 means "never" in the statistics, so the clock begins at 1.
    NOW_NS.fetch_max(now.max(1), Ordering::Relaxed);
}

fn start_ticker() -> Option<Thread> {
    let body = || loop {
        thread::park_timeout(TICK);
        advance();
        let slept = STATE.compare_exchange(UNREAD, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
        if slept.is_ok() {
            // An unpark between the exchange and here is kept: park returns at once.
            while STATE.load(Ordering::Acquire) == ASLEEP {
                thread::park();
            }
        }
        let _ = STATE.compare_exchange(READ, UNREAD, Ordering::AcqRel, Ordering::Acquire);
    };
    let ticker = thread::Builder::new().name("skymesh-clock".into()).spawn(body);
    ticker.ok().map(|ticker| ticker.thread().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, for the clock is the whole process's: a second reader would keep it awake.
    #[test]
    fn never_goes_back_advances_while_read_and_is_right_after_a_sleep() {
        let give_up = Instant::now() + Duration::from_secs(30);
        let first = now_ns();
        assert!(first > 0);
        let mut before = first;
        while before == first {
            assert!(Instant::now() < give_up, "the clock stands still");
            thread::yield_now();
            let now = now_ns();
            assert!(now >= before);
            before = now;
        }
        while STATE.load(Ordering::Relaxed) != ASLEEP {
            assert!(Instant::now() < give_up, "the clock never sleeps");
            thread::yield_now();
        }
        let truth = u64::try_from(START.elapsed().as_nanos()).unwrap();
        assert!(now_ns() >= truth);
    }
}
