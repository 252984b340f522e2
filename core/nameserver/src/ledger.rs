//! Makes durable what the registry may not announce before, and says so to it. Unlike the archive,
//! somebody waits for every record.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::election::Term;
use skymesh_naming::{Durable, Input, StoreInput};
use skymesh_store::records::Term as KeptTerm;
use skymesh_store::{Entries, Store, StoreError, Write};
use tokio::sync::mpsc;

use crate::keeper::Event;

pub(crate) struct Ledger {
    store: Arc<dyn Store>,
    events: mpsc::Sender<Event>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    pub(crate) const fn new(store: Arc<dyn Store>, events: mpsc::Sender<Event>) -> Self {
        Self { store, events }
    }

    /// Begins to make a record durable. The registry has one per service name under way at most, so
    /// there are no more tasks than names, and none overtakes another of its name; the store
    /// gathers those of many names.
    pub(crate) fn keep(&self, record: Durable) {
        let (store, events) = (Arc::clone(&self.store), self.events.clone());
        tokio::spawn(async move {
            let said = match store.commit(vec![write(&record)]).await {
                Ok(()) => StoreInput::Stored(record),
                Err(error) => {
                    tracing::error!(name = %record.name(), %error, "not made durable; tried again");
                    StoreInput::NotStored(record)
                }
            };
            // Without a keeper there is nobody to tell.
            let _ = events.send(Event::Input(Input::Store(said))).await;
        });
    }
}

fn write(record: &Durable) -> Write {
    match record {
        Durable::Term { name, term, leader, lease } => {
            let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
            KeptTerm { term: term.0, leader: *leader, lease_ms }.write(name)
        }
    }
}

/// The records of earlier lives.
pub(crate) fn records(terms: &Entries) -> Result<Vec<Durable>, StoreError> {
    let terms = KeptTerm::all(terms)?.into_iter();
    Ok(terms
        .map(|(name, kept)| Durable::Term {
            name,
            term: Term(kept.term),
            leader: kept.leader,
            lease: Duration::from_millis(kept.lease_ms),
        })
        .collect())
}

#[cfg(test)]
#[cfg(feature = "file-store")]
mod tests;
