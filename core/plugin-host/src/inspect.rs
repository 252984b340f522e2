//! `skymesh plugin check FILE`: everything that would be refused about one file, and why.

use std::path::Path;

use skymesh_plugin_api::Manifest;
use skymesh_plugin_api::abi::host::Library;

use crate::cache::Cache;
use crate::catalogue::{Checks, Entry};
use crate::config::PluginsConfig;
use crate::error::PluginLoadError;
use crate::haste::Haste;
use crate::host::found_at;
use crate::report::PluginReport;
use crate::signature::Signers;

/// What is known of one library file.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// One row per plugin; one row with the reason if the file is refused.
    pub reports: Vec<PluginReport>,
    /// The plugins' manifests, schemas included; none if the file is refused.
    pub manifests: Vec<Manifest>,
    /// The library, to make instances of its plugins; `None` if the file is refused.
    pub library: Option<Library>,
    /// Why the file is refused.
    pub error: Option<PluginLoadError>,
}

/// Takes one file through all steps up to checked, under the rules of `config` but for its pins.
/// The library is opened: its initialisers run, and it stays mapped.
pub fn inspect(path: &Path, config: &PluginsConfig) -> Inspection {
    crate::log::connect();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut entry = Entry::declared(&path.display().to_string());
    let result = found_at(&path, config.allow_insecure_dirs).and_then(|found| {
        entry = Entry::declared(&found.library);
        let cache = Cache::new(config.cache_dir.as_deref());
        let signers = Signers::of(config)?;
        let checks = Checks {
            cache: &cache,
            haste: Haste::AtOnce,
            pins: &[],
            require_pins: false,
            signers: &signers,
            version: None,
            start_budget: config.start_budget,
        };
        entry.load(&found, &checks)
    });
    if let Err(error) = &result {
        entry.base.reason = Some(error.to_string());
    }
    let manifests = entry.loaded.iter().flat_map(|loaded| loaded.manifests()).cloned().collect();
    let library = entry.loaded.as_ref().map(|loaded| loaded.library);
    Inspection { reports: entry.report(), manifests, library, error: result.err() }
}
