//! Metrics sinks and trace exporters: what a process that shows itself asks the host for.

use skymesh_plugin_api::PluginKind;
use skymesh_plugin_api::abi::host::{CreateError, Library};

use super::{Made, PluginHost, optional};
use crate::config::StrategyConfig;
use crate::error::PluginLoadError;
use crate::sink_slot::{MetricsSlot, SinkRecord, TraceSlot};

impl PluginHost {
    /// Makes the metrics sink that the configuration names; else as [`codec`](Self::codec).
    ///
    /// # Errors
    /// As [`codec`](Self::codec).
    pub fn metrics(
        &self,
        strategy: &StrategyConfig,
    ) -> Result<Option<MetricsSlot>, PluginLoadError> {
        let made =
            self.make_on(&self.shelf.load(), PluginKind::Metrics, strategy, Library::metrics);
        optional(strategy, made.map(MetricsSlot::new))
    }

    /// Makes the trace exporter that the configuration names; else as [`codec`](Self::codec).
    ///
    /// # Errors
    /// As [`codec`](Self::codec).
    pub fn trace(&self, strategy: &StrategyConfig) -> Result<Option<TraceSlot>, PluginLoadError> {
        let made = self.make_on(&self.shelf.load(), PluginKind::Trace, strategy, Library::trace);
        optional(strategy, made.map(TraceSlot::new))
    }

    /// Makes a metrics sink that was let go once more, of the very library that it was of, whatever its
    /// file holds now.
    ///
    /// # Errors
    /// [`PluginLoadError`].
    pub fn metrics_again(&self, record: &SinkRecord) -> Result<MetricsSlot, PluginLoadError> {
        self.again(PluginKind::Metrics, record, Library::metrics).map(MetricsSlot::new)
    }

    /// As [`metrics_again`](Self::metrics_again), of a trace exporter.
    ///
    /// # Errors
    /// [`PluginLoadError`].
    pub fn trace_again(&self, record: &SinkRecord) -> Result<TraceSlot, PluginLoadError> {
        self.again(PluginKind::Trace, record, Library::trace).map(TraceSlot::new)
    }

    fn again<I: Send + 'static>(
        &self,
        kind: PluginKind,
        record: &SinkRecord,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
    ) -> Result<Made<I>, PluginLoadError> {
        let shelf = self.shelf.load();
        let strategy = &record.origin.strategy;
        let choice = match record.origin.entry {
            Some(entry) => self
                .choice(entry, kind, strategy.id())
                .ok_or_else(|| self.not_in_library(kind, strategy.id(), entry))?,
            None => self.choose(&shelf, kind, strategy)?,
        };
        self.make_of(choice, &shelf.config, kind, strategy, create)
    }
}
