//! A store that forgets everything with the process: for tests, and for meshes that can afford to
//! rebuild from their agents alone.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Entries, Store, StoreError, StoreFuture, Table, Write, check_limits};

/// Keeps its promises until the process ends. What it survives: nothing.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Held for the length of one read or commit.
    tables: Mutex<BTreeMap<Table, Entries>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, BTreeMap<Table, Entries>> {
        // A commit is checked before it begins and can't panic half-way.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        check_limits(&writes)?;
        let mut tables = self.tables();
        for write in writes {
            let table = tables.entry(write.table).or_default();
            match write.value {
                Some(value) => table.insert(write.key, value),
                None => table.remove(&write.key),
            };
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn read(&self, table: Table) -> StoreFuture<'_, Entries> {
        let entries = self.tables().get(&table).cloned().unwrap_or_default();
        Box::pin(ready(Ok(entries)))
    }

    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, ()> {
        Box::pin(ready(self.apply(writes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_conforms() {
        crate::conformance::check(&MemoryStore::new()).await;
    }
}
