//! A plugin library, loaded or linked: what it offers, and how instances are made.

use abi_stable::std_types::{RErr, ROk, RSlice};
use tracing_core::LevelFilter;

use super::{
    CodecInstance, ElectionInstance, MetricsInstance, SelectorInstance, TraceInstance, log,
};
use crate::abi::bridge::level_number;
use crate::abi::entry::LinkedPlugin;
use crate::abi::module::{DETERMINISTIC, Declaration, PluginModuleRef, RawInstance};
use crate::{LibraryManifest, Manifest, PluginError, PluginKind};

/// Why an instance could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateError {
    /// The library has no plugin of this kind and id.
    Unknown,
    /// The plugin refused.
    Refused(PluginError),
}

/// A plugin library whose layout has been checked. It is never unloaded.
#[derive(Clone, Copy)]
pub struct Library {
    module: PluginModuleRef,
}

impl From<LinkedPlugin> for Library {
    fn from(plugin: LinkedPlugin) -> Self {
        Self { module: plugin.0 }
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Library").field(&self.module.library().as_str()).finish()
    }
}

impl Library {
    /// For the loader, which has checked the layout of what `module` refers to.
    pub fn new(module: PluginModuleRef) -> Self {
        Self { module }
    }

    /// Connects the library's `tracing` events and panics to the log of [`set_log`](super::set_log).
    /// Events more verbose than `level` do not leave the library. Once is enough.
    pub fn attach(&self, level: LevelFilter) {
        self.module.attach()(log::api(), level_number(level));
    }

    /// Changes the level of [`attach`](Self::attach).
    pub fn set_max_level(&self, level: LevelFilter) {
        self.module.set_max_level()(level_number(level));
    }

    /// What the library says of itself.
    pub fn manifest(&self) -> LibraryManifest {
        let module = &self.module;
        LibraryManifest {
            library: module.library().into(),
            version: module.version().into(),
            authors: module.authors().into(),
            rustc: module.rustc().into(),
            panic_unwind: module.panic_unwind(),
            profile: module.profile().into(),
        }
    }

    /// What each of its plugins says of itself, in the order of kinds.
    pub fn plugins(&self) -> Vec<Manifest> {
        let library = self.manifest();
        let mut all = Vec::new();
        describe(&mut all, &library, PluginKind::Selector, self.module.selectors());
        describe(&mut all, &library, PluginKind::Codec, self.module.codecs());
        describe(&mut all, &library, PluginKind::Election, self.module.elections());
        describe(&mut all, &library, PluginKind::Metrics, self.module.metrics());
        describe(&mut all, &library, PluginKind::Trace, self.module.traces());
        all
    }

    /// Makes a selector from the JSON text of its configuration.
    ///
    /// # Errors
    /// [`CreateError`], as for the other kinds.
    pub fn selector(&self, id: &str, config: &str) -> Result<SelectorInstance, CreateError> {
        create(self.module.selectors(), id, config).map(|made| SelectorInstance::new(&made))
    }

    /// Makes a codec.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn codec(&self, id: &str, config: &str) -> Result<CodecInstance, CreateError> {
        create(self.module.codecs(), id, config).map(|made| CodecInstance::new(&made))
    }

    /// Makes an election algorithm.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn election(&self, id: &str, config: &str) -> Result<ElectionInstance, CreateError> {
        create(self.module.elections(), id, config).map(|made| ElectionInstance::new(&made))
    }

    /// Makes a metrics sink.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn metrics(&self, id: &str, config: &str) -> Result<MetricsInstance, CreateError> {
        create(self.module.metrics(), id, config).map(|made| MetricsInstance::new(&made))
    }

    /// Makes a trace exporter.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn trace(&self, id: &str, config: &str) -> Result<TraceInstance, CreateError> {
        create(self.module.traces(), id, config).map(|made| TraceInstance::new(&made))
    }
}

fn create<V>(
    list: RSlice<'static, Declaration<V>>,
    id: &str,
    config: &str,
) -> Result<RawInstance<V>, CreateError> {
    let declaration = list.as_slice().iter().find(|one| one.id.as_str() == id);
    match (declaration.ok_or(CreateError::Unknown)?.create)(config.into()) {
        ROk(instance) => Ok(instance),
        RErr(error) => Err(CreateError::Refused(error.into())),
    }
}

fn describe<V>(
    all: &mut Vec<Manifest>,
    library: &LibraryManifest,
    kind: PluginKind,
    list: RSlice<'static, Declaration<V>>,
) {
    all.extend(list.as_slice().iter().map(|one| Manifest {
        id: one.id.into(),
        kind,
        description: one.description.into(),
        config_schema: one.config_schema.into(),
        deterministic: one.traits & DETERMINISTIC != 0,
        library: library.clone(),
    }));
}
