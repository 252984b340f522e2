//! The flush: at an interval, on a thread of its own, all values go to the metrics plugin. Nobody
//! who counts ever waits for it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use skymesh_plugin_host::{MetricsSlot, PluginHost, PluginLoadError};

use crate::catalogue::{FLUSHES_FAILED, FLUSHES_SKIPPED};
use crate::config::MetricsConfig;
use crate::samples::{Samples, Source};

/// Flushes by wish that may wait; one more has nothing to add to them.
const WISHES: usize = 1;

/// The running flush. Dropping it flushes once more, and then drops the plugin's sink; that may take
/// as long as the plugin does.
#[derive(Debug)]
pub struct Metrics {
    sources: Arc<Sources>,
    wishes: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Sources(Mutex<Vec<Weak<dyn Source>>>);

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sources")
    }
}

/// Why metrics or spans can't be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The plugin can't be had.
    #[error(transparent)]
    Plugin(#[from] PluginLoadError),
    /// A value is out of range.
    #[error("{key}: {fault}")]
    Range {
        /// The key within its table.
        key: &'static str,
        /// The value, and what was expected.
        fault: String,
    },
    /// The system gives no thread.
    #[error("no thread for it: {0}")]
    Thread(#[from] std::io::Error),
}

impl Metrics {
    /// Loads the plugin that the configuration names, and starts to flush. `None` if it names none,
    /// or one that is not required and can't be had. `resource` labels the whole process.
    ///
    /// # Errors
    /// [`TelemetryError`].
    pub fn start(
        host: &PluginHost,
        config: &MetricsConfig,
        resource: Vec<(String, String)>,
    ) -> Result<Option<Self>, TelemetryError> {
        if let Some((key, fault)) = config.fault() {
            return Err(TelemetryError::Range { key, fault });
        }
        let Some(strategy) = config.strategy() else { return Ok(None) };
        let Some(slot) = host.metrics(&strategy)? else { return Ok(None) };
        let sources = Arc::new(Sources::default());
        let (wishes, wished) = sync_channel(WISHES);
        let flush = Flush {
            slot,
            sources: Arc::clone(&sources),
            resource,
            started_unix_ns: unix_ns(),
            interval: config.interval,
            failed: 0,
            skipped: 0,
        };
        let thread = std::thread::Builder::new()
            .name("skymesh-metrics".to_owned())
            .spawn(move || flush.run(&wished))?;
        Ok(Some(Self { sources, wishes: Some(wishes), thread: Some(thread) }))
    }

    /// From now on that source is asked, as long as it lives.
    pub fn add<S: Source + 'static>(&self, source: &Arc<S>) {
        let source: Weak<S> = Arc::downgrade(source);
        self.sources.0.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// Asks for a flush now, without waiting for it.
    pub fn flush_soon(&self) {
        if let Some(wishes) = &self.wishes {
            // Full: there will be one anyway, after this.
            let (Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(()))) =
                wishes.try_send(());
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.wishes = None;
        // A source may have been the last to hold this, and be dropped by the flush itself.
        let is_other =
            |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        if let Some(thread) = self.thread.take().filter(is_other) {
            // A panic of it has been said by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Flush {
    slot: MetricsSlot,
    sources: Arc<Sources>,
    resource: Vec<(String, String)>,
    started_unix_ns: u64,
    interval: Duration,
    failed: u64,
    skipped: u64,
}

impl Flush {
    fn run(mut self, wishes: &Receiver<()>) {
        let mut next = Instant::now();
        loop {
            let ended = match wishes.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(()) => false,
                Err(RecvTimeoutError::Timeout) => {
                    next += self.interval;
                    false
                }
                Err(RecvTimeoutError::Disconnected) => true,
            };
            self.flush();
            if ended {
                return;
            }
            while next < Instant::now() {
                self.skipped += 1;
                next += self.interval;
            }
        }
    }

    fn flush(&mut self) {
        let sources: Vec<Arc<dyn Source>> = {
            let mut sources = self.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
            sources.retain(|source| source.strong_count() > 0);
            sources.iter().filter_map(Weak::upgrade).collect()
        };
        let mut samples = Samples::default();
        samples.counter(&FLUSHES_FAILED, &[], self.failed);
        samples.counter(&FLUSHES_SKIPPED, &[], self.skipped);
        sources.iter().for_each(|source| source.collect(&mut samples));
        samples.note_left_out();
        let moments = [self.started_unix_ns, unix_ns()];
        let slot = &self.slot;
        if !samples.with_batch(&self.resource, moments, |batch| slot.flush(batch)) {
            self.failed += 1;
        }
    }
}

/// Nanoseconds since 1970; 0 with a clock from before.
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
