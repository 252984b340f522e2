//! From a library's name and version requirement to a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use skymesh_plugin_api::PluginKind;

use crate::error::{PluginLoadError, nearest};
use crate::folder::Trust;

/// A file that may be the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) library: String,
    /// By the file's name.
    pub(crate) version: Option<Version>,
    pub(crate) path: PathBuf,
    pub(crate) trust: Trust,
}

/// The folders that are searched, in order.
#[derive(Debug, Clone)]
pub(crate) struct SearchPath {
    folders: Vec<(PathBuf, Trust)>,
}

impl SearchPath {
    /// Those beside the running executable (where cargo puts freshly built libraries; `deps` first,
    /// for the copies outside of it may be stale), then the configured ones.
    pub(crate) fn new(configured: &[PathBuf], allow_insecure: bool) -> Self {
        let trusted = |trust| if allow_insecure { Trust::Anyone } else { trust };
        let mut folders: Vec<(PathBuf, Trust)> = Vec::new();
        let executable = std::env::current_exe().and_then(|path| path.canonicalize());
        if let Some(beside) = executable.ok().as_deref().and_then(Path::parent) {
            let places = [beside.join("deps"), beside.join("../deps"), beside.to_owned()];
            folders.extend(places.map(|place| (place, trusted(Trust::BesideExecutable))));
        }
        folders.extend(configured.iter().map(|dir| (dir.clone(), trusted(Trust::Configured))));
        let mut seen = Vec::new();
        folders.retain_mut(|(folder, _)| {
            // A folder that does not exist stays as it is written, to be named in messages.
            if let Ok(canonical) = folder.canonicalize() {
                *folder = canonical;
            }
            let new = !seen.contains(folder);
            seen.push(folder.clone());
            new
        });
        Self { folders }
    }

    /// All folders, for messages. Those beside the executable that do not exist are left out.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let named = self
            .folders
            .iter()
            .filter(|(folder, trust)| *trust != Trust::BesideExecutable || folder.is_dir());
        named.map(|(folder, _)| folder.clone()).collect()
    }

    /// The files that may be the library, at least one, in the order of preference: of the first folder
    /// that has a fitting one, the highest version; then those of the next. An unversioned name counts as
    /// lowest of its folder, and fits for now: what it is shows once it is open, and where it does not
    /// fit then, it is the next one's turn.
    ///
    /// # Errors
    /// [`PluginLoadError::Name`], [`PluginLoadError::LibraryNotFound`].
    pub(crate) fn find(
        &self,
        library: &str,
        required: Option<&VersionReq>,
    ) -> Result<Vec<Found>, PluginLoadError> {
        check_name(library)?;
        let (mut all, mut others) = (Vec::new(), Vec::new());
        for (folder, trust) in &self.folders {
            let mut fitting: Vec<Found> = Vec::new();
            for path in candidates(folder, library) {
                let Some((_, version)) = split_name(&path, library) else { continue };
                let fits = match (&version, required) {
                    (Some(version), Some(required)) => required.matches(version),
                    _ => true,
                };
                if !fits {
                    others.extend(version);
                } else {
                    fitting.push(Found { library: library.into(), version, path, trust: *trust });
                }
            }
            fitting.sort_by(|a, b| b.version.cmp(&a.version));
            all.append(&mut fitting);
        }
        if !all.is_empty() {
            return Ok(all);
        }
        others.sort();
        others.dedup();
        Err(PluginLoadError::LibraryNotFound {
            library: library.into(),
            version: required.cloned(),
            searched: self.folders(),
            nearest: if others.is_empty() { self.nearest(library) } else { None },
            others,
        })
    }

    /// The library with a plugin of an id like the name, or like what it says after the kind.
    fn nearest(&self, wanted: &str) -> Option<String> {
        let prefixes = PluginKind::ALL.map(|kind| conventional_library(kind, ""));
        let id = prefixes.iter().find_map(|prefix| wanted.strip_prefix(prefix)).unwrap_or(wanted);
        let all = self.conventional();
        let named = || all.iter().filter_map(|name| name.split_once('/'));
        let nearest = nearest(id, named().map(|(_, id)| id))?;
        named().find(|(_, its)| *its == nearest).map(|(library, _)| library.to_owned())
    }

    /// All files, of any folder, that may be a version of the library.
    pub(crate) fn files_of(&self, library: &str) -> Vec<PathBuf> {
        let all = self.folders.iter().flat_map(|(folder, _)| candidates(folder, library));
        all.filter(|path| split_name(path, library).is_some()).collect()
    }

    /// `library/id` of every file that lies in a folder under the name of a kind and an id.
    pub(crate) fn conventional(&self) -> BTreeSet<String> {
        let named = |kind: PluginKind| {
            let prefix = conventional_library(kind, "");
            let all: Vec<PathBuf> =
                self.folders.iter().flat_map(|(folder, _)| candidates(folder, &prefix)).collect();
            all.into_iter().filter_map(move |path| {
                let (library, _) = library_of(&path)?;
                let id = library.strip_prefix(&prefix)?;
                Some(format!("{library}/{id}"))
            })
        };
        PluginKind::ALL.into_iter().flat_map(named).collect()
    }

    /// The ids of the plugins of a kind that the folders hold by conventional names; for hints.
    pub(crate) fn conventional_ids(&self, kind: PluginKind) -> Vec<String> {
        let prefix = conventional_library(kind, "");
        let all = self.folders.iter().flat_map(|(folder, _)| candidates(folder, &prefix));
        let mut ids: Vec<String> = all
            .filter_map(|path| {
                let (library, _) = library_of(&path)?;
                library.strip_prefix(&prefix).map(str::to_owned)
            })
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

/// The library that holds the plugin by convention: `skymesh_selector_round_robin`.
pub(crate) fn conventional_library(kind: PluginKind, id: &str) -> String {
    format!("skymesh_{kind}_{id}")
}

/// # Errors
/// [`PluginLoadError::Name`] for a name that is no crate's, such as one with a slash in it.
pub(crate) fn check_name(library: &str) -> Result<(), PluginLoadError> {
    let of_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if library.is_empty() || !library.bytes().all(of_word) {
        return Err(PluginLoadError::Name { name: library.into() });
    }
    Ok(())
}

/// Files of a folder whose name begins like the library's. An unreadable folder has none.
fn candidates(folder: &Path, library: &str) -> Vec<PathBuf> {
    let start = format!("{}{library}", std::env::consts::DLL_PREFIX);
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(&start) && name.ends_with(std::env::consts::DLL_SUFFIX)
    });
    let mut paths: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The crate and version that a file's name tells: `lib<crate>-<version>.so` or `lib<crate>.so`.
pub(crate) fn library_of(path: &Path) -> Option<(String, Option<Version>)> {
    let name = path.file_name()?.to_str()?;
    let stem = name
        .strip_prefix(std::env::consts::DLL_PREFIX)?
        .strip_suffix(std::env::consts::DLL_SUFFIX)?;
    match stem.split_once('-') {
        Some((library, version)) => Some((library.into(), Some(Version::parse(version).ok()?))),
        None => Some((stem.into(), None)),
    }
}

fn split_name(path: &Path, library: &str) -> Option<(String, Option<Version>)> {
    library_of(path).filter(|(name, _)| name == library)
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};

    use super::*;

    fn file(folder: &Path, name: &str) {
        write(folder.join(name), "").unwrap();
    }

    #[test]
    fn the_highest_fitting_version_of_the_first_folder_wins() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("1"), root.path().join("2"));
        create_dir(&first).unwrap();
        create_dir(&second).unwrap();
        for name in ["libx_a-0.4.1.so", "libx_a-0.4.10.so", "libx_a.so", "libx_a-old.so"] {
            file(&first, name);
        }
        for name in ["libx_a-0.9.0.so", "libx_ab-0.4.99.so", "libx_b.so"] {
            file(&second, name);
        }
        let path = SearchPath { folders: vec![(first, Trust::Anyone), (second, Trust::Anyone)] };
        let cases = [
            ("x_a", None, "libx_a-0.4.10.so libx_a-0.4.1.so libx_a.so libx_a-0.9.0.so"),
            ("x_a", Some("^0.4"), "libx_a-0.4.10.so libx_a-0.4.1.so libx_a.so"),
            ("x_a", Some("=0.4.1"), "libx_a-0.4.1.so libx_a.so"),
            // The unversioned file is tried before another folder: it may be anything.
            ("x_a", Some("^0.9"), "libx_a.so libx_a-0.9.0.so"),
            ("x_b", Some("^1"), "libx_b.so"),
        ];
        for (library, required, expected) in cases {
            let required = required.map(|text| VersionReq::parse(text).unwrap());
            let found = path.find(library, required.as_ref()).unwrap();
            let names: Vec<_> = found.iter().map(|one| one.path.file_name().unwrap()).collect();
            assert_eq!(names, expected.split(' ').collect::<Vec<_>>(), "{library} {required:?}");
        }
        let error = path.find("x_ab", Some(&VersionReq::parse("^2").unwrap())).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`x_ab` of version `^2` not found"), "{text}");
        assert!(text.contains("there are only 0.4.99"), "{text}");
        for wrong in ["", "../x", "x-1", "/abs", "X"] {
            let error = path.find(wrong, None).unwrap_err();
            assert!(matches!(error, PluginLoadError::Name { .. }), "{wrong}");
        }
    }

    #[test]
    fn conventional_names_tell_the_ids() {
        let root = tempfile::tempdir().unwrap();
        for name in ["libskymesh_selector_p2c.so", "libskymesh_codec_json.so"] {
            file(root.path(), name);
        }
        let path = SearchPath { folders: vec![(root.path().into(), Trust::Anyone)] };
        assert_eq!(path.conventional_ids(PluginKind::Selector), ["p2c"]);
        for name in ["libskymesh_codec_json-0.4.1.so", "libskymesh_agent.so", "libx.so"] {
            file(root.path(), name);
        }
        let named: Vec<String> = path.conventional().into_iter().collect();
        assert_eq!(named, ["skymesh_codec_json/json", "skymesh_selector_p2c/p2c"]);
        let cases = [
            ("p2c", Some("skymesh_selector_p2c")),
            ("jsn", Some("skymesh_codec_json")),
            ("skymesh_codec_jsn", Some("skymesh_codec_json")),
            ("skymesh_selector_quality", None),
        ];
        for (library, nearest) in cases {
            let text = path.find(library, None).unwrap_err().to_string();
            let hint = text.split_once("; did you mean `").map(|(_, hint)| hint);
            assert_eq!(hint, nearest.map(|name| format!("{name}`?")).as_deref(), "{text}");
        }
    }
}
