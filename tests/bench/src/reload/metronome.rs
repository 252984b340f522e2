//! Beats at fixed times, by a thread of its own: the runtime's timers may be a millisecond late, which is
//! more than a message takes.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The beats of one listener. None is skipped: who is late finds all that were due.
pub(super) struct Beats {
    due: Arc<Semaphore>,
    every: Duration,
    /// Of all beats.
    count: u32,
    heard: u32,
}

/// Begins to beat, every so often for so long; answers since when, and each listener's beats.
pub(super) fn metronome(
    every: Duration,
    lasts: Duration,
    listeners: usize,
) -> (Instant, Vec<Beats>) {
    let count = (lasts.as_nanos() / every.as_nanos()) as u32;
    let due: Vec<_> = (0..listeners).map(|_| Arc::new(Semaphore::new(0))).collect();
    let started = Instant::now();
    let (beating, beats) = (due.clone(), move |due| Beats { due, every, count, heard: 0 });
    thread::spawn(move || {
        for beat in 1..=count {
            thread::sleep((started + every * beat).saturating_duration_since(Instant::now()));
            beating.iter().for_each(|due| due.add_permits(1));
        }
    });
    (started, due.into_iter().map(beats).collect())
}

impl Beats {
    /// Waits for the next beat; answers when it was due, since the start. `None` after the last one.
    pub(super) async fn next(&mut self) -> Option<Duration> {
        if self.heard == self.count {
            return None;
        }
        self.due.acquire().await.ok()?.forget();
        self.heard += 1;
        Some(self.every * self.heard)
    }
}
