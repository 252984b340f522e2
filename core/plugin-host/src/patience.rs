//! Work of plugins that must not hold up whoever asks for it: it is done on a thread of its own, and left
//! behind with that thread if it does not come back in time, for nothing can end it.
//!
//! What this is not: a way out of everything. A library whose *static initialisers* hang holds the system
//! loader's own lock, and with glibc much of the process waits for that one (ARCHITECTURE.md, D121).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Threads that did not come back in time, so far; some may have come back since.
static LEFT_BEHIND: AtomicU64 = AtomicU64::new(0);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The system gives no thread.
    NoThread(String),
    /// It panicked outside of the plugin's own guards.
    Panicked,
    /// It took longer than that.
    Late {
        /// How long it might take.
        limit: Duration,
        /// Threads of this process that did not come back in time, so far.
        left_behind: u64,
    },
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoThread(error) => write!(f, "there is no thread for it ({error})"),
            Self::Panicked => f.write_str("it panicked"),
            Self::Late { limit, left_behind } => {
                write!(
                    f,
                    "it took longer than {limit:?} (threads left behind with it: {left_behind})"
                )
            }
        }
    }
}

/// Has `work` done, and waits for it no longer than `limit`. What it answers later is dropped by its own
/// thread. What it logs goes where the caller's log goes.
///
/// # Errors
/// [`NoAnswer`].
pub fn in_time<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    let (answer, answered) = sync_channel(1);
    let log = tracing::dispatcher::get_default(Clone::clone);
    let thread = std::thread::Builder::new().name("skymesh-plugin".to_owned());
    let spawned = thread.spawn(move || {
        // Whoever is late finds nobody who listens.
        tracing::dispatcher::with_default(&log, || drop(answer.send(work())));
    });
    spawned.map_err(|error| NoAnswer::NoThread(error.to_string()))?;
    match answered.recv_timeout(limit) {
        Ok(answer) => Ok(answer),
        Err(RecvTimeoutError::Disconnected) => Err(NoAnswer::Panicked),
        Err(RecvTimeoutError::Timeout) => {
            let left_behind = LEFT_BEHIND.fetch_add(1, Relaxed) + 1;
            Err(NoAnswer::Late { limit, left_behind })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn what_never_returns_is_left_behind_and_counted() {
        let (_hold, forever) = sync_channel::<()>(0);
        let before = LEFT_BEHIND.load(Relaxed);
        let error = in_time(Duration::from_millis(20), move || forever.recv()).unwrap_err();
        let NoAnswer::Late { left_behind, .. } = error else { panic!("{error}") };
        assert!(left_behind > before);
        assert!(
            error.to_string().contains("took longer than 20ms (threads left behind"),
            "{error}"
        );
        assert_eq!(in_time(PATIENCE, || 7), Ok(7));
        assert_eq!(in_time(PATIENCE, || -> u8 { panic!("at work") }), Err(NoAnswer::Panicked));
    }
}
