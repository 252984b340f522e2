//! What a library and each plugin in it say of themselves, without any of their code being run.

use std::fmt;

use crate::PluginError;
use crate::config;

/// The kinds of strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    /// Picks an instance for a message.
    Selector,
    /// Turns envelopes into bytes and back.
    Codec,
    /// Picks a leader among candidates.
    Election,
    /// Receives samples of counters, gauges and histograms.
    Metrics,
    /// Receives finished spans.
    Trace,
}

impl PluginKind {
    /// All kinds, in the order of [`export_plugin!`](crate::export_plugin).
    pub const ALL: [Self; 5] =
        [Self::Selector, Self::Codec, Self::Election, Self::Metrics, Self::Trace];

    /// The word used in configurations and library names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Selector => "selector",
            Self::Codec => "codec",
            Self::Election => "election",
            Self::Metrics => "metrics",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a library says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryManifest {
    /// The crate's name as in its library's file name, `skymesh_selector_round_robin`.
    pub library: String,
    /// The author's version: `CARGO_PKG_VERSION` of the plugin's crate.
    pub version: String,
    /// As in the author's Cargo.toml, separated by `:`.
    pub authors: String,
    /// The compiler that built it.
    pub rustc: String,
    /// Whether panics unwind. Where they do not, nothing can catch them, and the host refuses.
    pub panic_unwind: bool,
    /// `debug` or `release`.
    pub profile: String,
}

/// What one plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The name in configurations.
    pub id: String,
    /// What kind of strategy it is.
    pub kind: PluginKind,
    /// One line for people.
    pub description: String,
    /// JSON Schema of its configuration.
    pub config_schema: String,
    /// Whether equal input gives equal answers (selectors).
    pub deterministic: bool,
    /// The library it is part of.
    pub library: LibraryManifest,
}

impl Manifest {
    /// Whether the plugin takes a configuration, a JSON object, as far as its schema tells: unknown keys,
    /// missing ones, types and ranges. For hosts that must not make the plugin to ask, since making it
    /// may open a port; what only its constructor can tell is told there.
    ///
    /// # Errors
    /// What the constructor would answer, which asks this first.
    pub fn check_config(&self, json: &str) -> Result<(), PluginError> {
        config::fitting(&self.config_schema, json).map(|_| ())
    }
}
