//! Where what happens in an agent is shown: the plugins of `[metrics]` and `[trace]`.

use std::sync::Arc;

use skymesh_telemetry::{Metrics, MetricsConfig, Sinks, TraceConfig, Tracing};

use super::ConnectError;
use crate::runtime::Runtime;

/// The two tables.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) metrics: MetricsConfig,
    pub(crate) trace: TraceConfig,
}

impl Shown {
    /// Starts to show what happens, if the configuration says where. Before the first instance.
    pub(super) fn start(&self, runtime: &Arc<Runtime>) -> Result<(), ConnectError> {
        let resource = [
            ("app", runtime.app.to_string()),
            ("agent", runtime.agent.to_string()),
            ("address", runtime.address.to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let resource = || resource.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let tracing = Tracing::start(&runtime.host, &self.trace, resource().collect());
        let tracing = tracing.map_err(ConnectError::Trace)?;
        let metrics = Metrics::start(&runtime.host, &self.metrics, resource().collect());
        let metrics = metrics.map_err(ConnectError::Metrics)?;
        runtime.show_on(Sinks { metrics, tracing });
        Ok(())
    }
}
