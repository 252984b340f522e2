//! The libraries that are loaded or failed to, and the way of one file from found to checked.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use semver::{Version, VersionReq};
use skymesh_plugin_api::abi::host::Library;
use skymesh_plugin_api::{Manifest, PluginKind};
use tracing::level_filters::LevelFilter;

use crate::cache::Cache;
use crate::clock;
#[cfg(all(unix, not(target_vendor = "apple")))]
use crate::elf;
use crate::error::PluginLoadError;
use crate::fingerprint::Fingerprint;
use crate::folder;
use crate::haste::Haste;
use crate::loader;
use crate::patience::in_time;
use crate::report::{PluginReport, PluginState};
use crate::search::Found;
use crate::signature::Signers;
use crate::supervision::{LastWords, Supervision};

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
    /// What one of them did at its end, until there is another.
    last_words: LastWords,
}

/// What the checks of a file's content go by.
pub(crate) struct Checks<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) haste: Haste,
    /// If not empty, the content must be one of these.
    pub(crate) pins: &'a [Fingerprint],
    pub(crate) require_pins: bool,
    pub(crate) signers: &'a Signers,
    pub(crate) version: Option<&'a VersionReq>,
    /// How long it may take to be opened.
    pub(crate) start_budget: Duration,
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

        let copy = checks.haste.run(|| self.copy(&path, found, checks))?;
        let library = self.open(copy, &path, found, checks.start_budget)?;
        check_manifest(&path, found, library, checks.version)?;
        library.attach(LevelFilter::current());
        self.adopt(library, false);
        Ok(())
    }

    /// All that is done with the file's content before it is opened.
    fn copy(
        &mut self,
        path: &Path,
        found: &Found,
        checks: &Checks<'_>,
    ) -> Result<PathBuf, PluginLoadError> {
        let bytes = read_once(path)?;
        let fingerprint = Fingerprint::of(&bytes);
        self.base.sha256 = Some(fingerprint);
        check_pin(path, fingerprint, checks)?;
        checks.signers.check(path, &bytes)?;
        self.base.state = PluginState::Pinned;

        let copy = checks.cache.store(&found.library, fingerprint, &bytes)?;
        self.base.state = PluginState::Copied;

        check_extent(path, &bytes)?;
        Ok(copy)
    }

    /// Has the file opened and checked, which runs code of its author's.
    fn open(
        &mut self,
        copy: PathBuf,
        path: &Path,
        found: &Found,
        start_budget: Duration,
    ) -> Result<Library, PluginLoadError> {
        let (origin, name) = (path.to_owned(), found.library.clone());
        let work = move || {
            let opened = loader::open(&copy, &origin, &name)?;
            Ok((opened.api_version(), opened.check(&origin)))
        };
        let (api_version, checked) = in_time(start_budget, work).map_err(|no_answer| {
            let what = path.display().to_string();
            PluginLoadError::Overdue { what, reason: no_answer.to_string() }
        })??;
        self.base.api_version = Some(api_version.into());
        self.base.state = PluginState::Opened;
        checked
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
            last_words: LastWords::default(),
        });
        self.loaded = Some(Loaded { library, version, linked, plugins: plugins.collect() });
    }

    /// Whether it is part of this executable.
    pub(crate) fn is_linked(&self) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.linked)
    }

    /// The rows of a library that the configuration does not find any more, with nothing but what its
    /// plugins did at their end. One that could never be loaded has none.
    pub(crate) fn report_retired(&self) -> Vec<PluginReport> {
        let plugins = self.loaded.iter().flat_map(|loaded| &loaded.plugins);
        let row = |plugin: &Plugin| {
            let (state, reason) = (PluginState::Retired, plugin.last_words());
            PluginReport { state, reason, ..self.row(plugin) }
        };
        plugins.map(row).collect()
    }

    /// The rows of this library: one per plugin, or one if there is none to speak of.
    pub(crate) fn report(&self) -> Vec<PluginReport> {
        let Some(loaded) = &self.loaded else { return vec![self.base.clone()] };
        loaded.plugins.iter().map(|plugin| self.row(plugin)).collect()
    }

    fn row(&self, plugin: &Plugin) -> PluginReport {
        PluginReport {
            id: Some(plugin.manifest.id.clone()),
            kind: Some(plugin.manifest.kind),
            state: plugin.state(),
            reason: plugin.reason(),
            ..self.base.clone()
        }
    }

    /// Notes that a strategy was made of a plugin, and who watches over it.
    pub(crate) fn note_made(&mut self, kind: PluginKind, id: &str, used: &Arc<Supervision>) {
        for plugin in self.plugins(kind, id) {
            plugin.created = true;
            plugin.refusal = None;
            plugin.uses.retain(|one| one.strong_count() > 0);
            plugin.uses.push(Arc::downgrade(used));
            *plugin.last_words.lock().unwrap_or_else(PoisonError::into_inner) = None;
            used.set_last_words(&plugin.last_words);
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
        // The newest first: what was exchanged may live on in the views that it made.
        let uses: Vec<_> = self.uses.iter().rev().filter_map(Weak::upgrade).collect();
        let quarantined = uses.iter().find_map(|used| used.reason().map(str::to_owned));
        let now_ns = clock::now_ns();
        let trouble = || uses.iter().find_map(|used| used.trouble(now_ns));
        self.refusal.clone().or(quarantined).or_else(trouble).or_else(|| self.last_words())
    }

    fn last_words(&self) -> Option<String> {
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> PluginState {
        let uses: Vec<_> = self.uses.iter().filter_map(Weak::upgrade).collect();
        let now_ns = clock::now_ns();
        match (self.created, uses.is_empty()) {
            (_, false) if uses.iter().any(|used| used.is_quarantined()) => PluginState::Quarantined,
            (_, false) if uses.iter().any(|used| used.trouble(now_ns).is_some()) => {
                PluginState::Degraded
            }
            (_, false) => PluginState::Active,
            (true, true) => PluginState::Created,
            (false, true) => PluginState::Checked,
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

/// Before the system's loader has a look: it would end the process over a file that is cut short or damaged.
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
        elf::Misfit::Damaged(what) => PluginLoadError::Damaged { path, what },
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
