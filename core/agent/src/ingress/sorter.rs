//! Sorts the messages of one read by destination, so that each inbox is locked once per read.
//!
//! Messages to one instance keep their order; those to different instances have none to keep.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use skymesh_types::Handle;

use crate::inbox::{Letter, Pushed, Queue, Settle, Slot, Source};

/// A destination as one connection sees it.
#[derive(Debug)]
pub(super) struct Bay {
    queue: Arc<Queue>,
    lane: Slot,
    /// Who has sent to it over this connection.
    sources: HashMap<Handle, (Slot, Arc<Source>)>,
    waiting: Vec<Letter>,
}

impl Bay {
    pub(super) fn open(queue: Arc<Queue>, settle: Arc<dyn Settle>) -> Self {
        let lane = queue.open_lane(settle);
        Self { queue, lane, sources: HashMap::new(), waiting: Vec::new() }
    }

    pub(super) fn destination(&self) -> u64 {
        self.queue.handle().get()
    }

    pub(super) fn lane(&self) -> Slot {
        self.lane
    }

    /// The slot of a source, opened before its first letter.
    pub(super) fn source(&mut self, source: &Arc<Source>) -> Slot {
        let open = || (self.queue.open_source(Arc::clone(source)), Arc::clone(source));
        self.sources.entry(source.handle()).or_insert_with(open).0
    }

    /// That source sends nothing more.
    pub(super) fn forget(&mut self, source: Handle) {
        if let Some((slot, _)) = self.sources.remove(&source) {
            self.queue.close_slot(slot);
        }
    }

    /// Whether the instance takes nothing more.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Keeps a letter for [`hand_over`](Self::hand_over); answers whether it is the first.
    pub(super) fn wait(&mut self, letter: Letter) -> bool {
        self.waiting.push(letter);
        self.waiting.len() == 1
    }

    /// Hands all letters over, in order. Answers how many the inbox took, and those that it did
    /// not with the reason.
    pub(super) fn hand_over(&mut self, chunk: &Bytes) -> (u64, Vec<(Letter, Pushed)>) {
        let mut taken = 0;
        let mut turned_away = Vec::new();
        let mut batch = self.queue.batch();
        batch.chunk(chunk.clone());
        let mut last: Option<(Slot, &Arc<Source>)> = None;
        for letter in self.waiting.drain(..) {
            let source = match last {
                Some((slot, source)) if slot == letter.source => source,
                _ => match self.sources.get(&letter.source_handle) {
                    Some((slot, source)) => last.insert((*slot, source)).1,
                    None => unreachable!("invariant: a letter's source was seated before it"),
                },
            };
            match batch.push(letter, source) {
                Pushed::Taken => taken += 1,
                other => turned_away.push((letter, other)),
            }
        }
        (taken, turned_away)
    }
}

impl Drop for Bay {
    fn drop(&mut self) {
        for (slot, _) in self.sources.values() {
            self.queue.close_slot(*slot);
        }
        self.queue.close_slot(self.lane);
    }
}
