//! The thread that owns the database: it takes everything that lies on its desk and commits it in
//! one transaction, so that many writers share one turn of the disk. The desk is bounded: what does
//! not fit is refused.

use std::collections::VecDeque;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;

use super::OpenError;
use super::database::Database;
use super::folder::{Folder, unusable};
use crate::{Entries, StoreError, Table, Write};

/// Commits and reads that may wait. Beyond it they are refused: a disk takes thousands a second in
/// groups, so more than this means that it does not work.
pub(super) const QUEUED_COMMITS: usize = 65_536;

/// Bytes of keys and values that may wait, so also those of one transaction. Beyond it commits are
/// refused; one alone is always taken.
pub(super) const QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// Whom to answer a commit.
type Done = oneshot::Sender<Result<(), StoreError>>;

/// What the clerk is asked for. Who asked may have gone when it answers.
pub(super) enum Job {
    Commit { writes: Vec<Write>, to: Done },
    Read { table: Table, to: oneshot::Sender<Result<Entries, StoreError>> },
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Commit { writes, .. } => writes
                .iter()
                .map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len))
                .sum(),
            Self::Read { .. } => 0,
        }
    }
}

/// Where jobs wait for the clerk.
#[derive(Default)]
pub(super) struct Desk {
    /// Held for a moment by who asks, and by the clerk to take everything; never while it works.
    pile: Mutex<Pile>,
    more: Condvar,
}

#[derive(Default)]
struct Pile {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    fn pile(&self) -> MutexGuard<'_, Pile> {
        // Nothing panics while it is held.
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job at the end of the pile.
    pub(super) fn put(&self, job: Job) -> Result<(), StoreError> {
        let mut pile = self.pile();
        if pile.closed {
            return Err(gone());
        }
        if pile.jobs.len() >= QUEUED_COMMITS {
            return Err(StoreError::Busy { limit: "QUEUED_COMMITS", value: QUEUED_COMMITS });
        }
        let bytes = pile.bytes + job.bytes();
        if bytes > QUEUED_BYTES && pile.bytes > 0 {
            return Err(StoreError::Busy { limit: "QUEUED_BYTES", value: QUEUED_BYTES });
        }
        pile.bytes = bytes;
        pile.jobs.push_back(job);
        self.more.notify_one();
        Ok(())
    }

    /// The clerk does what is there and goes.
    pub(super) fn close(&self) {
        self.pile().closed = true;
        self.more.notify_one();
    }

    /// Takes the whole pile; waits if there is none. `None` when there will be none any more.
    fn take(&self) -> Option<VecDeque<Job>> {
        let mut pile = self
            .more
            .wait_while(self.pile(), |pile| pile.jobs.is_empty() && !pile.closed)
            .unwrap_or_else(PoisonError::into_inner);
        pile.bytes = 0;
        Some(std::mem::take(&mut pile.jobs)).filter(|jobs| !jobs.is_empty())
    }
}

/// What is said when there is no clerk.
pub(super) fn gone() -> StoreError {
    StoreError::Unavailable("its thread ended in a panic; see the log and restart".to_owned())
}

/// Opens the database in a thread of its own, which serves the desk from then on.
pub(super) fn start(folder: Folder, desk: Arc<Desk>) -> Result<JoinHandle<()>, OpenError> {
    let path = folder.database();
    let (opened, heard) = sync_channel(1);
    let work = move || {
        // Also in a panic: who waits must not wait for ever.
        let _closing = Closing(Arc::clone(&desk));
        match Database::open(&folder) {
            Ok(database) => {
                // The one who opens waits for this.
                let _ = opened.send(Ok(()));
                Clerk { folder, database: Some(database) }.serve(&desk);
            }
            Err(error) => {
                // The folder is free before the error is told.
                drop(folder);
                let _ = opened.send(Err(error));
            }
        }
    };
    let thread = Builder::new().name("skymesh-store".to_owned()).spawn(work);
    let thread = thread.map_err(unusable(&path))?;
    let panicked = || OpenError::Damaged { path, reason: "reading it ended in a panic".to_owned() };
    heard.recv().unwrap_or_else(|_| Err(panicked())).map(|()| thread)
}

/// Leaves nobody waiting when the clerk is gone.
struct Closing(Arc<Desk>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
        // Dropping a job tells who waits for it.
        self.0.pile().jobs.clear();
    }
}

struct Clerk {
    folder: Folder,
    /// `None` after it failed, until it is opened anew.
    database: Option<Database>,
}

impl Clerk {
    fn serve(mut self, desk: &Desk) {
        while let Some(jobs) = desk.take() {
            let mut group: Vec<(Vec<Write>, Done)> = Vec::with_capacity(jobs.len());
            for job in jobs {
                match job {
                    Job::Commit { writes, to } => group.push((writes, to)),
                    Job::Read { table, to } => {
                        // A read sees what was committed before it.
                        self.commit(&mut group);
                        let _ = to.send(self.with_database(|database| database.read(table)));
                    }
                }
            }
            self.commit(&mut group);
        }
    }

    fn commit(&mut self, group: &mut Vec<(Vec<Write>, Done)>) {
        if group.is_empty() {
            return;
        }
        let commits = || group.iter().map(|(writes, _)| writes.as_slice());
        let done = self.with_database(|database| database.commit(commits()));
        for (_, to) in group.drain(..) {
            let _ = to.send(done.clone());
        }
    }

    /// Runs one operation. After an error redb refuses everything until the file is opened anew.
    fn with_database<T>(
        &mut self,
        run: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => Database::open(&self.folder)
                .map_err(|error| StoreError::Unavailable(error.to_string()))?,
        };
        let result = run(&database);
        if result.is_ok() {
            self.database = Some(database);
        }
        result
    }
}
