//! Sorts the messages of one read by destination, so that each inbox is locked once per read.
//!
//! Messages to one instance keep their order; those to different instances have none to keep.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use skymesh_naming::placement::{Epoch, EpochGate, WrongEpoch};
use skymesh_types::Handle;
use skymesh_wire::KeyTrailer;

use crate::inbox::{Letter, Pushed, Queue, Settle, Slot, Source};

/// Letters that make less than this part of a read (as a divisor) get a buffer of their own. A read
/// that is kept is thus at most four times as large as what the window says.
const SMALL_SHARE: usize = 4;

/// A destination as one connection sees it.
#[derive(Debug)]
pub(super) struct Bay {
    queue: Arc<Queue>,
    lane: Slot,
    /// Who has sent to it over this connection.
    sources: HashMap<Handle, (Slot, Arc<Source>)>,
    waiting: Vec<Letter>,
    at_limit: AtLimit,
    /// Which keyed messages a stateful instance admits.
    gate: Option<Arc<EpochGate>>,
}

/// What is done about a full inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtLimit {
    /// Its sender hears of it.
    Refuse,
    /// The connection is read on only when there is room: a v1 sender can't hear of anything.
    Pause,
}

impl Bay {
    pub(super) fn open(queue: Arc<Queue>, settle: Arc<dyn Settle>, at_limit: AtLimit) -> Self {
        let lane = queue.open_lane(settle);
        let gate = queue.gate().cloned();
        Self { queue, lane, sources: HashMap::new(), waiting: Vec::new(), at_limit, gate }
    }

    /// The inbox, if it has to be waited for.
    pub(super) fn full(&self) -> Option<Arc<Queue>> {
        let full = self.at_limit == AtLimit::Pause && self.queue.is_full();
        full.then(|| Arc::clone(&self.queue))
    }

    pub(super) fn destination(&self) -> u64 {
        self.queue.handle().get()
    }

    pub(super) fn lane(&self) -> Slot {
        self.lane
    }

    /// The slot of a source, opened before its first letter; `None` while the inbox refuses what comes.
    pub(super) fn source(&mut self, source: &Arc<Source>) -> Option<Slot> {
        if let Some((slot, _)) = self.sources.get(&source.handle()) {
            return Some(*slot);
        }
        let slot = match self.at_limit {
            AtLimit::Refuse => self.queue.open_source(source)?,
            AtLimit::Pause => self.queue.open_source_over(source),
        };
        self.sources.insert(source.handle(), (slot, Arc::clone(source)));
        Some(slot)
    }

    /// That source sends nothing more.
    pub(super) fn forget(&mut self, source: Handle) {
        if let Some((slot, _)) = self.sources.remove(&source) {
            self.queue.close_slot(slot);
        }
    }

    /// Whether a message by key comes at the right epoch; `None` from a stateless instance, which takes
    /// any.
    pub(super) fn admits(&self, epoch: Epoch) -> Option<Result<(), WrongEpoch>> {
        self.gate.as_ref().map(|gate| gate.admit(epoch))
    }

    /// What admits messages by key to a stateful instance.
    pub(super) fn gate(&self) -> Option<Arc<EpochGate>> {
        self.gate.clone()
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

    /// The chunk that the waiting letters are ranges of. A share of a read that is small is copied
    /// out of it, so that one slow service does not keep the reads of all the others in memory.
    fn own_chunk(&mut self, chunk: &Bytes) -> Bytes {
        let size = |letter: &Letter| letter.cost() as usize + KeyTrailer::BYTES;
        let share: usize = self.waiting.iter().map(size).sum();
        if share * SMALL_SHARE >= chunk.len() {
            return chunk.clone();
        }
        let mut own = Vec::with_capacity(share);
        for letter in &mut self.waiting {
            let (_, trailed) = letter.trailed_metadata();
            let parts =
                [(&mut letter.metadata.0, trailed), (&mut letter.payload.0, letter.payload.1)];
            for (start, len) in parts {
                let from = *start as usize;
                *start = own.len() as u32;
                own.extend_from_slice(&chunk[from..from + len as usize]);
            }
        }
        Bytes::from(own)
    }

    /// Hands all letters over, in order. Answers how many the inbox took, and those that it did
    /// not with the reason and the chunk that they are ranges of.
    pub(super) fn hand_over(&mut self, chunk: &Bytes) -> (u64, Vec<(Letter, Pushed)>, Bytes) {
        let mut taken = 0;
        let mut turned_away = Vec::new();
        let chunk = self.own_chunk(chunk);
        let mut batch = self.queue.batch(chunk.clone());
        let mut last: Option<(Slot, &Arc<Source>)> = None;
        for letter in self.waiting.drain(..) {
            let source = match last {
                Some((slot, source)) if slot == letter.source => source,
                _ => match self.sources.get(&letter.source_handle) {
                    Some((slot, source)) => last.insert((*slot, source)).1,
                    None => unreachable!("invariant: a letter's source was seated before it"),
                },
            };
            let pushed = match self.at_limit {
                AtLimit::Refuse => batch.push(letter, source),
                AtLimit::Pause => batch.push_over(letter, source),
            };
            match pushed {
                Pushed::Taken => taken += 1,
                other => turned_away.push((letter, other)),
            }
        }
        drop(batch);
        (taken, turned_away, chunk)
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
