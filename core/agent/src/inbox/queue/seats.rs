//! Seats: the places of lanes and sources in the receiver's table, as they are queued for it.

use std::sync::Arc;

use super::{Queue, Settle, State, wake};
use crate::inbox::{Entry, Slot, Source};

/// What a sender's place in the receiver's table counts for while the receiver has not heard of it, in
/// bytes, beside the attributes of the sender: it costs about as much. A peer can have as many made as it
/// likes without a message being taken.
pub(super) const SEAT_COST: u64 = 512;

impl Queue {
    /// Opens a lane for one sender's window.
    pub(crate) fn open_lane(&self, settle: Arc<dyn Settle>) -> Slot {
        let mut state = self.lock();
        state.seat(SEAT_COST, |slot| Entry::OpenLane(slot, settle))
    }

    /// Opens a slot for a source, before its first letter; `None` while the inbox is over its limit.
    pub(crate) fn open_source(&self, source: &Arc<Source>) -> Option<Slot> {
        // A peer asks for each message while there is no room: then nothing is made of what it says.
        if self.is_full() {
            return None;
        }
        self.open_source_within(self.config.limit_bytes, source)
    }

    /// As [`open_source`](Self::open_source), whatever waits: see [`Batch::push_over`].
    pub(crate) fn open_source_over(&self, source: &Arc<Source>) -> Slot {
        self.open_source_within(u64::MAX, source).unwrap_or(Slot::NONE)
    }

    fn open_source_within(&self, limit_bytes: u64, source: &Arc<Source>) -> Option<Slot> {
        let attributes = &source.record().attributes;
        // Most have none, and to write them costs something.
        let bytes = if attributes.is_empty() { 0 } else { attributes.to_text().len() as u64 };
        let mut state = self.lock();
        if !state.closed && self.waiting_bytes(&state) > limit_bytes {
            return None;
        }
        Some(state.seat(SEAT_COST + bytes, |slot| Entry::OpenSource(slot, Arc::clone(source))))
    }

    /// No letter of this slot follows.
    pub(crate) fn close_slot(&self, slot: Slot) {
        let mut state = self.lock();
        // One that was opened after the end is none.
        if !state.closed && slot != Slot::NONE {
            state.entries.push_back(Entry::Close(slot));
            // The reader may want to hear of it.
            wake(state);
        }
    }

    pub(in crate::inbox) fn release(&self, slot: Slot) {
        self.lock().free_slots.push(slot.0);
    }
}

impl State {
    fn take_slot(&mut self) -> Slot {
        Slot(self.free_slots.pop().unwrap_or_else(|| {
            self.next_slot += 1;
            self.next_slot - 1
        }))
    }

    /// Queues that a slot is taken, for `bytes`. In a closed queue there is nobody to hear of it.
    fn seat(&mut self, bytes: u64, entry: impl FnOnce(Slot) -> Entry) -> Slot {
        if self.closed {
            return Slot::NONE;
        }
        let slot = self.take_slot();
        self.seat_bytes += bytes;
        self.entries.push_back(entry(slot));
        slot
    }
}
