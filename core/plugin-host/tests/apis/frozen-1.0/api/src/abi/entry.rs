//! The entry of a plugin library, and the macro that makes it.

use abi_stable::library::{CheckTypeLayout, RootModuleError};
pub use abi_stable::library::{LibHeader, RootModuleResult};
use abi_stable::prefix_type::{PrefixRefTrait, WithMetadata};
use abi_stable::std_types::{RErr, ROk, RSlice, RStr};

use super::bridge;
pub use super::module::PluginModule;
use super::module::{Declaration, PluginModuleRef};
pub use super::shim::codec::CodecShim;
pub use super::shim::election::ElectionShim;
pub use super::shim::selector::SelectorShim;
pub use super::shim::sinks::{MetricsShim, TraceShim};
use super::vtable::{CodecVtRef, ElectionVtRef, MetricsVtRef, SelectorVtRef, TraceVtRef};

/// The symbol that a library of crate `crate_name` exports for hosts of this major version.
pub fn entry_symbol(crate_name: &str) -> String {
    format!("skymesh_plugin_v1_{crate_name}")
}

/// A plugin library that is linked into this binary: what `skymesh_plugin()` of a plugin's crate
/// gives, for the host to take like a loaded one.
#[derive(Clone, Copy)]
pub struct LinkedPlugin(pub(crate) PluginModuleRef);

/// What the macro knows of the author's crate.
#[doc(hidden)]
pub struct CrateFacts {
    pub library: &'static str,
    pub version: &'static str,
    pub authors: &'static str,
    pub profile: &'static str,
    pub panic_unwind: bool,
}

/// The plugins of a crate.
#[doc(hidden)]
pub struct Plugins {
    pub selectors: &'static [Declaration<SelectorVtRef>],
    pub codecs: &'static [Declaration<CodecVtRef>],
    pub elections: &'static [Declaration<ElectionVtRef>],
    pub metrics: &'static [Declaration<MetricsVtRef>],
    pub traces: &'static [Declaration<TraceVtRef>],
}

/// For the macro.
#[doc(hidden)]
pub type ModuleStatic = WithMetadata<PluginModule>;

/// For the macro: the module as a constant.
#[doc(hidden)]
pub const fn module(facts: &CrateFacts, plugins: &Plugins) -> ModuleStatic {
    WithMetadata::new(PluginModule {
        library: RStr::from_str(facts.library),
        version: RStr::from_str(facts.version),
        authors: RStr::from_str(facts.authors),
        rustc: RStr::from_str(env!("SKYMESH_RUSTC")),
        profile: RStr::from_str(facts.profile),
        panic_unwind: facts.panic_unwind,
        attach: bridge::attach,
        set_max_level: bridge::set_max_level,
        selectors: RSlice::from_slice(plugins.selectors),
        codecs: RSlice::from_slice(plugins.codecs),
        elections: RSlice::from_slice(plugins.elections),
        metrics: RSlice::from_slice(plugins.metrics),
        traces: RSlice::from_slice(plugins.traces),
    })
}

/// For the macro: the static entry.
#[doc(hidden)]
pub const fn linked(module: &'static ModuleStatic) -> LinkedPlugin {
    LinkedPlugin(PluginModuleRef(module.static_as_prefix()))
}

/// For the macro: what the entry symbol's constructor answers.
#[doc(hidden)]
pub fn root(plugin: fn() -> LinkedPlugin) -> RootModuleResult {
    match std::panic::catch_unwind(plugin) {
        // SAFETY: only the type of the reference is erased; the header's layout says which it was.
        Ok(LinkedPlugin(module)) => ROk(unsafe { module.to_prefix_ref().cast() }),
        Err(payload) => {
            std::mem::forget(payload);
            RErr(RootModuleError::Unwound)
        }
    }
}

/// For the macro: the header that the entry symbol names.
#[doc(hidden)]
pub const fn header(constructor: extern "C" fn() -> RootModuleResult) -> LibHeader {
    // SAFETY: the macro passes a constructor that answers with `root`, thus with the module type
    // whose layout the header records.
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(constructor, CheckTypeLayout::Yes) }
}

/// Exports the plugins of a crate: the entry symbol of its shared library, and the function
/// `skymesh_plugin()` for linking it statically. Once per crate, at its root.
///
/// Any of the kinds, in this order:
/// ```
/// # use skymesh_plugin_api::{NoConfig, PluginError, Request, Selector, View};
/// # struct RoundRobin;
/// # impl Selector for RoundRobin {
/// #     const ID: &'static str = "round_robin";
/// #     type Config = NoConfig;
/// #     type Table = ();
/// #     fn new(_: NoConfig) -> Result<Self, PluginError> {
/// #         Ok(Self)
/// #     }
/// #     fn prepare(&self, _: &View<'_>) {}
/// #     fn pick(&self, view: &View<'_>, _: &(), request: &Request) -> Option<usize> {
/// #         (!view.is_empty()).then(|| (request.entropy() % view.len() as u64) as usize)
/// #     }
/// # }
/// skymesh_plugin_api::export_plugin! {
///     selectors: [RoundRobin],
///     codecs: [],
///     elections: [],
///     metrics: [],
///     traces: [],
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_plugin {
    (
        $(selectors: [$($selector:ty),* $(,)?] $(,)?)?
        $(codecs: [$($codec:ty),* $(,)?] $(,)?)?
        $(elections: [$($election:ty),* $(,)?] $(,)?)?
        $(metrics: [$($metrics:ty),* $(,)?] $(,)?)?
        $(traces: [$($trace:ty),* $(,)?] $(,)?)?
    ) => {
        /// This crate's plugins, for a host that links them instead of loading them.
        pub fn skymesh_plugin() -> $crate::LinkedPlugin {
            use $crate::abi::entry as __entry;
            static MODULE: __entry::ModuleStatic = __entry::module(
                &__entry::CrateFacts {
                    library: ::core::env!("CARGO_CRATE_NAME"),
                    version: ::core::env!("CARGO_PKG_VERSION"),
                    authors: ::core::env!("CARGO_PKG_AUTHORS"),
                    profile: if ::core::cfg!(debug_assertions) { "debug" } else { "release" },
                    panic_unwind: ::core::cfg!(panic = "unwind"),
                },
                &__entry::Plugins {
                    selectors: &[$($(__entry::SelectorShim::<$selector>::DECLARATION),*)?],
                    codecs: &[$($(__entry::CodecShim::<$codec>::DECLARATION),*)?],
                    elections: &[$($(__entry::ElectionShim::<$election>::DECLARATION),*)?],
                    metrics: &[$($(__entry::MetricsShim::<$metrics>::DECLARATION),*)?],
                    traces: &[$($(__entry::TraceShim::<$trace>::DECLARATION),*)?],
                },
            );
            __entry::linked(&MODULE)
        }

        const _: () = {
            extern "C" fn constructor() -> $crate::abi::entry::RootModuleResult {
                $crate::abi::entry::root(skymesh_plugin)
            }

            #[unsafe(export_name = ::core::concat!(
                "skymesh_plugin_v1_",
                ::core::env!("CARGO_CRATE_NAME")
            ))]
            static HEADER: $crate::abi::entry::LibHeader = $crate::abi::entry::header(constructor);
        };
    };
}
