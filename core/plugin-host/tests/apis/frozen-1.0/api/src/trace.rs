//! The kind `trace`: receives spans that have ended. Sampling, context and batching are the host's.

use crate::PluginError;
use crate::config::NO_CONFIG;

/// Receives finished spans in batches, on a thread of the host's that may wait a little.
///
/// Contract and consequences as for [`Metrics`](crate::Metrics): return soon, own a thread and a
/// bounded queue for the network, drop rather than pile up. Dropping the plugin must end within
/// some seconds, sending what is left if it can.
pub trait Trace: Send + Sync + Sized + 'static {
    /// The name in configurations, `[a-z0-9_]+`.
    const ID: &'static str;
    /// One line for `skymesh plugin list`.
    const DESCRIPTION: &'static str = "";
    /// As [`Selector::CONFIG_SCHEMA`](crate::Selector::CONFIG_SCHEMA).
    const CONFIG_SCHEMA: &'static str = NO_CONFIG;

    /// As [`Selector::Config`](crate::Selector::Config).
    type Config: serde::de::DeserializeOwned;

    /// Makes the exporter, and starts what it runs.
    ///
    /// # Errors
    /// [`PluginError`] if it can't.
    fn new(config: Self::Config) -> Result<Self, PluginError>;

    /// Takes a batch of finished spans.
    ///
    /// # Errors
    /// [`PluginError`] is counted and logged by the host; the batch is lost.
    fn export(&self, batch: &TraceBatch<'_>) -> Result<(), PluginError>;
}

/// Spans that ended since the last batch.
#[derive(Debug, Clone, Copy)]
pub struct TraceBatch<'a> {
    /// In the order of their end.
    pub spans: &'a [Span<'a>],
    /// What the whole process is labelled with.
    pub resource: &'a [Attribute<'a>],
    /// Spans that the host dropped since the last batch because its queue was full.
    pub dropped: u64,
}

/// One finished span.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// W3C trace id.
    pub trace_id: [u8; 16],
    /// W3C span id, as a big-endian number; never 0.
    pub span_id: u64,
    /// The parent's span id; 0 for a root.
    pub parent_id: u64,
    /// W3C trace flags: bit 0 is "sampled".
    pub trace_flags: u8,
    /// W3C tracestate, empty if there is none.
    pub trace_state: &'a str,
    /// What was done, of few distinct values.
    pub name: &'a str,
    /// Which side of what.
    pub kind: SpanKind,
    /// Nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub end_unix_ns: u64,
    /// How it ended.
    pub status: SpanStatus<'a>,
    /// Facts about it.
    pub attributes: &'a [Attribute<'a>],
    /// What happened during it.
    pub events: &'a [SpanEvent<'a>],
}

/// Which side of an exchange a span covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// Within one process.
    Internal,
    /// Serves a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message without waiting.
    Producer,
    /// Takes a message.
    Consumer,
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanStatus<'a> {
    /// Nothing was said.
    Unset,
    /// Explicitly well.
    Ok,
    /// With this message.
    Error(&'a str),
}

/// One fact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribute<'a> {
    /// Its key, dotted: `rpc.method`.
    pub key: &'a str,
    /// Its value.
    pub value: AttributeValue<'a>,
}

/// The value of an [`Attribute`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum AttributeValue<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// Any number.
    Number(f64),
    /// Yes or no.
    Boolean(bool),
}

/// Something that happened during a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpanEvent<'a> {
    /// What it was.
    pub name: &'a str,
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// Facts about it.
    pub attributes: &'a [Attribute<'a>],
}
