//! Opens a library file and checks that it is a plugin of ours, before any of its code but its
//! initialisers runs. The only unsafe code of this crate, and the only use of abi_stable beside
//! plugin-api's.
//!
//! What this is not: a decision whether the file may be opened. By then its name, place, owner and
//! content have been judged, and `path` is our own private copy of it.

use std::error::Error;
use std::path::Path;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{AbiHeaderRef, LibHeader, RootModule};
use abi_stable::type_layout::TypeLayout;
use skymesh_plugin_api::abi::entry::entry_symbol;
use skymesh_plugin_api::abi::host::Library;
use skymesh_plugin_api::abi::module::PluginModuleRef;

use crate::error::PluginLoadError;

/// Major versions of plugin-api that a library may be of instead; for the message.
const OTHER_MAJORS: std::ops::RangeInclusive<u32> = 2..=9;

/// A library that is mapped for the rest of the process's life.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    header: &'static LibHeader,
}

/// Maps the private copy `copy` of the library `name`. `origin` is named in messages.
///
/// # Errors
/// [`PluginLoadError::NotALibrary`], [`PluginLoadError::NotAPlugin`],
/// [`PluginLoadError::ApiVersion`].
#[allow(unsafe_code)]
pub(crate) fn open(copy: &Path, origin: &Path, name: &str) -> Result<Opened, PluginLoadError> {
    // SAFETY: opening runs the library's initialisers: the code of whoever wrote it, whom the
    // configuration trusts as it trusts the executable. That is decided before, and can't be
    // checked here.
    let opened = unsafe { open_now(copy) };
    let library = opened.map_err(|error| PluginLoadError::NotALibrary {
        path: origin.to_owned(),
        reason: shortened(
            &error.source().map_or_else(|| error.to_string(), ToString::to_string),
            copy,
        ),
    })?;
    let symbol = entry_symbol(name);
    // SAFETY: the symbol's name is ours, and under it plugin-api's macro exports a static header,
    // to which a library's symbol is a pointer. Its first field is a magic number, which `upgrade`
    // checks before anything else is believed.
    let header = unsafe { library.get::<AbiHeaderRef>(symbol.as_bytes()).map(|found| *found) };
    let of_other_major =
        || OTHER_MAJORS.into_iter().find(|major| has_major(&library, name, *major));
    let opened = match header {
        Ok(header) => header.upgrade().map(|header| Opened { header }).map_err(|_| {
            let reason = "its header is of another abi_stable; rebuild it with this plugin-api";
            PluginLoadError::NotALibrary { path: origin.to_owned(), reason: reason.into() }
        }),
        Err(_) => Err(match of_other_major() {
            Some(major) => api_version(origin, &format!("{major}.x")),
            None => PluginLoadError::NotAPlugin {
                path: origin.to_owned(),
                library: name.to_owned(),
                symbol,
            },
        }),
    };
    // Never unloaded: threads, thread-locals and statics of the library may outlive any handle.
    std::mem::forget(library);
    opened
}

#[cfg(unix)]
type SystemLibrary = libloading::os::unix::Library;
#[cfg(not(unix))]
type SystemLibrary = libloading::Library;

/// # Safety
/// As `libloading`'s: the library's initialisers run.
#[cfg(unix)]
#[allow(unsafe_code)]
unsafe fn open_now(path: &Path) -> Result<SystemLibrary, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // NOW: a missing symbol fails here and not at the first message. LOCAL: equal names in two
    // libraries do not meet.
    // SAFETY: the caller's promise.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
}

/// # Safety
/// As `libloading`'s: the library's initialisers run.
#[cfg(not(unix))]
#[allow(unsafe_code)]
unsafe fn open_now(path: &Path) -> Result<SystemLibrary, libloading::Error> {
    // SAFETY: the caller's promise.
    unsafe { libloading::Library::new(path) }
}

#[allow(unsafe_code)]
fn has_major(library: &SystemLibrary, name: &str, major: u32) -> bool {
    let symbol = format!("skymesh_plugin_v{major}_{name}");
    // SAFETY: only its presence is asked; the address is not followed.
    unsafe { library.get::<*const u8>(symbol.as_bytes()).is_ok() }
}

/// The system's words without our private copy's path, which would only puzzle.
fn shortened(reason: &str, copy: &Path) -> String {
    let prefix = format!("{}: ", copy.display());
    reason.strip_prefix(&prefix).unwrap_or(reason).to_owned()
}

impl Opened {
    /// The version of plugin-api that the library was built with.
    pub(crate) fn api_version(&self) -> &'static str {
        self.header.version_strings().version.as_str()
    }

    /// Checks version and layout, then asks the library for its module.
    ///
    /// # Errors
    /// [`PluginLoadError::ApiVersion`], [`PluginLoadError::Layout`].
    pub(crate) fn check(self, origin: &Path) -> Result<Library, PluginLoadError> {
        let ours = PluginModuleRef::VERSION_STRINGS.version.as_str();
        if major(self.api_version()) != major(ours) {
            return Err(api_version(origin, self.api_version()));
        }
        let differs = |differences| PluginLoadError::Layout {
            path: origin.to_owned(),
            api: self.api_version().to_owned(),
            differences,
        };
        let theirs =
            self.header.layout().ok_or_else(|| differs(vec!["it tells no layout".into()]))?;
        compatible(<PluginModuleRef as StableAbi>::LAYOUT, theirs).map_err(differs)?;
        self.module().map_err(|reason| differs(vec![reason]))
    }

    /// The one place where a checked layout becomes a typed reference.
    #[allow(unsafe_code)]
    fn module(self) -> Result<Library, String> {
        // SAFETY: `compatible` found every field that both sides have to be the same, in the same
        // order. Fields that only one side has come after the last prefix field of a prefix type,
        // and their accessors ask how many fields the value really has.
        let module =
            unsafe { self.header.init_root_module_with_unchecked_layout::<PluginModuleRef>() };
        module.map(Library::new).map_err(|error| first_line(&error.to_string()))
    }
}

/// Whether a plugin of that layout can be used: one built against an equal or a newer minor version
/// of plugin-api (abi_stable's own check), or against an older one (the same check with the sides
/// swapped, for "has at least our fields" then holds the other way round).
///
/// # Errors
/// What differs, without abi_stable's pages of types.
fn compatible(ours: &'static TypeLayout, theirs: &'static TypeLayout) -> Result<(), Vec<String>> {
    let Err(error) = check_layout_compatibility(ours, theirs) else { return Ok(()) };
    if check_layout_compatibility(theirs, ours).is_ok() {
        return Ok(());
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim);
    let mut differences: Vec<String> = lines
        .filter_map(|line| line.strip_prefix("Error:"))
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    differences.dedup();
    if differences.is_empty() {
        differences.push("its types".into());
    }
    Err(differences)
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it failed").to_owned()
}

fn api_version(origin: &Path, plugin: &str) -> PluginLoadError {
    PluginLoadError::ApiVersion {
        path: origin.to_owned(),
        plugin: plugin.to_owned(),
        host: skymesh_plugin_api::API_VERSION.to_owned(),
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod layout_tests;
