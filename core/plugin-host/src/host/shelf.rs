//! What one configuration of plugins has found so far: which of the loaded libraries it may use.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use semver::VersionReq;

use crate::cache::Cache;
use crate::config::PluginsConfig;
use crate::error::PluginLoadError;
use crate::haste::Haste;
use crate::search::{Found, SearchPath};
use crate::signature;

/// One per configuration. A reload begins with a shelf that holds nothing but what is linked, so
/// every file is looked for and read anew; where a file has not changed, its library is found to be
/// loaded already. Libraries themselves are the host's, and never go.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) config: PluginsConfig,
    pub(crate) search: SearchPath,
    pub(crate) cache: Cache,
    /// Of reading files.
    pub(crate) haste: Haste,
    /// Places in the host's list.
    entries: Mutex<BTreeSet<usize>>,
    /// Every library that was looked for, found or not.
    wanted: Mutex<BTreeSet<String>>,
}

impl Shelf {
    pub(crate) fn new(
        config: PluginsConfig,
        haste: Haste,
        linked: impl IntoIterator<Item = usize>,
    ) -> Self {
        Self {
            search: SearchPath::new(&config.dirs, config.allow_insecure_dirs),
            cache: Cache::new(config.cache_dir.as_deref()),
            haste,
            entries: Mutex::new(linked.into_iter().collect()),
            wanted: Mutex::default(),
            config,
        }
    }

    /// The files that may be a library, as [`SearchPath::find`].
    ///
    /// # Errors
    /// As [`SearchPath::find`]; [`PluginLoadError::NotLinked`] where no file may be taken.
    pub(super) fn find(
        &self,
        library: &str,
        version: Option<&VersionReq>,
    ) -> Result<Vec<Found>, PluginLoadError> {
        if self.config.linked_only {
            return Err(PluginLoadError::NotLinked { library: library.to_owned() });
        }
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.insert(library.to_owned());
        drop(wanted);
        self.search.find(library, version)
    }

    /// Notes that an entry is what the configuration finds.
    pub(super) fn put(&self, entry: usize) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(entry);
    }

    /// What is on it now.
    pub(super) fn entries(&self) -> BTreeSet<usize> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every file that decides what this configuration finds, there or not: what could be one of `used`,
    /// the libraries that it finds now, or one that it looked for; and their signatures, if it heeds any.
    pub(super) fn files(&self, used: BTreeSet<String>) -> BTreeSet<PathBuf> {
        let mut libraries = used;
        libraries.extend(self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let found = libraries.iter().flat_map(|library| self.search.files_of(library));
        let declared = self.config.load.iter().filter_map(|declared| declared.path.clone());
        let mut files: BTreeSet<PathBuf> = found.chain(declared).collect();
        if !self.config.signers.is_empty() {
            let signatures: Vec<PathBuf> =
                files.iter().map(|file| signature::beside(file)).collect();
            files.extend(signatures);
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::PluginHost;

    #[test]
    fn only_while_a_reload_fills_it_is_a_shelf_in_no_haste() {
        let cache = tempfile::tempdir().unwrap();
        let cache_dir = Some(cache.path().to_owned());
        let config = PluginsConfig { cache_dir, ..PluginsConfig::default() };
        let host = PluginHost::new(config.clone()).unwrap();
        let (shelf, _) = host.fill_shelf(config);
        assert_eq!(shelf.haste, Haste::Aside);
        host.take_shelf(shelf);
        assert_eq!(host.shelf.load().haste, Haste::AtOnce, "a router that is opened later waits");
    }
}
