//! From the name of a strategy to the one library that has it, loading what is not loaded yet.

use std::path::Path;

use semver::{Version, VersionReq};
use skymesh_plugin_api::abi::host::Library;
use skymesh_plugin_api::{Manifest, PluginKind};

use super::{PluginHost, Shelf};
use crate::catalogue::{Checks, Entry};
use crate::config::{LoadConfig, PluginsConfig, StrategyConfig};
use crate::error::{PluginLoadError, nearest};
use crate::fingerprint::Fingerprint;
use crate::folder::Trust;
use crate::search::{Found, check_name, conventional_library, library_of};
use crate::signature::Signers;

/// A checked library, and the one plugin of it that a configuration means.
pub(crate) struct Choice {
    pub(crate) entry: usize,
    pub(super) library: Library,
    /// `library/id version`, for logs and health.
    pub(super) name: String,
    pub(super) library_name: String,
    /// The version that its file's name tells, if it tells one.
    named_version: Option<Version>,
}

impl Choice {
    /// What the plugin that it was chosen for says of itself.
    pub(super) fn manifest(&self, kind: PluginKind, id: &str) -> Manifest {
        let mut manifests = self.library.plugins().into_iter();
        let found = manifests.find(|one| one.kind == kind && one.id == id);
        found.expect("invariant: the chosen library offers the plugin")
    }
}

impl PluginHost {
    /// The library that has the plugin: one that is loaded, one that is found by its name, or one
    /// that is linked, in this order.
    pub(crate) fn choose(
        &self,
        shelf: &Shelf,
        kind: PluginKind,
        strategy: &StrategyConfig,
    ) -> Result<Choice, PluginLoadError> {
        let (id, version) = (strategy.id(), strategy.version.as_ref());
        let named = strategy.library();
        if let Some(choice) = self.among_loaded(shelf, kind, id, named, version, false)? {
            return self.or_higher(shelf, choice, kind, strategy);
        }
        let library = named.map_or_else(|| conventional_library(kind, id), str::to_owned);
        check_name(&library)?;
        let missing = match shelf.find(&library, version) {
            Ok(found) => {
                let entry = self.load_first(shelf, &found, version)?;
                return match self.choice(entry, kind, id) {
                    Some(choice) => Ok(choice),
                    None => Err(self.not_in_library(kind, id, entry)),
                };
            }
            Err(missing) => missing,
        };
        if let Some(choice) = self.among_loaded(shelf, kind, id, named, version, true)? {
            return Ok(choice);
        }
        match named {
            Some(named) => match self.loaded_entry(shelf, named) {
                // It is there, at a fitting version or not, and has no such plugin.
                Some(entry) if version.is_none() => Err(self.not_in_library(kind, id, entry)),
                _ => Err(missing),
            },
            None => Err(PluginLoadError::PluginNotFound {
                kind,
                id: id.into(),
                version: version.cloned(),
                searched: shelf.search.folders(),
                nearest: self.nearest_id(shelf, kind, id),
            }),
        }
    }

    /// A loaded library may have been asked for at a version that another one does not ask for, and
    /// there may be a higher one. A declared library is the one that is declared.
    fn or_higher(
        &self,
        shelf: &Shelf,
        choice: Choice,
        kind: PluginKind,
        strategy: &StrategyConfig,
    ) -> Result<Choice, PluginLoadError> {
        let library = &choice.library_name;
        let declared = shelf.config.load.iter().any(|one| one.names(library));
        if declared || choice.named_version.is_none() {
            return Ok(choice);
        }
        let found = shelf.find(library, strategy.version.as_ref()).unwrap_or_default();
        let named = found.into_iter().find(|found| found.version.is_some());
        let Some(found) = named.filter(|found| found.version > choice.named_version) else {
            return Ok(choice);
        };
        let entry = self.load_first(shelf, &[found], strategy.version.as_ref())?;
        // It may have lost the plugin meanwhile.
        Ok(self.choice(entry, kind, strategy.id()).unwrap_or(choice))
    }

    /// The highest version of the one loaded library that offers the plugin.
    #[allow(clippy::too_many_arguments, reason = "each is a part of the question")]
    fn among_loaded(
        &self,
        shelf: &Shelf,
        kind: PluginKind,
        id: &str,
        named: Option<&str>,
        version: Option<&VersionReq>,
        linked: bool,
    ) -> Result<Option<Choice>, PluginLoadError> {
        let best: Vec<(usize, String)> = {
            let shown = shelf.entries();
            let entries = self.entries();
            let mut fitting: Vec<_> = shown
                .into_iter()
                .map(|index| (index, &entries[index]))
                .filter_map(|(index, entry)| Some((index, entry, entry.loaded.as_ref()?)))
                .filter(|(_, entry, loaded)| {
                    loaded.linked == linked
                        && loaded.offers(kind, id)
                        && named.is_none_or(|named| named == entry.base.library)
                        && version.is_none_or(|version| version.matches(&loaded.version))
                })
                .collect();
            fitting.sort_by(|a, b| {
                a.1.base.library.cmp(&b.1.base.library).then(b.2.version.cmp(&a.2.version))
            });
            fitting.dedup_by(|a, b| a.1.base.library == b.1.base.library);
            fitting
                .into_iter()
                .map(|(index, entry, _)| (index, entry.base.library.clone()))
                .collect()
        };
        match best.as_slice() {
            [] => Ok(None),
            [(entry, _)] => Ok(self.choice(*entry, kind, id)),
            several => Err(PluginLoadError::Ambiguous {
                kind,
                id: id.into(),
                choices: several.iter().map(|(_, library)| format!("{library}/{id}")).collect(),
            }),
        }
    }

    pub(super) fn choice(&self, entry: usize, kind: PluginKind, id: &str) -> Option<Choice> {
        let entries = self.entries();
        let loaded = entries[entry].loaded.as_ref().filter(|loaded| loaded.offers(kind, id))?;
        let library_name = entries[entry].base.library.clone();
        let name = format!("{library_name}/{id} {}", loaded.version);
        let path = entries[entry].base.path.as_deref();
        let named_version = path.and_then(library_of).and_then(|(_, version)| version);
        Some(Choice { entry, library: loaded.library, name, library_name, named_version })
    }

    fn loaded_entry(&self, shelf: &Shelf, library: &str) -> Option<usize> {
        let shown = shelf.entries();
        let entries = self.entries();
        let is_it = |entry: &Entry| entry.base.library == library && entry.loaded.is_some();
        shown.into_iter().find(|index| is_it(&entries[*index]))
    }

    /// Loads a `[[plugins.load]]` entry.
    pub(super) fn load_declared(
        &self,
        shelf: &Shelf,
        declared: &LoadConfig,
    ) -> Result<usize, PluginLoadError> {
        let version = declared.version.as_ref();
        let linked = declared.library.as_ref().filter(|_| shelf.config.linked_only);
        if let Some(entry) = linked.and_then(|library| self.loaded_entry(shelf, library)) {
            return Ok(entry);
        }
        let found = match (&declared.library, &declared.path) {
            (Some(library), None) => shelf.find(library, version),
            (None, Some(_)) if shelf.config.linked_only => {
                Err(PluginLoadError::NotLinked { library: declared.shown() })
            }
            (None, Some(path)) => {
                found_at(path, shelf.config.allow_insecure_dirs).map(|found| vec![found])
            }
            _ => return Err(PluginLoadError::Entry),
        };
        match found {
            Ok(found) => self.load_first(shelf, &found, version),
            Err(error) => {
                let mut entry = Entry::declared(&declared.shown());
                entry.base.reason = Some(error.to_string());
                self.enter(shelf, entry);
                Err(error)
            }
        }
    }

    /// Loads the first of these files, unless its very content is loaded already. Where it is unversioned
    /// and turns out to be another version than the one that is asked for, or that is pinned, it is the
    /// next one's turn; if there is none that fits, the first one says why.
    fn load_first(
        &self,
        shelf: &Shelf,
        found: &[Found],
        version: Option<&VersionReq>,
    ) -> Result<usize, PluginLoadError> {
        let is_other = |one: &Found, error: &PluginLoadError| {
            let other = matches!(
                error,
                PluginLoadError::Version { .. } | PluginLoadError::PinMismatch { .. }
            );
            one.version.is_none() && version.is_some() && other
        };
        let mut first = None;
        for one in found {
            let (entry, result) = self.load_found(shelf, one, version)?;
            match result {
                Err(error) if is_other(one, &error) => {
                    first.get_or_insert((entry, error));
                }
                result => {
                    let index = self.enter(shelf, entry);
                    return result.map(|()| index);
                }
            }
        }
        let (entry, error) = first.expect("invariant: there is at least one file");
        self.enter(shelf, entry);
        Err(error)
    }

    /// Takes one file as far as it goes.
    fn load_found(
        &self,
        shelf: &Shelf,
        found: &Found,
        version: Option<&VersionReq>,
    ) -> Result<(Entry, Result<(), PluginLoadError>), PluginLoadError> {
        let pins = pins(&shelf.config, &found.library)?;
        let signers = Signers::of(&shelf.config)?;
        let mut entry = Entry::declared(&found.library);
        let checks = Checks {
            cache: &shelf.cache,
            haste: shelf.haste,
            pins: &pins,
            require_pins: shelf.config.require_pins,
            signers: &signers,
            version,
            start_budget: shelf.config.start_budget,
        };
        let result = entry.load(found, &checks);
        Ok((entry, result))
    }

    /// Puts an entry into the list, unless there is one like it, and on the shelf.
    fn enter(&self, shelf: &Shelf, entry: Entry) -> usize {
        let mut entries = self.entries();
        let same = entries.iter().position(|known| {
            known.base.library == entry.base.library
                && known.base.sha256 == entry.base.sha256
                && known.base.reason == entry.base.reason
                && known.loaded.is_some() == entry.loaded.is_some()
        });
        let index = same.unwrap_or(entries.len());
        if same.is_none() {
            entries.push(entry);
        }
        shelf.put(index);
        index
    }

    pub(super) fn not_in_library(
        &self,
        kind: PluginKind,
        id: &str,
        entry: usize,
    ) -> PluginLoadError {
        let entries = self.entries();
        let loaded = entries[entry].loaded.as_ref();
        let manifests: Vec<&Manifest> =
            loaded.iter().flat_map(|loaded| loaded.manifests()).collect();
        let of_kind = manifests.iter().filter(|one| one.kind == kind).map(|one| one.id.as_str());
        PluginLoadError::NotInLibrary {
            kind,
            id: id.into(),
            library: entries[entry].base.library.clone(),
            nearest: nearest(id, of_kind),
            offers: manifests.iter().map(|one| format!("{} {}", one.kind, one.id)).collect(),
        }
    }

    fn nearest_id(&self, shelf: &Shelf, kind: PluginKind, id: &str) -> Option<String> {
        let mut known = shelf.search.conventional_ids(kind);
        let entries = self.entries();
        let loaded = entries.iter().filter_map(|entry| entry.loaded.as_ref());
        let manifests = loaded.flat_map(|loaded| loaded.manifests());
        known.extend(manifests.filter(|one| one.kind == kind).map(|one| one.id.clone()));
        nearest(id, known.iter().map(String::as_str))
    }
}

/// The contents that the configuration allows for a library, however it is found.
fn pins(config: &PluginsConfig, library: &str) -> Result<Vec<Fingerprint>, PluginLoadError> {
    let of_library = config.load.iter().filter(|one| one.names(library));
    let pinned = of_library.filter_map(|one| one.sha256.as_deref());
    let read = |text: &str| {
        text.parse().map_err(|error| PluginLoadError::Pin { library: library.into(), error })
    };
    pinned.map(read).collect()
}

impl LoadConfig {
    fn shown(&self) -> String {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        self.library.clone().or(path).unwrap_or_default()
    }

    /// Whether it is about that library, by its name or by that of the file.
    pub fn names(&self, library: &str) -> bool {
        let of_path = self.path.as_deref().and_then(library_of);
        self.library.as_deref() == Some(library) || of_path.is_some_and(|(name, _)| name == library)
    }
}

/// A file that is named by its path.
pub(crate) fn found_at(path: &Path, allow_insecure: bool) -> Result<Found, PluginLoadError> {
    if !path.is_absolute() {
        return Err(PluginLoadError::Relative { path: path.to_owned() });
    }
    let (library, version) = library_of(path).ok_or_else(|| PluginLoadError::Unreadable {
        path: path.to_owned(),
        reason: format!(
            "the file's name must be {}<crate>-<version>{suffix} or {}<crate>{suffix}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_PREFIX,
            suffix = std::env::consts::DLL_SUFFIX
        ),
    })?;
    check_name(&library)?;
    let trust = if allow_insecure { Trust::Anyone } else { Trust::Configured };
    Ok(Found { library, version, path: path.to_owned(), trust })
}
