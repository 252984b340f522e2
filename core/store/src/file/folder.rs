//! The folder of a file store: made for its owner only, and locked for one process. It knows which
//! files there are, not what is in them.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;

const LOCK: &str = "lock";
const DATABASE: &str = "skymesh.redb";
/// A database that is not finished: its first commit has not happened.
const UNFINISHED: &str = "skymesh.redb.new";

/// A folder that this process alone uses, for as long as this value lives: the system gives the lock
/// free when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(super) fn lock(path: &Path) -> Result<Self, OpenError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(unusable(path))?;
        let lock_path = path.join(LOCK);
        let mut lock = open(OpenOptions::new().create(true), &lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder =
                    lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(OpenError::InUse { folder: path.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(&lock_path)(source)),
        }
        // Only for who reads the refusal; nothing depends on it.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// An empty file, only for its owner, to make a database in.
    pub(super) fn unfinished(&self) -> Result<PathBuf, OpenError> {
        let path = self.path.join(UNFINISHED);
        open(OpenOptions::new().create(true).truncate(true), &path)?;
        Ok(path)
    }

    /// The database is made: it gets its name, for good.
    pub(super) fn finish(&self, unfinished: &Path) -> Result<(), OpenError> {
        let renamed = std::fs::rename(unfinished, self.database());
        renamed.and_then(|()| self.sync()).map_err(unusable(&self.path))
    }

    /// The names in the folder, and its own in the folder above, are on the disk.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        let above = self.path.canonicalize()?;
        above.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
    }
}

fn open(options: &mut OpenOptions, path: &Path) -> Result<File, OpenError> {
    options.read(true).write(true).mode(0o600).open(path).map_err(unusable(path))
}

pub(super) fn unusable(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    |source| OpenError::Unusable { path, source }
}
