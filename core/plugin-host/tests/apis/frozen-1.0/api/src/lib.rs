//! All that the author of a skymesh plugin imports: one trait per kind of strategy, one macro line
//! to export it, and a conformance suite to test it with.
//!
//! No tokio, no prost and no type of skymesh's core appears here. A plugin is pure and synchronous:
//! the host passes time, randomness and statistics, and the plugin answers.
//!
//! # A whole plugin
//! ```
//! use serde::Deserialize;
//! use skymesh_plugin_api::{PluginError, Request, Selector, ShardedCounter, View};
//!
//! /// Every `stride`-th instance in turn.
//! pub struct Stride { stride: u64, turn: ShardedCounter }
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! pub struct StrideConfig { #[serde(default = "one")] stride: u64 }
//! fn one() -> u64 { 1 }
//!
//! impl Selector for Stride {
//!     const ID: &'static str = "stride";
//!     const DESCRIPTION: &'static str = "every n-th instance in turn";
//!     const CONFIG_SCHEMA: &'static str = r#"{"type": "object", "additionalProperties": false,
//!         "properties": {"stride": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1}}}"#;
//!     type Config = StrideConfig;
//!     type Table = ();
//!
//!     fn new(config: StrideConfig) -> Result<Self, PluginError> {
//!         Ok(Self { stride: config.stride, turn: ShardedCounter::new() })
//!     }
//!     fn prepare(&self, _view: &View<'_>) {}
//!     fn pick(&self, view: &View<'_>, _table: &(), request: &Request) -> Option<usize> {
//!         let turn = self.turn.add(request.thread(), self.stride);
//!         (!view.is_empty()).then(|| (turn % view.len() as u64) as usize)
//!     }
//! }
//! skymesh_plugin_api::export_plugin! { selectors: [Stride] }
//!
//! // In the plugin's tests: the whole contract in one line.
//! skymesh_plugin_api::conformance::selector::<Stride>();
//! ```
//! with `crate-type = ["cdylib", "rlib"]` in its Cargo.toml. The `cdylib` is the shared library that
//! a configuration names; the `rlib` serves tests and static linking (`skymesh_plugin()`).
//!
//! `skymesh plugin new selector my_router` makes such a crate; the [`tutorial`] goes from there to one
//! under load in five commands.
//!
//! # What an author may rely on
//! * A panic is caught inside the plugin, logged by the host with its message and place, and
//!   answered by the host's fallback. Build with `panic = "unwind"` (Rust's default): a library
//!   built with `panic = "abort"` is refused.
//! * [`tracing`] events reach the host's log, at the host's level, changes at run time included.
//! * The strategy's table in the config file arrives as [`Selector::Config`]; unknown keys and
//!   values against [`Selector::CONFIG_SCHEMA`] are refused before the constructor runs.
//! * Code is never unloaded; an instance is dropped after its last call has returned.
//!
//! # Versions
//! From 1.0 a minor release only appends, so a plugin of any 1.x loads in a host of any 1.y.

#[allow(unsafe_code)]
pub mod abi;
mod codec;
mod config;
pub mod conformance;
pub mod draw;
mod election;
mod error;
mod manifest;
mod metrics;
mod request;
mod selector;
mod shard;
mod stats;
mod trace;
#[allow(clippy::test_attr_in_doctest, reason = "it shows a whole file, with its tests")]
#[doc = include_str!("tutorial.md")]
pub mod tutorial {}
mod view;

pub use abi::entry::LinkedPlugin;
pub use abi::host::{Member, Roster};
pub use abi::layout::{Ballot, InstanceStats, Request, View};
pub use abi::output::Output;
pub use codec::{Codec, CodecError, Envelope, Scratch};
pub use config::{NO_CONFIG, NoConfig};
pub use election::{Candidate, Election};
pub use error::{ErrorKind, PluginError};
pub use manifest::{LibraryManifest, Manifest, PluginKind};
pub use metrics::{Bucket, Histogram, Label, Metrics, MetricsBatch, Sample, SampleValue};
pub use selector::Selector;
pub use shard::ShardedCounter;
pub use stats::LATENCY_MEMORY_NS;
pub use trace::{
    Attribute, AttributeValue, Span, SpanEvent, SpanKind, SpanStatus, Trace, TraceBatch,
};

pub use {serde, serde_json, tracing};

/// The version of this crate, which is the version of the plugin API.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");
