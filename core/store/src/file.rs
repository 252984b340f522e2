//! A store in a folder of this host: durable before it is acknowledged, one process at a time.
//! `folder.rs` is the folder and its lock, `database.rs` the file in it, `clerk.rs` the thread that
//! commits. What is kept is small (see the crate's documentation), so opening checks all of it.

mod clerk;
mod database;
mod folder;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::{Entries, Store, StoreError, StoreFuture, Table, Write, check_limits};
use clerk::{Desk, Job};
use folder::Folder;

/// Keeps its promises through `kill -9` and, as far as the disk does what it is told, through the
/// loss of power: a commit is on the disk (`fsync`) before its future is ready.
///
/// Commits that wait for the same turn of the disk share one transaction, so many writers together
/// are as fast as the disk allows ([group commit](https://dl.acm.org/doi/10.1145/971699.602261)).
/// A thread of its own does all that blocks. If the disk fails, commits fail and the file is opened
/// anew for the next one: a disk that is full and then is not needs no restart.
///
/// Dropping it waits for what was asked for, and gives the folder free.
#[derive(Debug)]
pub struct FileStore {
    desk: Arc<Desk>,
    clerk: Option<JoinHandle<()>>,
    path: PathBuf,
}

/// Why a folder can't be used as a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder or a file in it can't be made, read or written.
    #[error("data folder: can't use `{path}`: {source}; {}name another folder", writable(.source))]
    Unusable {
        /// What was to be made or opened.
        path: PathBuf,
        /// Why that failed.
        source: io::Error,
    },
    /// Another nameserver uses the folder.
    #[error(
        "data folder `{folder}` is in use by another nameserver{}; stop that one, or give this one a folder of its own",
        by_process(*.holder)
    )]
    InUse {
        /// Which folder.
        folder: PathBuf,
        /// The other one's process id, if it could be read.
        holder: Option<u32>,
    },
    /// A later version of skymesh has written it.
    #[error(
        "`{path}` has format {found}, and this version knows formats up to {known}; start the later version that wrote it, or name another folder"
    )]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The file can't be read as what was written.
    #[error(
        "`{path}` is damaged: {reason}; restore it from a copy, or move it away: then overrides are forgotten and terms begin anew, so stop everything that relies on terms first"
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What else helps than another folder.
fn writable(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "make it writable, or ",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room, or ",
        _ => "",
    }
}

fn by_process(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |id| format!(" (process {id})"))
}

impl FileStore {
    /// Opens the store in `folder`, which is made (for its owner only) if it is not there. Blocks:
    /// it reads and checks the whole file.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed then.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        let folder = Folder::lock(folder.as_ref())?;
        let path = folder.database();
        let desk = Arc::new(Desk::default());
        let clerk = clerk::start(folder, Arc::clone(&desk))?;
        Ok(Self { desk, clerk: Some(clerk), path })
    }

    /// The file that everything is in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for an answer of the clerk; the question is asked when this is called, not when it is
    /// first polled, so that commits happen in the order of the calls.
    fn ask<T: Send + 'static>(
        &self,
        job: Result<Job, StoreError>,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> StoreFuture<'_, T> {
        let asked = job.and_then(|job| self.desk.put(job));
        Box::pin(async move {
            asked?;
            // The clerk answers every job, so it ended in a panic.
            answer.await.unwrap_or_else(|_| Err(clerk::gone()))
        })
    }
}

impl Store for FileStore {
    fn read(&self, table: Table) -> StoreFuture<'_, Entries> {
        let (to, answer) = oneshot::channel();
        self.ask(Ok(Job::Read { table, to }), answer)
    }

    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, ()> {
        let (to, answer) = oneshot::channel();
        let job = check_limits(&writes).map(|()| Job::Commit { writes, to });
        self.ask(job, answer)
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.desk.close();
        if let Some(clerk) = self.clerk.take() {
            // A panic of the clerk was told to everyone who waited for it.
            let _ = clerk.join();
        }
    }
}

#[cfg(test)]
mod tests;
