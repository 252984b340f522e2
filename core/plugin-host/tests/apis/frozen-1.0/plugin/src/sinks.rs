//! A metrics sink and a trace exporter that say in their log what they got.

use skymesh_plugin_api::{
    AttributeValue, Metrics, MetricsBatch, NoConfig, PluginError, SampleValue, SpanStatus, Trace,
    TraceBatch, tracing,
};

/// Logs the sum of the counters; refuses a batch without any sample.
pub struct TallyMetrics;

impl Metrics for TallyMetrics {
    const ID: &'static str = "tally";
    const DESCRIPTION: &'static str = "logs the sum of all counters";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn flush(&self, batch: &MetricsBatch<'_>) -> Result<(), PluginError> {
        if batch.samples.is_empty() {
            return Err(PluginError::failed("a batch without samples"));
        }
        let counters = batch.samples.iter().filter_map(|sample| match sample.value {
            SampleValue::Counter(count) => Some(count),
            _ => None,
        });
        let sum = counters.fold(0u64, u64::wrapping_add);
        let label = batch.samples[0].labels.first().map_or("", |label| label.value);
        tracing::info!(sum, label, name = batch.samples[0].name, "metrics tally");
        Ok(())
    }
}

/// Logs how many spans failed; refuses a batch without any span.
pub struct TallyTrace;

impl Trace for TallyTrace {
    const ID: &'static str = "tally";
    const DESCRIPTION: &'static str = "logs how many spans failed";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn export(&self, batch: &TraceBatch<'_>) -> Result<(), PluginError> {
        let Some(first) = batch.spans.first() else {
            return Err(PluginError::failed("a batch without spans"));
        };
        let failed =
            batch.spans.iter().filter(|span| matches!(span.status, SpanStatus::Error(_))).count();
        let retries = first.events.first().map_or(0, |event| match event.attributes {
            [one, ..] if one.value == AttributeValue::Integer(-3) => 3,
            _ => 0,
        });
        tracing::info!(failed, retries, name = first.name, "trace tally");
        Ok(())
    }
}
