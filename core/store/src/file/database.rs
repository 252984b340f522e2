//! The database file: tables of bytes by text, and the number of the format they are in. Blocks;
//! only the clerk's thread calls it.

use std::path::{Path, PathBuf};

use redb::{DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};

use super::OpenError;
use super::folder::{Folder, unusable};
use crate::{Entries, StoreError, Table, Write};

/// The newest format that is known here, and the one that is written. It says what tables there are
/// and how keys and values are to be read; the file's own layout is redb's affair.
const FORMAT: u32 = 1;

type Bytes = TableDefinition<'static, &'static str, &'static [u8]>;

const ABOUT: TableDefinition<'static, &str, u32> = TableDefinition::new("about");
const FORMAT_KEY: &str = "format";

/// Memory for pages that were read lately, in bytes: tables are read once, at the start, and commits
/// touch few pages each.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

const fn definition(table: Table) -> Bytes {
    TableDefinition::new(match table {
        Table::Lives => "lives",
        Table::Overrides => "overrides",
        Table::Terms => "terms",
        Table::Registrations => "registrations",
    })
}

/// An open database.
pub(super) struct Database {
    path: PathBuf,
    redb: redb::Database,
}

impl Database {
    /// Opens and checks the database of `folder`; makes it if there is none.
    pub(super) fn open(folder: &Folder) -> Result<Self, OpenError> {
        let path = folder.database();
        if !path.try_exists().map_err(unusable(&path))? {
            create(folder)?;
        }
        let opened = builder().open(&path);
        let redb = opened.map_err(|error| refused(&path, error))?;
        let database = Self { path, redb };
        database.check_format()?;
        Ok(database)
    }

    fn check_format(&self) -> Result<(), OpenError> {
        let found = self.format().map_err(|error| OpenError::Damaged {
            path: self.path.clone(),
            reason: format!("its format can't be read: {error}"),
        })?;
        if found > FORMAT {
            return Err(OpenError::TooNew { path: self.path.clone(), found, known: FORMAT });
        }
        Ok(())
    }

    fn format(&self) -> Result<u32, redb::Error> {
        let about = self.redb.begin_read()?.open_table(ABOUT)?;
        let format = about.get(FORMAT_KEY)?.map(|format| format.value());
        format.ok_or_else(|| StorageError::Corrupted("it names no format".to_owned()).into())
    }

    /// All writes of all commits in one transaction, in their order; on the disk afterwards.
    pub(super) fn commit<'a>(
        &self,
        commits: impl Iterator<Item = &'a [Write]>,
    ) -> Result<(), StoreError> {
        let done = self.try_commit(commits);
        done.map_err(|error| self.unavailable(&error))
    }

    fn try_commit<'a>(
        &self,
        commits: impl Iterator<Item = &'a [Write]>,
    ) -> Result<(), redb::Error> {
        let transaction = self.redb.begin_write()?;
        for writes in commits {
            // One table at a time can be open; neighbours mostly share theirs.
            for run in writes.chunk_by(|one, next| one.table == next.table) {
                let Some(first) = run.first() else { continue };
                let mut table = transaction.open_table(definition(first.table))?;
                for write in run {
                    match &write.value {
                        Some(value) => table.insert(write.key.as_str(), value.as_slice())?,
                        None => table.remove(write.key.as_str())?,
                    };
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Everything in a table.
    pub(super) fn read(&self, table: Table) -> Result<Entries, StoreError> {
        self.try_read(table).map_err(|error| self.unavailable(&error))
    }

    fn try_read(&self, table: Table) -> Result<Entries, redb::Error> {
        let table = match self.redb.begin_read()?.open_table(definition(table)) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Entries::new()),
            table => table?,
        };
        let mut entries = Entries::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            entries.insert(key.value().to_owned(), value.value().to_owned());
        }
        Ok(entries)
    }

    fn unavailable(&self, error: &redb::Error) -> StoreError {
        StoreError::Unavailable(format!("`{}`: {error}", self.path.display()))
    }
}

fn builder() -> redb::Builder {
    let mut builder = redb::Builder::new();
    // Not only after a crash: a term that a failing disk has changed must be found before it is used.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Makes the database under another name, so that one without a format is never found under its own.
fn create(folder: &Folder) -> Result<(), OpenError> {
    let path = folder.unfinished()?;
    let made = builder().create(&path).map_err(|error| refused(&path, error))?;
    write_format(&made, FORMAT).map_err(|error| unusable(&path)(std::io::Error::other(error)))?;
    drop(made);
    folder.finish(&path)
}

pub(super) fn write_format(redb: &redb::Database, format: u32) -> Result<(), redb::Error> {
    let transaction = redb.begin_write()?;
    transaction.open_table(ABOUT)?.insert(FORMAT_KEY, format)?;
    transaction.commit()?;
    Ok(())
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let reason = match error {
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::InvalidData =>
        {
            return unusable(path)(source);
        }
        // The lock of the folder keeps out all who ask for it, so this one does not.
        DatabaseError::DatabaseAlreadyOpen => {
            return unusable(path)(std::io::Error::other("another program has it open"));
        }
        error => error.to_string(),
    };
    OpenError::Damaged { path: path.to_owned(), reason }
}
