//! Private copies of library files. What is loaded can't be changed after it was checked, nor be
//! pulled away under the running process by an overwrite in place; and a new file of an old name is
//! not mistaken by the system's loader for the one it has already.
//!
//! Copies that no process has used for a week are removed at a start. Whoever uses one holds a shared lock
//! on it for as long as the process lives.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::PluginLoadError;
use crate::fingerprint::Fingerprint;

/// How many digits of the SHA-256 a copy's name carries: 128 bits, so two files never share one.
const NAME_DIGITS: usize = 32;

/// Copies that were not used for so long are removed: long enough for a rollback to find its own.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The copies that this process uses, locked. Libraries stay mapped, so these stay, too.
static USED: LazyLock<Mutex<HashMap<PathBuf, File>>> = LazyLock::new(Mutex::default);

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
        if is_in_use(&copy, bytes.len()) {
            return Ok(copy);
        }
        if let Some(there) = used(&copy).filter(|there| is_of(there, bytes)) {
            keep(&copy, there);
            return Ok(copy);
        }
        let number = UNFINISHED.fetch_add(1, Relaxed);
        let unfinished = format!("{library}-{digits}.{}-{number}.new", std::process::id());
        let unfinished = self.folder.join(unfinished);
        let written = File::create(&unfinished).and_then(|mut file| {
            file.write_all(bytes)?;
            // Where a file system has no locks, its age alone protects it.
            let _ = file.lock_shared();
            fs::rename(&unfinished, &copy)?;
            Ok(file)
        });
        keep(&copy, written.map_err(|error| self.error(&error))?);
        Ok(copy)
    }

    /// Removes what no process has used for a week. What can't be removed stays; nothing depends on it.
    pub(crate) fn sweep(&self) {
        if !self.folder.metadata().is_ok_and(|metadata| is_private(&metadata)) {
            return;
        }
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for path in files.map(|file| file.path()).filter(|path| is_copy(path)) {
            if let Ok(file) = File::open(&path)
                && is_old(&file)
                && file.try_lock().is_ok()
                // Whoever took it into use before the lock has touched it.
                && is_old(&file)
            {
                let _ = fs::remove_file(&path);
            }
        }
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

/// Whether this process has compared the copy already, and it is still the file that is there.
fn is_in_use(copy: &Path, len: usize) -> bool {
    let used = USED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = used.get(copy).and_then(|file| file.metadata().ok());
    known
        .zip(fs::metadata(copy).ok())
        .is_some_and(|(known, there)| there.len() == len as u64 && is_same_file(&known, &there))
}

#[cfg(unix)]
fn is_same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    false
}

/// A copy that is there, locked and noted as used now.
fn used(copy: &Path) -> Option<File> {
    let file = File::open(copy).ok()?;
    let _ = file.lock_shared();
    let _ = file.set_modified(SystemTime::now());
    // A sweep may have removed it just before.
    copy.exists().then_some(file)
}

/// Compared in full: an earlier crash of the machine may have left half a file.
fn is_of(mut file: &File, bytes: &[u8]) -> bool {
    let mut there = Vec::with_capacity(bytes.len());
    file.read_to_end(&mut there).is_ok() && there == bytes
}

fn keep(copy: &Path, file: File) {
    USED.lock().unwrap_or_else(PoisonError::into_inner).insert(copy.to_owned(), file);
}

/// By its name: the digits of its content, or an unfinished one.
fn is_copy(path: &Path) -> bool {
    let Some(stem) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let unfinished = stem.strip_suffix(".new").and_then(|stem| stem.rsplit_once('.'));
    let stem = match unfinished {
        Some((stem, _)) => Some(stem),
        None => stem.strip_suffix(std::env::consts::DLL_SUFFIX),
    };
    let digits = stem.and_then(|stem| stem.rsplit_once('-')).map(|(_, digits)| digits);
    digits.is_some_and(|digits| {
        digits.len() == NAME_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

fn is_old(file: &File) -> bool {
    let changed = file.metadata().and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > KEPT))
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

    #[test]
    fn copies_that_nobody_has_used_for_a_week_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cache");
        let cache = Cache::new(Some(&folder));
        let store = |code: &[u8]| cache.store("lib_x", Fingerprint::of(code), code).unwrap();
        let copies = [store(b"used"), store(b"new"), store(b"old"), store(b"again")];
        let stranger = folder.join("notes.txt");
        fs::write(&stranger, "mine").unwrap();
        let age = |path: &Path| {
            let then = SystemTime::now() - KEPT - Duration::from_secs(60);
            File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        };
        // As another process, that has ended, would have left them.
        let leave = |path: &Path| drop(USED.lock().unwrap().remove(path));
        copies[1..].iter().for_each(|path| leave(path));
        [&copies[0], &copies[2], &copies[3], &stranger].iter().for_each(|path| age(path));
        assert_eq!(store(b"again"), copies[3], "it is used anew");
        leave(&copies[3]);
        cache.sweep();
        let there = copies.each_ref().map(|path| path.exists());
        assert_eq!(there, [true, true, false, true], "used, new, old, used again");
        assert!(stranger.exists());
    }
}
