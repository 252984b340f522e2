//! The flush: at an interval, on a thread of its own, all values go to the metrics plugin. Nobody
//! who counts ever waits for it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use skymesh_plugin_host::{
    MetricsSlot, PluginHost, PluginLoadError, Renewal, SinkRecord, StrategyConfig,
};

use crate::catalogue::{FLUSHES_FAILED, FLUSHES_SKIPPED};
use crate::config::MetricsConfig;
use crate::outlet::{Outlet, Place};
use crate::samples::{Samples, Source};
use crate::sinks::TelemetryError;

/// What is flushed, and to whom. Dropping it flushes once more, and then drops the plugin's sink; one
/// that takes longer than 5 s is left behind.
#[derive(Debug)]
pub struct Metrics {
    pub(crate) place: Place<Flush>,
}

/// All that outlives a sink.
pub(crate) struct Flush {
    sources: Mutex<Vec<Weak<dyn Source>>>,
    resource: Vec<(String, String)>,
    started_unix_ns: u64,
    interval_ns: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
}

impl std::fmt::Debug for Flush {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flush")
    }
}

impl Metrics {
    /// Loads the plugin that the configuration names, and starts to flush; to nobody, if it names none,
    /// or one that is not required and can't be had. `resource` labels the whole process.
    ///
    /// # Errors
    /// [`TelemetryError`].
    pub fn start(
        host: &PluginHost,
        config: &MetricsConfig,
        resource: Vec<(String, String)>,
    ) -> Result<Self, TelemetryError> {
        if let Some((key, fault)) = config.faults().into_iter().next() {
            return Err(TelemetryError::Range { key, fault });
        }
        let place = Place::empty(Flush {
            sources: Mutex::default(),
            resource,
            started_unix_ns: unix_ns(),
            interval_ns: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        });
        let metrics = Self { place };
        metrics.set(config);
        let slot = config.strategy().map(|strategy| host.metrics(&strategy)).transpose()?;
        if let Some(slot) = slot.flatten() {
            metrics.place.start(slot)?;
        }
        Ok(metrics)
    }

    /// Whether there is a plugin that gets what is counted.
    pub fn is_on(&self) -> bool {
        self.place.strategy().is_some()
    }

    /// From now on that source is asked, as long as it lives.
    pub fn add<S: Source + 'static>(&self, source: &Arc<S>) {
        let source: Weak<S> = Arc::downgrade(source);
        let sources = &self.place.outlet.sources;
        sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// Asks for a flush now, without waiting for it.
    pub fn flush_soon(&self) {
        self.place.nudge();
    }

    /// Answers whether the interval is another one.
    pub(crate) fn set(&self, config: &MetricsConfig) -> bool {
        let interval = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX);
        self.place.outlet.interval_ns.swap(interval, Relaxed) != interval
    }
}

impl Outlet for Flush {
    type Slot = MetricsSlot;
    const NAME: &'static str = "skymesh-metrics";

    fn record(slot: &MetricsSlot) -> SinkRecord {
        slot.record()
    }

    fn renew(
        self: &Arc<Self>,
        renewal: &Renewal<'_>,
        record: Option<&SinkRecord>,
        strategy: &StrategyConfig,
    ) -> Result<Option<Arc<MetricsSlot>>, PluginLoadError> {
        // All that there is to show, so that nobody who looks in between sees less.
        let flush = Arc::clone(self);
        renewal.metrics_for(record, strategy, move |slot| flush.flush(slot))
    }

    fn again(host: &PluginHost, record: &SinkRecord) -> Result<MetricsSlot, PluginLoadError> {
        host.metrics_again(record)
    }

    fn serve(&self, slot: &MetricsSlot, orders: &Receiver<()>) {
        let mut next = Instant::now();
        loop {
            let ended = match orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
                // Somebody wishes it, maybe for the sake of another interval.
                Ok(()) => {
                    next = next.min(Instant::now() + self.interval());
                    false
                }
                Err(RecvTimeoutError::Timeout) => {
                    next += self.interval();
                    false
                }
                Err(RecvTimeoutError::Disconnected) => true,
            };
            self.flush(slot);
            if ended {
                return;
            }
            while next < Instant::now() {
                self.skipped.fetch_add(1, Relaxed);
                next += self.interval();
            }
        }
    }
}

impl Flush {
    fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval_ns.load(Relaxed))
    }

    fn flush(&self, slot: &MetricsSlot) {
        // It gets nothing more until a reload, so there is nothing to gather, nor to fail.
        if slot.is_quarantined() {
            return;
        }
        let sources: Vec<Arc<dyn Source>> = {
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            sources.retain(|source| source.strong_count() > 0);
            sources.iter().filter_map(Weak::upgrade).collect()
        };
        let mut samples = Samples::default();
        samples.counter(&FLUSHES_FAILED, &[], self.failed.load(Relaxed));
        samples.counter(&FLUSHES_SKIPPED, &[], self.skipped.load(Relaxed));
        sources.iter().for_each(|source| source.collect(&mut samples));
        samples.note_left_out();
        let moments = [self.started_unix_ns, unix_ns()];
        if !samples.with_batch(&self.resource, moments, |batch| slot.flush(batch)) {
            self.failed.fetch_add(1, Relaxed);
        }
    }
}

/// Nanoseconds since 1970; 0 with a clock from before.
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::{Metrics as Sink, MetricsBatch, NoConfig, PluginError, export_plugin};
    use skymesh_plugin_host::PluginsConfig;

    use super::*;

    /// Panics over each batch.
    struct Frantic;

    impl Sink for Frantic {
        const ID: &'static str = "frantic";
        type Config = NoConfig;

        fn new(_config: NoConfig) -> Result<Self, PluginError> {
            Ok(Self)
        }

        fn flush(&self, _batch: &MetricsBatch<'_>) -> Result<(), PluginError> {
            panic!("as the test wants it")
        }
    }

    export_plugin! { metrics: [Frantic] }

    /// How often it was asked.
    #[derive(Default)]
    struct Asked(AtomicU64);

    impl Source for Asked {
        fn collect(&self, _samples: &mut Samples) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_quarantined_sink_fails_no_more_and_nothing_is_gathered_for_it() {
        let mut plugins = PluginsConfig::default();
        plugins.quarantine.failures = 3;
        let host = PluginHost::with_linked(plugins, [skymesh_plugin()]).unwrap();
        let metrics = Metrics::start(&host, &MetricsConfig::default(), Vec::new()).unwrap();
        let asked = Arc::new(Asked::default());
        metrics.add(&asked);
        let slot = host.metrics(&StrategyConfig::new("frantic")).unwrap().unwrap();
        let flush = &metrics.place.outlet;
        for turn in 1..=9 {
            flush.flush(&slot);
            let failed = (flush.failed.load(Relaxed), asked.0.load(Relaxed));
            assert_eq!(failed, (turn.min(3), turn.min(3)));
            assert_eq!(slot.is_quarantined(), turn >= 3);
        }
    }
}
