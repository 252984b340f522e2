//! What skymesh counts and traces of itself, and how that comes to the plugins that show it.
//!
//! Counting is the core's affair and never calls a plugin: a [`Tally`] or [`Histogram`] is moved in
//! words of the thread's own, and read when a thread of this crate flushes, at an interval, what all
//! [`Source`]s have. What there is to see is in the [`catalogue`].
//!
//! What this is not: the log. That is `tracing`'s, and the facade's.

pub mod catalogue;
mod config;
mod histogram;
mod metrics;
mod samples;
mod tally;
mod thread;

pub use config::MetricsConfig;
pub use histogram::{BOUNDS_US, Distribution, Histogram};
pub use metrics::{Metrics, MetricsError};
pub use samples::{SERIES, Samples, Source};
pub use tally::Tally;
