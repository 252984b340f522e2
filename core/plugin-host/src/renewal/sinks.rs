//! Metrics sinks and trace exporters made anew. What these hold may be such that there is one of it, like
//! a port: whether the old one is let go before the new one is made is for the caller to decide.

use std::sync::Arc;
use std::time::Duration;

use skymesh_plugin_api::abi::host::Library;
use skymesh_plugin_api::{ErrorKind, PluginKind};

use super::{Renewal, tested};
use crate::config::StrategyConfig;
use crate::error::PluginLoadError;
use crate::patience::in_time;
use crate::sink_slot::{MetricsSlot, SinkRecord, TraceSlot};

/// How long a sink may take over its first batch.
const PATIENCE: Duration = Duration::from_secs(5);

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
        let origin = self.origin(PluginKind::Metrics, strategy)?;
        if record.is_some_and(|record| record.serves(&origin)) {
            return Ok(None);
        }
        let shelf = self.shelf();
        let made = self.host.make_on(shelf, PluginKind::Metrics, strategy, Library::metrics)?;
        let slot = Arc::new(MetricsSlot::new(made));
        let of_test = Arc::clone(&slot);
        let test = in_time(PATIENCE, move || {
            first(&of_test);
            of_test.failures()
        });
        let outcome = judged(test.map_err(|error| error.to_string()));
        tested(slot.strategy(), outcome)?;
        Ok(Some(slot))
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
        let origin = self.origin(PluginKind::Trace, strategy)?;
        if record.is_some_and(|record| record.serves(&origin)) {
            return Ok(None);
        }
        let made = self.host.make_on(self.shelf(), PluginKind::Trace, strategy, Library::trace)?;
        let slot = Arc::new(TraceSlot::new(made));
        let of_test = Arc::clone(&slot);
        let test = in_time(PATIENCE, move || {
            first(&of_test);
            of_test.failures()
        });
        let outcome = judged(test.map_err(|error| error.to_string()));
        tested(slot.strategy(), outcome)?;
        Ok(Some(slot))
    }
}

fn judged(failures: Result<u64, String>) -> Result<(), String> {
    match failures? {
        0 => Ok(()),
        _ => Err("it panicked over its first batch, or took too long".to_owned()),
    }
}
