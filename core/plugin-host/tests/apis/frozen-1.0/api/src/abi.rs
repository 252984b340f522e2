//! The boundary between host and plugin, and the only place of this crate with unsafe code.
//! Authors need none of it; the host uses [`host`] (and, to load a file, [`module`]).
//!
//! Everything that crosses is `repr(C)` and derives abi_stable's `StableAbi`, so that a library of
//! another layout is refused before any of its code runs. Calls are plain `extern "C"` functions.
//! What may change in a minor release: a field appended after the last prefix field of a prefix
//! type ([`module::PluginModule`], the vtables, [`bridge::HostApi`]). Nothing else: all other
//! structs are frozen, which is what their `reserved` fields are for.

pub mod bridge;
pub mod entry;
pub mod host;
pub mod layout;
pub mod module;
pub mod output;
mod shim;
pub mod sink_layout;
pub mod vtable;

pub use abi_stable;
