//! Metrics sinks and trace exporters made anew. What these hold may be such that there is one of it, like
//! a port: whether the old one is let go before the new one is made is for the caller to decide.

use std::sync::Arc;

use skymesh_plugin_api::abi::host::{CreateError, Library};
use skymesh_plugin_api::{ErrorKind, PluginKind};

use super::{Renewal, self_test, tested};
use crate::config::StrategyConfig;
use crate::error::PluginLoadError;
use crate::host::Made;
use crate::sink_slot::{MetricsSlot, SinkRecord, TraceSlot};

impl PluginLoadError {
    /// Whether a plugin was understood and could not do its work: then it may be another one that holds
    /// what it needs.
    pub fn may_be_for_want_of_room(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error.kind() == ErrorKind::Failed)
    }
}

impl Renewal<'_> {
    /// Makes the metrics sink that the configuration names, and has `first` hand it its first batch, on
    /// a thread of its own. `None` where it would be made as the one that is on `record`, and that one
    /// is not quarantined. A batch that it refuses is no fault, as it would be none later: whoever it
    /// sends to may be away for now.
    ///
    /// # Errors
    /// [`PluginLoadError`], whether it is `required` or not.
    pub fn metrics_for(
        &self,
        record: Option<&SinkRecord>,
        strategy: &StrategyConfig,
        first: impl FnOnce(&MetricsSlot) + Send + 'static,
    ) -> Result<Option<Arc<MetricsSlot>>, PluginLoadError> {
        let (kind, create) = (PluginKind::Metrics, Library::metrics);
        self.sink_for(kind, record, strategy, create, MetricsSlot::new, first)
    }

    /// As [`metrics_for`](Self::metrics_for), of a trace exporter.
    ///
    /// # Errors
    /// As [`metrics_for`](Self::metrics_for).
    pub fn trace_for(
        &self,
        record: Option<&SinkRecord>,
        strategy: &StrategyConfig,
        first: impl FnOnce(&TraceSlot) + Send + 'static,
    ) -> Result<Option<Arc<TraceSlot>>, PluginLoadError> {
        let (kind, create) = (PluginKind::Trace, Library::trace);
        self.sink_for(kind, record, strategy, create, TraceSlot::new, first)
    }

    fn sink_for<I: Send + 'static, S: Send + Sync + 'static>(
        &self,
        kind: PluginKind,
        record: Option<&SinkRecord>,
        strategy: &StrategyConfig,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
        slot: fn(Made<I>) -> S,
        first: impl FnOnce(&S) + Send + 'static,
    ) -> Result<Option<Arc<S>>, PluginLoadError> {
        let (origin, choice) = self.origin(kind, strategy)?;
        if record.is_some_and(|record| record.serves(&origin)) {
            return Ok(None);
        }
        let made = self.make(choice, kind, strategy, create)?;
        let supervision = Arc::clone(&made.supervision);
        let slot = Arc::new(slot(made));
        let outcome = self_test::sink(&slot, &supervision, self_test::PATIENCE, first)
            .map_err(|no_answer| format!("{no_answer} over its first batch"))
            .and_then(|tested| tested.map_err(|fault| fault.to_string()));
        tested(supervision.name(), outcome)?;
        Ok(Some(slot))
    }
}
