//! The libraries that are loaded or failed to, and the way of one file from found to checked.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Weak};

use semver::{Version, VersionReq};
use skymesh_plugin_api::abi::host::Library;
use skymesh_plugin_api::{Manifest, PluginKind};
use tracing::level_filters::LevelFilter;

use crate::cache::Cache;
#[cfg(all(unix, not(target_vendor = "apple")))]
use crate::elf;
use crate::error::PluginLoadError;
use crate::fingerprint::Fingerprint;
use crate::folder;
use crate::loader;
use crate::report::{PluginReport, PluginState};
use crate::search::Found;
use crate::signature::Signers;
use crate::supervision::Supervision;

/// Largest library file, in bytes: plugins have a few MB. A larger file is refused before it is
/// read, so that a wrong path can't fill the memory.
const LIBRARY_BYTES: u64 = 256 * 1024 * 1024;

/// One library file (or linked library), as far as it came.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What a report says of the library; `id` and `kind` stay empty.
    pub(crate) base: PluginReport,
    pub(crate) loaded: Option<Loaded>,
}

/// A checked library.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) library: Library,
    pub(crate) version: Version,
    pub(crate) linked: bool,
    plugins: Vec<Plugin>,
}

#[derive(Debug)]
struct Plugin {
    manifest: Manifest,
    /// A strategy was made of it once.
    created: bool,
    refusal: Option<String>,
    uses: Vec<Weak<Supervision>>,
}

/// What the checks of a file's content go by.
pub(crate) struct Checks<'a> {
    pub(crate) cache: &'a Cache,
    /// If not empty, the content must be one of these.
    pub(crate) pins: &'a [Fingerprint],
    pub(crate) require_pins: bool,
    pub(crate) signers: &'a Signers,
    pub(crate) version: Option<&'a VersionReq>,
}

impl Entry {
    /// Nothing is known yet but the name.
    pub(crate) fn declared(library: &str) -> Self {
        let base = PluginReport {
            library: library.to_owned(),
            id: None,
            kind: None,
            version: None,
            path: None,
            sha256: None,
            state: PluginState::Declared,
            reason: None,
            api_version: None,
        };
        Self { base, loaded: None }
    }

    /// A library that is part of this executable.
    pub(crate) fn linked(library: Library) -> Self {
        let mut entry = Self::declared(&library.manifest().library);
        entry.base.api_version = Some(skymesh_plugin_api::API_VERSION.into());
        entry.adopt(library, true);
        entry
    }

    /// Takes the file through all steps up to checked. On an error, the entry tells how far it came.
    ///
    /// # Errors
    /// [`PluginLoadError`] as each step says.
    pub(crate) fn load(
        &mut self,
        found: &Found,
        checks: &Checks<'_>,
    ) -> Result<(), PluginLoadError> {
        let result = self.steps(found, checks);
        if let Err(error) = &result {
            self.base.reason = Some(error.to_string());
        }
        result
    }

    fn steps(&mut self, found: &Found, checks: &Checks<'_>) -> Result<(), PluginLoadError> {
        let path = found
            .path
            .canonicalize()
            .map_err(|error| PluginLoadError::unreadable(&found.path, &error))?;
        self.base.path = Some(path.clone());
        folder::check(&path, found.trust)?;
        self.base.state = PluginState::Found;

        let bytes = read_once(&path)?;
        let fingerprint = Fingerprint::of(&bytes);
        self.base.sha256 = Some(fingerprint);
        check_pin(&path, fingerprint, checks)?;
        checks.signers.check(&path, &bytes)?;
        self.base.state = PluginState::Pinned;

        let copy = checks.cache.store(&found.library, fingerprint, &bytes)?;
        self.base.state = PluginState::Copied;

        check_extent(&path, &bytes)?;
        let opened = loader::open(&copy, &path, &found.library)?;
        self.base.api_version = Some(opened.api_version().into());
        self.base.state = PluginState::Opened;

        let library = opened.check(&path)?;
        check_manifest(&path, found, library, checks.version)?;
        library.attach(LevelFilter::current());
        self.adopt(library, false);
        Ok(())
    }

    fn adopt(&mut self, library: Library, linked: bool) {
        let version = version_of(library);
        self.base.version = Some(version.to_string());
        self.base.state = PluginState::Checked;
        let plugins = library.plugins().into_iter().map(|manifest| Plugin {
            manifest,
            created: false,
            refusal: None,
            uses: Vec::new(),
        });
        self.loaded = Some(Loaded { library, version, linked, plugins: plugins.collect() });
    }

    /// Whether it is part of this executable.
    pub(crate) fn is_linked(&self) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.linked)
    }

    /// The rows of a library that the configuration does not find any more. One that could never be
    /// loaded has none.
    pub(crate) fn report_retired(&self) -> Vec<PluginReport> {
        let rows = if self.loaded.is_some() { self.report() } else { Vec::new() };
        let retire = |row| PluginReport { state: PluginState::Retired, reason: None, ..row };
        rows.into_iter().map(retire).collect()
    }

    /// The rows of this library: one per plugin, or one if there is none to speak of.
    pub(crate) fn report(&self) -> Vec<PluginReport> {
        let Some(loaded) = &self.loaded else { return vec![self.base.clone()] };
        let row = |plugin: &Plugin| PluginReport {
            id: Some(plugin.manifest.id.clone()),
            kind: Some(plugin.manifest.kind),
            state: plugin.state(),
            reason: plugin.reason(),
            ..self.base.clone()
        };
        loaded.plugins.iter().map(row).collect()
    }

    /// Notes that a strategy was made of a plugin, and who watches over it.
    pub(crate) fn note_made(&mut self, kind: PluginKind, id: &str, used: &Arc<Supervision>) {
        for plugin in self.plugins(kind, id) {
            plugin.created = true;
            plugin.refusal = None;
            plugin.uses.retain(|one| one.strong_count() > 0);
            plugin.uses.push(Arc::downgrade(used));
        }
    }

    /// Notes that a plugin refused to be made, mostly for its configuration.
    pub(crate) fn note_refused(&mut self, kind: PluginKind, id: &str, reason: &str) {
        self.plugins(kind, id).for_each(|plugin| plugin.refusal = Some(reason.to_owned()));
    }

    fn plugins(&mut self, kind: PluginKind, id: &str) -> impl Iterator<Item = &mut Plugin> {
        let all = self.loaded.iter_mut().flat_map(|loaded| &mut loaded.plugins);
        all.filter(move |one| one.manifest.kind == kind && one.manifest.id == id)
    }
}

impl Loaded {
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.plugins.iter().map(|plugin| &plugin.manifest)
    }

    pub(crate) fn offers(&self, kind: PluginKind, id: &str) -> bool {
        self.manifests().any(|one| one.kind == kind && one.id == id)
    }
}

impl Plugin {
    fn reason(&self) -> Option<String> {
        let uses = self.uses.iter().filter_map(Weak::upgrade);
        let quarantined = uses.filter_map(|used| used.reason().map(str::to_owned)).next();
        self.refusal.clone().or(quarantined)
    }

    fn state(&self) -> PluginState {
        let mut uses = self.uses.iter().filter_map(Weak::upgrade).peekable();
        match (self.created, uses.peek().is_some()) {
            (_, true) if uses.any(|used| used.is_quarantined()) => PluginState::Quarantined,
            (_, true) => PluginState::Active,
            (true, false) => PluginState::Created,
            (false, false) => PluginState::Checked,
        }
    }
}

fn version_of(library: Library) -> Version {
    // Cargo guarantees semver; a hand-made manifest may say anything and then fits nothing.
    Version::parse(&library.manifest().version).unwrap_or(Version::new(0, 0, 0))
}

/// What is hashed, copied and loaded is what is read here; the file may change afterwards.
fn read_once(path: &Path) -> Result<Vec<u8>, PluginLoadError> {
    let refused = |reason: &str| {
        Err(PluginLoadError::Unreadable { path: path.to_owned(), reason: reason.to_owned() })
    };
    let unreadable = |error| PluginLoadError::unreadable(path, &error);
    let file = fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return refused("not a regular file");
    }
    let mut bytes = Vec::new();
    file.take(LIBRARY_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LIBRARY_BYTES {
        return refused("larger than any plugin: the limit LIBRARY_BYTES is 256 MiB");
    }
    Ok(bytes)
}

/// Before the system's loader has a look: it would end the process over a file that is cut short.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn check_extent(path: &Path, bytes: &[u8]) -> Result<(), PluginLoadError> {
    let path = path.to_owned();
    elf::check(bytes).map_err(|misfit| match misfit {
        elf::Misfit::Truncated { needs } => {
            PluginLoadError::Truncated { path, size: bytes.len() as u64, needs }
        }
        elf::Misfit::Foreign(reason) => {
            PluginLoadError::NotALibrary { path, reason: reason.to_owned() }
        }
    })
}

/// Other systems' loaders compare a library with its file by themselves.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn check_extent(_path: &Path, _bytes: &[u8]) -> Result<(), PluginLoadError> {
    Ok(())
}

fn check_pin(path: &Path, found: Fingerprint, checks: &Checks<'_>) -> Result<(), PluginLoadError> {
    let path = || path.to_owned();
    match checks.pins {
        [] if checks.require_pins => Err(PluginLoadError::NotPinned { path: path(), found }),
        [] => Ok(()),
        pins if pins.contains(&found) => Ok(()),
        [pinned, ..] => Err(PluginLoadError::PinMismatch { path: path(), found, pinned: *pinned }),
    }
}

fn check_manifest(
    path: &Path,
    found: &Found,
    library: Library,
    required: Option<&VersionReq>,
) -> Result<(), PluginLoadError> {
    let manifest = library.manifest();
    if !manifest.panic_unwind {
        return Err(PluginLoadError::PanicAbort { path: path.to_owned() });
    }
    let version = version_of(library);
    let misnamed = |named: String, says: String| {
        Err(PluginLoadError::Misnamed { path: path.to_owned(), named, says })
    };
    if manifest.library != found.library {
        return misnamed(found.library.clone(), manifest.library);
    }
    match (&found.version, required) {
        (Some(named), _) if *named != version => misnamed(named.to_string(), version.to_string()),
        (_, Some(required)) if !required.matches(&version) => Err(PluginLoadError::Version {
            path: path.to_owned(),
            found: version,
            required: required.clone(),
        }),
        _ => Ok(()),
    }
}
