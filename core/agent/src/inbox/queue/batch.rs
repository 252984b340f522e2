//! Letters of one read on their way into an inbox: one lock for all of them.

use std::sync::MutexGuard;

use bytes::Bytes;
use skymesh_wire::Kind;

use super::{Queue, State, wake};
use crate::election::Barred;
use crate::inbox::{Entry, Letter, Source};

/// What became of one letter of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Taken,
    Closed,
    Full,
    SourceOffline,
    Barred(Barred),
}

/// Letters of one chunk on their way into a queue, under its lock.
pub(crate) struct Batch<'a> {
    queue: &'a Queue,
    state: Option<MutexGuard<'a, State>>,
    /// Not queued yet: no letter was taken so far.
    chunk: Option<Bytes>,
    /// What was taken, for the meter.
    messages: u64,
    bytes: u64,
}

impl<'a> Batch<'a> {
    /// A batch of ranges of `chunk`, under the lock that `state` holds.
    pub(super) fn new(queue: &'a Queue, state: MutexGuard<'a, State>, chunk: Bytes) -> Self {
        Self { queue, state: Some(state), chunk: Some(chunk), messages: 0, bytes: 0 }
    }

    /// Queues one letter, or says why not.
    pub(crate) fn push(&mut self, letter: Letter, source: &Source) -> Pushed {
        self.push_within(self.queue.config.limit_bytes, letter, source)
    }

    /// As [`push`](Self::push), whatever waits: for a connection that is not read on while the inbox
    /// [is full](Queue::is_full), so that one read is the most that it puts over the limit.
    pub(crate) fn push_over(&mut self, letter: Letter, source: &Source) -> Pushed {
        self.push_within(u64::MAX, letter, source)
    }

    fn push_within(&mut self, limit_bytes: u64, letter: Letter, source: &Source) -> Pushed {
        let Some(state) = &mut self.state else {
            return Pushed::Closed;
        };
        if state.closed {
            return Pushed::Closed;
        }
        if source.is_offline() {
            return Pushed::SourceOffline;
        }
        if self.queue.waiting_bytes(state) > limit_bytes {
            return Pushed::Full;
        }
        if Kind(letter.kind).has_term()
            && let Some(barred) = self.queue.admission.bars(&letter, source)
        {
            return Pushed::Barred(barred);
        }
        if let Some(chunk) = self.chunk.take() {
            state.entries.push_back(Entry::Chunk(chunk));
        }
        state.pushed_bytes += letter.cost();
        self.messages += 1;
        self.bytes += u64::from(letter.payload.1);
        state.entries.push_back(Entry::Letter(letter));
        Pushed::Taken
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.state.take().filter(|_| self.chunk.is_none()) {
            wake(state);
            self.queue.meter.received(self.messages, self.bytes);
        }
    }
}
