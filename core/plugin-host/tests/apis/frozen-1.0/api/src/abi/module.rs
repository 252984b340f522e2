//! The root of a plugin library: what it is, and a list of plugins per kind.

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::package_version_strings;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RResult, RSlice, RStr};

use super::bridge::HostApiRef;
use super::layout::RawError;
use super::vtable::{CodecVtRef, ElectionVtRef, MetricsVtRef, SelectorVtRef, TraceVtRef};

/// What the entry symbol leads to. Constant: to read it runs no code of the plugin.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef)))]
#[sabi(missing_field(option))]
pub struct PluginModule {
    /// The crate's name.
    pub library: RStr<'static>,
    /// The author's version.
    pub version: RStr<'static>,
    /// The authors, separated by `:`.
    pub authors: RStr<'static>,
    /// The compiler.
    pub rustc: RStr<'static>,
    /// `debug` or `release`.
    pub profile: RStr<'static>,
    /// Whether panics can be caught.
    pub panic_unwind: bool,
    /// Gives the library the host's log, and the most verbose level that the host wants. Called
    /// once, before any constructor.
    pub attach: extern "C" fn(host: HostApiRef, max_level: u8),
    /// Changes that level.
    pub set_max_level: extern "C" fn(max_level: u8),
    /// Selectors.
    pub selectors: RSlice<'static, Declaration<SelectorVtRef>>,
    /// Codecs.
    pub codecs: RSlice<'static, Declaration<CodecVtRef>>,
    /// Election algorithms.
    pub elections: RSlice<'static, Declaration<ElectionVtRef>>,
    /// Metrics sinks.
    pub metrics: RSlice<'static, Declaration<MetricsVtRef>>,
    /// Trace exporters.
    #[sabi(last_prefix_field)]
    pub traces: RSlice<'static, Declaration<TraceVtRef>>,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}
    const BASE_NAME: &'static str = "skymesh_plugin";
    const NAME: &'static str = "skymesh_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// One plugin of a library.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct Declaration<V> {
    /// The name in configurations.
    pub id: RStr<'static>,
    /// One line for people.
    pub description: RStr<'static>,
    /// JSON Schema.
    pub config_schema: RStr<'static>,
    /// [`DETERMINISTIC`] and bits to come.
    pub traits: u64,
    /// For minor releases to come: JSON text, empty in 1.0.
    pub extra: RStr<'static>,
    /// Makes an instance from the JSON text of its configuration.
    pub create: extern "C" fn(config: RStr<'_>) -> RResult<RawInstance<V>, RawError>,
}

/// Bit of [`Declaration::traits`]: equal input gives equal answers.
pub const DETERMINISTIC: u64 = 1;

/// One instance of a strategy, not yet owned by a handle.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawInstance<V> {
    /// Belongs to the vtable's functions.
    pub state: *mut (),
    /// What can be done with it.
    pub vt: V,
}
