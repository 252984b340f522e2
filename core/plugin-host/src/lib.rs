//! Finds, checks, loads and supervises the plugins of skymesh, and gives the core what it calls:
//! a [`SelectorSlot`], [`CodecSlot`] or [`ElectionSlot`] that always works, whatever a plugin does.
//!
//! What this is not: a strategy. The one built in, a random pick among healthy instances, exists so
//! that a mesh runs without any plugin and survives a bad one.
//!
//! # From a name in the configuration to a running strategy
//! declared, found, pinned, copied, opened, checked, created, active: each is a [`PluginState`],
//! shown by [`PluginHost::report`] with the reason if it went no further. Libraries are never
//! unloaded.
//!
//! # Where unsafe code is
//! In the module `loader` alone, and in plugin-api's `abi`.

mod cache;
mod catalogue;
mod clock;
mod codec_slot;
mod config;
mod election_slot;
#[cfg(all(unix, not(target_vendor = "apple")))]
mod elf;
mod error;
mod failure;
mod fingerprint;
mod folder;
mod haste;
mod host;
mod inspect;
mod kept;
mod linked;
mod loader;
mod log;
mod pace;
mod patience;
mod prepared;
mod renewal;
mod report;
mod search;
mod self_test;
mod signature;
mod sink_slot;
mod slot;
mod supervision;
mod thread;
mod trial;

pub use clock::now_ns as coarse_now_ns;
pub use codec_slot::CodecSlot;
pub use config::{LoadConfig, PluginsConfig, QuarantineConfig, StrategyConfig};
pub use election_slot::{ElectionSlot, Verdict};
pub use error::PluginLoadError;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use host::PluginHost;
pub use inspect::{Inspection, inspect};
pub use linked::link;
pub use pace::Pace;
pub use patience::{NoAnswer, in_time};
pub use prepared::{PickFailed, Prepared};
pub use renewal::{FreshElection, FreshSelector, Renewal};
pub use report::{PluginReport, PluginState};
pub use sink_slot::{MetricsSlot, SinkRecord, TraceSlot};
pub use slot::{SelectorSlot, SlotHealth};
pub use thread::entropy;
pub use trial::{TrialError, try_out};

pub use skymesh_plugin_api::abi::host::{
    DecodeError, Decoded, ElectionCandidate, ElectionInstance, EncodeError, MetricsInstance,
    Office, Picked, Place, TraceInstance,
};
pub use skymesh_plugin_api::{
    API_VERSION, Envelope, InstanceStats, LibraryManifest, LinkedPlugin, Manifest, Member,
    PluginKind, Request, Roster,
};
