//! Writes registrations behind the registry's back, for a warm restart. Nobody waits for it: what
//! changed lies in the registry until it is taken, one commit at a time, the newest state of each
//! instance only. If the store fails, it stays there and is tried again.

use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::{Registry, Remembered};
use skymesh_store::records::Kept;
use skymesh_store::{Store, StoreError, Write};
use skymesh_types::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::counters::Counters;
use crate::keeper::Event;

/// How long the first change waits for others: an instance that changes all the time costs ten
/// commits a second, and a crash loses about as much.
const GATHER_FOR: Duration = Duration::from_millis(100);

/// Instances of one commit. It takes the registry's task about a millisecond to write them down.
const TOGETHER: usize = 256;

/// How long a store that failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What became of a commit.
#[derive(Debug)]
pub(crate) struct Saved {
    handles: Vec<Handle>,
    result: Result<(), StoreError>,
}

pub(crate) struct Archive {
    store: Arc<dyn Store>,
    counters: Arc<Counters>,
    /// For the task that waits for a commit.
    events: mpsc::Sender<Event>,
    /// When to commit next; `None` if nothing has changed, or a commit is under way.
    due: Option<Instant>,
    under_way: bool,
    failing: bool,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("due", &self.due).finish_non_exhaustive()
    }
}

impl Archive {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        counters: Arc<Counters>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { store, counters, events, due: None, under_way: false, failing: false }
    }

    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// To be called when the registry may have changed.
    pub(crate) fn look(&mut self, registry: &Registry) {
        if self.due.is_none() && !self.under_way && registry.has_unsaved() {
            self.due = Some(Instant::now() + GATHER_FOR);
        }
    }

    /// Begins a commit of what has changed.
    pub(crate) fn save(&mut self, registry: &mut Registry) {
        self.due = None;
        let (handles, writes) = written(registry);
        if handles.is_empty() {
            return;
        }
        self.under_way = true;
        let (store, events) = (Arc::clone(&self.store), self.events.clone());
        // One at a time; it ends with the store's answer.
        tokio::spawn(async move {
            let result = store.commit(writes).await;
            // Without a keeper nothing is to be done about it.
            let _ = events.send(Event::Saved(Saved { handles, result })).await;
        });
    }

    /// A commit ended.
    pub(crate) fn saved(&mut self, saved: Saved, registry: &mut Registry) {
        self.under_way = false;
        let count = saved.handles.len();
        match saved.result {
            Ok(()) => {
                self.counters.registrations_saved.add(count);
                self.failing = false;
                if count == TOGETHER && registry.has_unsaved() {
                    self.due = Some(Instant::now());
                }
            }
            Err(error) => {
                self.counters.saves_failed.increment();
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "registrations are not kept for a restart; tried again");
                }
                registry.return_unsaved(saved.handles);
                self.due = Some(Instant::now() + RETRY_AFTER);
            }
        }
        self.look(registry);
    }

    /// Writes everything that is left. Ends early if the store fails.
    pub(crate) async fn finish(self, registry: &mut Registry) {
        loop {
            let (handles, writes) = written(registry);
            if handles.is_empty() {
                return;
            }
            if let Err(error) = self.store.commit(writes).await {
                tracing::error!(%error, "the last registrations are not kept for a restart");
                return;
            }
            self.counters.registrations_saved.add(handles.len());
        }
    }
}

fn written(registry: &mut Registry) -> (Vec<Handle>, Vec<Write>) {
    let unsaved = registry.take_unsaved(TOGETHER);
    unsaved.into_iter().map(|(handle, remembered)| (handle, write(handle, remembered))).unzip()
}

fn write(handle: Handle, remembered: Option<Remembered>) -> Write {
    let Some(Remembered { registration, address, agent, protocol, draining }) = remembered else {
        return Kept::forget(handle);
    };
    let kept = Kept {
        url: registration.url.to_string(),
        address: address.as_ref().to_owned(),
        agent,
        protocol: protocol.version,
        codecs: protocol.codecs.to_vec(),
        declared: registration.declared,
        runtime: registration.runtime,
        weight: registration.weight,
        hash_key: registration.hash_key,
        draining,
    };
    kept.write(handle)
}
