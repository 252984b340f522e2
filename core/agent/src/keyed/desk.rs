//! Where messages by key and word of placements come in while the direct way is closed: one queue, in
//! order, bounded. What is done with them is the carrier's work.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use skymesh_naming::placement::{Epoch, HoldLimits, Parcel, PlacementInput};
use skymesh_types::{Handle, ServiceName};
use tokio::sync::Notify;

use super::Kept;
use super::placed::Placed;
use super::tables::Tables;
use crate::send::SendError;

/// Why a message was not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The direct way is open again.
    Live,
    /// Nothing is known of the placement yet.
    Unknown,
    /// As much is kept as may be.
    Full,
    /// The agent has stopped.
    Ended,
}

/// What comes in.
#[derive(Debug)]
pub(super) enum Entry {
    Parcel(Parcel<Kept>),
    Input(PlacementInput<Kept>),
}

/// The keyed side of one router.
#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) name: ServiceName,
    pub(super) limits: HoldLimits,
    pub(super) tables: Arc<Tables>,
    /// By what it knows its own messages again.
    pub(super) tag: u32,
    placed: ArcSwap<Placed>,
    desk: Mutex<Desk>,
    /// For the carrier: there is something to do.
    pub(super) work: Notify,
    /// For those who wait: it is worth to look again.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Desk {
    entries: VecDeque<Entry>,
    /// Whether any placement is known.
    known: bool,
    /// Nothing moves any more: what was taken over is sent or gets in line, and then the direct way
    /// opens, at once. Until then nothing is taken, or many clients would keep it from that.
    closing: bool,
    ended: bool,
    /// Messages that were taken over and are neither on their way nor given back.
    messages: usize,
    bytes: usize,
    by_source: HashMap<Handle, usize>,
}

impl Keyed {
    pub(super) fn new(
        name: ServiceName,
        tag: u32,
        limits: HoldLimits,
        tables: Arc<Tables>,
    ) -> Self {
        let none = Placed::nobody(tag);
        Self {
            name,
            limits,
            tables,
            tag,
            placed: ArcSwap::from_pointee(none),
            desk: Mutex::default(),
            work: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// The latest snapshot; it may have ended.
    #[inline]
    pub(crate) fn placed(&self) -> arc_swap::Guard<Arc<Placed>> {
        self.placed.load()
    }

    /// Takes a message over, unless it may go the direct way. One that a snapshot has no way for
    /// (`astray`) is taken in any case.
    pub(crate) fn offer(
        &self,
        key: u64,
        astray: bool,
        kept: impl FnOnce() -> Kept,
        cost: usize,
    ) -> Result<(), NotTaken> {
        let mut desk = self.desk();
        if desk.ended {
            return Err(NotTaken::Ended);
        }
        let placed = self.placed.load();
        if placed.is_live() && !astray {
            return Err(NotTaken::Live);
        }
        if !desk.known {
            return Err(NotTaken::Unknown);
        }
        let room = !desk.closing
            && desk.messages < self.limits.parcels
            && (desk.messages == 0 || desk.bytes + cost <= self.limits.bytes);
        if !room && !placed.is_live() {
            return Err(NotTaken::Full);
        }
        // Under the lock, as is `open`.
        placed.live.end();
        let kept = kept();
        desk.note(&kept);
        desk.entries.push_back(Entry::Parcel(Parcel::new(key, cost, kept)));
        drop(desk);
        self.work.notify_one();
        Ok(())
    }

    /// Something happened that the carrier has to know before any later message.
    pub(crate) fn feed(&self, input: PlacementInput<Kept>) {
        let mut desk = self.desk();
        if desk.ended {
            return;
        }
        if let PlacementInput::Bounced(bounced) = &input {
            desk.note(&bounced.parcel.message);
        }
        // Under the lock, as is `open`: no snapshot begins with this unheard.
        self.placed.load().live.end();
        desk.entries.push_back(Entry::Input(input));
        drop(desk);
        self.work.notify_one();
    }

    /// Whether messages go the direct way, by that epoch.
    pub(crate) fn is_live_at(&self, epoch: Epoch) -> bool {
        let placed = self.placed.load();
        placed.is_live() && placed.epoch == epoch
    }

    /// All that has come in, oldest first.
    pub(super) fn take(&self, into: &mut VecDeque<Entry>) {
        into.append(&mut self.desk().entries);
    }

    /// Puts a snapshot in place and opens the direct way, unless something has come in.
    pub(super) fn open(&self, placed: Placed) -> bool {
        let mut desk = self.desk();
        if !desk.entries.is_empty() || desk.ended {
            return false;
        }
        desk.closing = false;
        self.placed.store(Arc::new(placed));
        drop(desk);
        self.changed.notify_waiters();
        true
    }

    /// Something came back, and others of its key are to wait for it.
    pub(super) fn close(&self) {
        // Under the lock, as is `open`.
        let _desk = self.desk();
        self.placed.load().live.end();
    }

    /// Why a key has no owner though there are members.
    pub(crate) fn unowned(&self, key: u64) -> SendError {
        let selector = self.tables.selector(&self.placed.load().owners);
        let reason = format!("key {key} has no owner: {selector}");
        SendError::Strategy { name: self.name.clone(), reason }
    }

    /// Owners that were not there in time may be there now, or another selector may know them: the
    /// carrier looks again.
    pub(crate) fn remade(&self) {
        let desk = self.desk();
        let placed = self.placed.load();
        if placed.owners.can_name() || placed.is_empty() {
            return;
        }
        // Under the lock, as is `open`.
        placed.live.end();
        drop(desk);
        self.work.notify_one();
    }

    /// Notes whether the direct way opens once all that was taken over is out or in line.
    pub(super) fn set_closing(&self, closing: bool) {
        let mut desk = self.desk();
        if std::mem::replace(&mut desk.closing, closing) && !closing {
            drop(desk);
            self.changed.notify_waiters();
        }
    }

    /// A placement is known from now on.
    pub(super) fn note_known(&self) {
        let mut desk = self.desk();
        if !std::mem::replace(&mut desk.known, true) {
            drop(desk);
            self.changed.notify_waiters();
        }
    }

    /// A message that was taken over is on its way, or its sender knows that it is not.
    pub(super) fn let_go(&self, kept: &Kept) {
        let mut desk = self.desk();
        desk.messages = desk.messages.saturating_sub(1);
        desk.bytes = desk.bytes.saturating_sub(kept.cost());
        if let Some(count) = desk.by_source.get_mut(&kept.source()) {
            *count -= 1;
            if *count == 0 {
                desk.by_source.remove(&kept.source());
            }
        }
        drop(desk);
        self.changed.notify_waiters();
    }

    /// How many messages are kept, and what they take in bytes.
    pub(crate) fn held(&self) -> (usize, usize) {
        let desk = self.desk();
        (desk.messages, desk.bytes)
    }

    /// Takes nothing more over, and lets go of all routes. Answers how many messages were left.
    pub(super) fn end(&self) -> usize {
        let mut desk = self.desk();
        self.placed.load().live.end();
        // It has routes, which keep their peers, whose connections keep this.
        let last = self.placed.swap(Arc::new(Placed::nobody(self.tag)));
        desk.ended = true;
        let entries = std::mem::take(&mut desk.entries);
        let left = std::mem::take(&mut desk.messages);
        drop(desk);
        // Not under the lock: what goes with them may be a plugin's.
        drop((last, entries));
        self.changed.notify_waiters();
        left
    }

    /// Waits until [`offer`](Self::offer) may answer differently from `refused`. Cancel safe.
    pub(crate) async fn other_than(&self, refused: NotTaken) {
        self.until(|desk, live| match refused {
            NotTaken::Live | NotTaken::Ended => true,
            NotTaken::Unknown => desk.known || live || desk.ended,
            NotTaken::Full => {
                let half = !desk.closing
                    && desk.messages <= self.limits.parcels / 2
                    && desk.bytes <= self.limits.bytes / 2;
                half || live || desk.ended
            }
        })
        .await;
    }

    /// Waits until messages go the direct way, or never will again. Cancel safe.
    pub(crate) async fn live(&self) {
        self.until(|desk, live| live || desk.ended).await;
    }

    /// Waits until no message of `source` (of anybody, if `None`) is kept. Cancel safe.
    pub(crate) async fn empty_of(&self, source: Option<Handle>) {
        self.until(|desk, _| match source {
            Some(source) => !desk.by_source.contains_key(&source),
            None => desk.messages == 0,
        })
        .await;
    }

    async fn until(&self, good: impl Fn(&Desk, bool) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change in between is missed.
            changed.as_mut().enable();
            if good(&self.desk(), self.placed.load().is_live()) {
                return;
            }
            changed.await;
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn note(&mut self, kept: &Kept) {
        self.messages += 1;
        self.bytes += kept.cost();
        *self.by_source.entry(kept.source()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests;
