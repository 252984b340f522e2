//! Private copies of library files. What is loaded can't be changed after it was checked, nor be
//! pulled away under the running process by an overwrite in place; and a new file of an old name is
//! not mistaken by the system's loader for the one it has already.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::PluginLoadError;
use crate::fingerprint::Fingerprint;

/// How many digits of the SHA-256 a copy's name carries: 128 bits, so two files never share one.
const NAME_DIGITS: usize = 32;

/// Tells the unfinished copies of threads of one process apart.
static UNFINISHED: AtomicU64 = AtomicU64::new(0);

/// A folder that only this user can enter.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// In `folder`, or in a folder of this user's in the temporary folder. Made when first used.
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.map_or_else(default_folder, Path::to_owned) }
    }

    /// The copy of `bytes`, made now unless it is there already.
    ///
    /// # Errors
    /// [`PluginLoadError::Cache`].
    pub(crate) fn store(
        &self,
        library: &str,
        fingerprint: Fingerprint,
        bytes: &[u8],
    ) -> Result<PathBuf, PluginLoadError> {
        self.make_folder()?;
        let digits = &fingerprint.to_string()[..NAME_DIGITS];
        let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let copy = self.folder.join(format!("{prefix}{library}-{digits}{suffix}"));
        // Compared in full: an earlier crash of the machine may have left half a file.
        if fs::read(&copy).is_ok_and(|there| there == bytes) {
            return Ok(copy);
        }
        let number = UNFINISHED.fetch_add(1, Relaxed);
        let unfinished = format!("{library}-{digits}.{}-{number}.new", std::process::id());
        let unfinished = self.folder.join(unfinished);
        let written = fs::File::create(&unfinished)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&unfinished, &copy));
        written.map_err(|error| self.error(&error))?;
        Ok(copy)
    }

    fn make_folder(&self) -> Result<(), PluginLoadError> {
        make_private(&self.folder).map_err(|error| self.error(&error))?;
        let canonical = self.folder.canonicalize().map_err(|error| self.error(&error))?;
        let metadata = canonical.metadata().map_err(|error| self.error(&error))?;
        if !metadata.is_dir() || !is_private(&metadata) {
            return Err(PluginLoadError::Cache {
                folder: self.folder.clone(),
                reason: "must be a folder of this user's with mode 0700".into(),
            });
        }
        Ok(())
    }

    fn error(&self, error: &std::io::Error) -> PluginLoadError {
        PluginLoadError::Cache { folder: self.folder.clone(), reason: error.to_string() }
    }
}

#[cfg(unix)]
fn default_folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("skymesh-plugins-{user}"))
}

#[cfg(not(unix))]
fn default_folder() -> PathBuf {
    std::env::temp_dir().join("skymesh-plugins")
}

#[cfg(unix)]
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.exists() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn is_private(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.mode() & 0o077 == 0 && metadata.uid() == rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn is_private(_: &fs::Metadata) -> bool {
    true
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn copies_are_private_shared_by_content_and_repaired() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let cache = Cache::new(Some(&folder));
        let print = Fingerprint::of(b"code");
        let copy = cache.store("lib_x", print, b"code").unwrap();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(&copy, "co").unwrap();
        assert_eq!(cache.store("lib_x", print, b"code").unwrap(), copy);
        assert_eq!(fs::read(&copy).unwrap(), b"code");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no unfinished file is left");

        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        let error = cache.store("lib_x", print, b"code").unwrap_err().to_string();
        assert!(error.contains("mode 0700") && error.contains("plugins.cache_dir"), "{error}");
    }
}
