//! The kind `metrics`: receives what was counted since the start, at every flush. Counting itself is
//! the host's affair and never calls a plugin.

use crate::PluginError;
use crate::config::NO_CONFIG;

/// Receives all samples once per flush interval, on a thread of the host's that may wait a little.
///
/// Contract, and what happens when it is broken:
/// * `flush` returns within the flush interval. The host calls it from one thread only and skips
///   the flushes that it misses meanwhile, counting them.
/// * A plugin that serves or sends by network owns its thread, with a bounded queue.
/// * After a panic the flush counts as failed; repeated ones put the plugin into quarantine.
pub trait Metrics: Send + Sync + Sized + 'static {
    /// The name in configurations, `[a-z0-9_]+`.
    const ID: &'static str;
    /// One line for `skymesh plugin list`.
    const DESCRIPTION: &'static str = "";
    /// As [`Selector::CONFIG_SCHEMA`](crate::Selector::CONFIG_SCHEMA).
    const CONFIG_SCHEMA: &'static str = NO_CONFIG;

    /// As [`Selector::Config`](crate::Selector::Config).
    type Config: serde::de::DeserializeOwned;

    /// Makes the sink, and starts what it runs.
    ///
    /// # Errors
    /// [`PluginError`] if it can't, such as for an address in use.
    fn new(config: Self::Config) -> Result<Self, PluginError>;

    /// Takes the present value of every series.
    ///
    /// # Errors
    /// [`PluginError`] is counted and logged by the host; the next flush comes as usual.
    fn flush(&self, batch: &MetricsBatch<'_>) -> Result<(), PluginError>;
}

/// All series at one moment.
#[derive(Debug, Clone, Copy)]
pub struct MetricsBatch<'a> {
    /// One sample per series, those of one metric side by side.
    pub samples: &'a [Sample<'a>],
    /// What the whole process is labelled with: service, agent, version.
    pub resource: &'a [Label<'a>],
    /// When the values were read: nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// Since when the counters count: nanoseconds since the Unix epoch.
    pub started_unix_ns: u64,
}

/// The value of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// The metric's name, such as `skymesh_messages_sent_total`.
    pub name: &'a str,
    /// What it means, in one line.
    pub help: &'a str,
    /// Its unit: `bytes`, `seconds`, or empty.
    pub unit: &'a str,
    /// What tells this series from others of the same metric.
    pub labels: &'a [Label<'a>],
    /// The value.
    pub value: SampleValue<'a>,
}

/// A key and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'a> {
    /// The key, `[a-z0-9_.]+`.
    pub key: &'a str,
    /// Any text.
    pub value: &'a str,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum SampleValue<'a> {
    /// Counts up from the process's start.
    Counter(u64),
    /// Goes up and down.
    Gauge(f64),
    /// A distribution since the process's start.
    Histogram(Histogram<'a>),
}

/// A distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram<'a> {
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Ascending; each counts the values above the bound before and up to its own. Values above
    /// the last bound are in `count` only.
    pub buckets: &'a [Bucket],
}

pub use crate::abi::layout::Bucket;
