//! Both sinks of a process, and their reload: what is new is made and tried before anything ends, and
//! takes effect as a whole, or not at all.

use skymesh_plugin_host::{PluginHost, PluginLoadError, Renewal};

use crate::config::{MetricsConfig, TraceConfig};
use crate::export::Tracing;
use crate::metrics::Metrics;
use crate::outlet::Plan;

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

impl TelemetryError {
    /// Its text, which tells the table of the configuration that it is about: `metrics` or `trace`.
    pub fn in_table(&self, table: &str) -> String {
        in_table(table, self.to_string())
    }
}

/// The kinds of the plugins are called like their tables: what begins with the one says the other.
fn in_table(table: &str, fault: String) -> String {
    match fault.strip_prefix(table) {
        Some(rest) if rest.starts_with(" `") => fault,
        _ => format!("{table}: {fault}"),
    }
}

/// Where a process shows itself.
#[derive(Debug)]
pub struct Sinks {
    /// What it counts.
    pub metrics: Metrics,
    /// Spans.
    pub tracing: Tracing,
}

/// What a reload is to do with the sinks: [`Sinks::plan`].
#[derive(Debug)]
pub struct SinksPlan {
    metrics: Plan,
    tracing: Plan,
}

/// What a reload did with them.
#[derive(Debug, Default)]
pub struct Exchanged {
    /// Which sink (`metrics` or `trace`), what served before and what serves now.
    pub changed: Vec<(&'static str, [String; 2])>,
    /// What is optional and could not be had, or has not ended in time.
    pub faults: Vec<String>,
}

/// What `[metrics]` and `[trace]` say that is out of its range, one line each.
pub fn out_of_range(metrics: &MetricsConfig, trace: &TraceConfig) -> Vec<String> {
    let metrics = metrics.faults().into_iter().map(|fault| ("metrics", fault));
    let trace = trace.faults().into_iter().map(|fault| ("trace", fault));
    let line = |(table, (key, fault))| TelemetryError::Range { key, fault }.in_table(table);
    metrics.chain(trace).map(line).collect()
}

fn named(table: &'static str) -> impl Fn(String) -> String {
    move |fault| in_table(table, fault)
}

impl Sinks {
    /// Makes what another configuration asks for, and gives it a first batch, while what there is goes
    /// on. A sink that would be the same goes on, unless it is quarantined. What is [`out_of_range`] is for
    /// the caller to refuse.
    ///
    /// # Errors
    /// All that can't be had, one line each.
    pub fn plan(
        &self,
        renewal: &Renewal<'_>,
        metrics: &MetricsConfig,
        trace: &TraceConfig,
    ) -> Result<SinksPlan, Vec<String>> {
        let of_metrics = self.metrics.place.plan(renewal, metrics.strategy());
        let of_trace = self.tracing.place.plan(renewal, trace.strategy());
        match (of_metrics, of_trace) {
            (Ok(metrics), Ok(tracing)) => Ok(SinksPlan { metrics, tracing }),
            (metrics, tracing) => {
                let metrics = metrics.err().map(|error| error.in_table("metrics"));
                let tracing = tracing.err().map(|error| error.in_table("trace"));
                Err(metrics.into_iter().chain(tracing).collect())
            }
        }
    }

    /// The last step that can fail: where a new sink needs what an old one holds, such as a port, the
    /// old one is let go, with its last batch. If the new one can't be had even so, all that was let go
    /// is made once more.
    ///
    /// # Errors
    /// Why all is as it was; or what could not be had again.
    pub fn hand_over(
        &self,
        host: &PluginHost,
        renewal: &Renewal<'_>,
        plan: &mut SinksPlan,
    ) -> Result<(), Vec<String>> {
        let metrics = self.metrics.place.hand_over(host, renewal, &mut plan.metrics);
        metrics.map_err(|faults| faults.into_iter().map(named("metrics")).collect::<Vec<_>>())?;
        let Err(faults) = self.tracing.place.hand_over(host, renewal, &mut plan.tracing) else {
            return Ok(());
        };
        let mut faults: Vec<String> = faults.into_iter().map(named("trace")).collect();
        faults.extend(self.metrics.place.restore(host, &mut plan.metrics).map(named("metrics")));
        Err(faults)
    }

    /// Has it take effect. Waits for the last batches of what ends, 5 s each at most.
    pub fn apply(
        &self,
        plan: SinksPlan,
        metrics: &MetricsConfig,
        trace: &TraceConfig,
    ) -> Exchanged {
        if self.metrics.set(metrics) {
            self.metrics.place.nudge();
        }
        self.tracing.set(trace);
        let mut exchanged = Exchanged::default();
        let mut note = |table, (changed, fault): (Option<[String; 2]>, Option<String>)| {
            exchanged.changed.extend(changed.map(|changed| (table, changed)));
            exchanged.faults.extend(fault.map(named(table)));
        };
        note("metrics", self.metrics.place.apply(plan.metrics));
        note("trace", self.tracing.place.apply(plan.tracing));
        exchanged
    }

    /// Ends both, with what is left to show. A plugin that takes longer than 5 s is left behind, as by a
    /// drop.
    pub fn stop(&self) {
        self.tracing.place.stop();
        self.metrics.place.stop();
    }

    /// What ends the spans' sink, and that of metrics: each has a last batch to hand over, and waits for
    /// its plugin, maybe for ever. So they are for threads that nobody else waits for.
    pub fn endings(&self) -> [Box<dyn FnOnce() + Send>; 2] {
        [Box::new(self.tracing.place.ending()), Box::new(self.metrics.place.ending())]
    }
}
