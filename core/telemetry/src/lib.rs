//! What skymesh counts and traces of itself, and how that comes to the plugins that show it.
//!
//! Counting is the core's affair and never calls a plugin: a [`Tally`] or [`Histogram`] is moved in
//! words of the thread's own, and read when a thread of this crate flushes, at an interval, what all
//! [`Source`]s have. What there is to see is in the [`catalogue`].
//!
//! Spans are made by a [`Tracer`], end where they are dropped, and wait in a bounded queue for another
//! thread, which hands batches to the trace plugin. Their contexts travel as W3C has it. Which spans there
//! are is in [`spans`].
//!
//! What this is not: the log. That is `tracing`'s, and the facade's.

mod call;
pub mod catalogue;
mod config;
mod context;
mod export;
mod histogram;
mod metrics;
mod outlet;
mod plugins;
mod samples;
mod scope;
mod sinks;
mod span;
pub mod spans;
mod tally;
mod thread;
mod tracer;

pub use call::{CallSpan, Failures};
pub use config::{MetricsConfig, TraceConfig};
pub use context::SpanContext;
pub use export::Tracing;
pub use histogram::{BOUNDS_US, Distribution, Histogram};
pub use metrics::Metrics;
pub use samples::{SERIES, Samples, Source};
pub use scope::{Entered, Scope, Scoped, current, current_state};
pub use sinks::{Exchanged, Sinks, SinksPlan, TelemetryError, out_of_range};
pub use span::{ActiveSpan, Value};
pub use tally::Tally;
pub use tracer::Tracer;

pub use skymesh_plugin_api::SpanKind;
