//! A snapshot of who owns what: what a message by key needs to take the direct way.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skymesh_naming::InstanceRecord;
use skymesh_naming::placement::Epoch;
use skymesh_wire::{Envelope, KeyTrailer};
use tokio::sync::Notify;

use super::owners::Owners;
use crate::peer::{Post, Route, warm};

thread_local! {
    /// Where metadata and trailer are put together. One per thread, kept warm.
    static TRAILED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// See the module. Immutable, but that it ends.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) epoch: Epoch,
    pub(super) tag: u32,
    pub(super) members: Arc<[Arc<InstanceRecord>]>,
    pub(super) owners: Arc<Owners>,
    /// How to reach the members, in their order.
    pub(super) routes: Vec<Arc<Route>>,
    /// Where messages wait for room that later ones must not overtake, by member; empty if nowhere.
    pub(super) lines: Vec<Option<Arc<Line>>>,
    pub(super) live: Live,
}

/// Whether messages may still go by a snapshot. Once it has ended it never begins again.
#[derive(Debug, Default)]
pub(crate) struct Live(AtomicBool);

impl Live {
    pub(super) fn new(live: bool) -> Self {
        Self(AtomicBool::new(live))
    }

    /// To be asked again under the lock of the buffer that a message goes into.
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Who takes a buffer's lock after this sees it, or is seen by who takes it next.
    pub(super) fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Messages to one member wait for room. Until they are out, others to it wait; what goes to other
/// members does not.
#[derive(Debug, Default)]
pub(crate) struct Line {
    passed: AtomicBool,
    changed: Notify,
}

impl Line {
    /// Waits until it is worth to look at the placement again. Cancel safe.
    pub(crate) async fn passed(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // Registered before the look, so that a change in between is not missed.
        changed.as_mut().enable();
        if !self.has_passed() {
            changed.await;
        }
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.passed.load(Ordering::Acquire)
    }

    /// All are out, or the snapshot has ended.
    pub(super) fn pass(&self) {
        self.passed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }
}

impl Placed {
    /// Nobody owns anything, as far as is known; it is not to be gone by.
    pub(super) fn nobody(tag: u32) -> Self {
        Self {
            epoch: Epoch(0),
            tag,
            members: Arc::from([]),
            owners: Arc::new(Owners::nobody()),
            routes: Vec::new(),
            lines: Vec::new(),
            live: Live::new(false),
        }
    }

    /// The owner of a key; `None` if there is none.
    #[inline]
    pub(crate) fn owner(&self, key: u64) -> Option<(&Arc<InstanceRecord>, Way<'_>)> {
        let at = self.owners.owner(key)?;
        let (epoch, tag, live) = (self.epoch, self.tag, Some(&self.live));
        let line = self.lines.get(at).and_then(Option::as_ref);
        let placed = Some(PlacedKey { key, epoch, tag, live, line });
        Some((self.members.get(at)?, Way { route: self.routes.get(at)?, placed }))
    }

    /// Whether messages may go by it now.
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.live.is_live()
    }

    /// Whether nobody owns anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// How one message goes: the route, and by which placement if a key decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) route: &'a Route,
    pub(crate) placed: Option<PlacedKey<'a>>,
}

impl<'a> Way<'a> {
    /// No key decided.
    #[inline]
    pub(crate) const fn plain(route: &'a Route) -> Self {
        Self { route, placed: None }
    }
}

/// A key and the placement that found its owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlacedKey<'a> {
    pub(crate) key: u64,
    pub(crate) epoch: Epoch,
    pub(crate) tag: u32,
    /// `None` where nothing can end it: the carrier itself sends.
    pub(crate) live: Option<&'a Live>,
    /// Messages to the owner that wait for room.
    pub(crate) line: Option<&'a Arc<Line>>,
}

impl PlacedKey<'_> {
    /// Hands `post` on with all that a keyed message carries.
    #[inline]
    pub(crate) fn seal<R>(&self, post: &Post<'_>, on: impl FnOnce(&Post<'_>) -> R) -> R {
        let trailer = KeyTrailer { key: self.key, epoch: self.epoch.0, tag: self.tag }.to_bytes();
        let envelope = &post.envelope;
        let kind = envelope.kind.keyed();
        // A leader's term has its place there, too.
        let epoch = if kind.has_term() { envelope.epoch } else { self.epoch.0 };
        let sealed = |metadata: &[u8]| {
            let envelope = Envelope { kind, epoch, metadata, ..*envelope };
            on(&Post { sender: post.sender, envelope, live: self.live })
        };
        if envelope.metadata.is_empty() {
            return sealed(&trailer);
        }
        let mut trailed = TRAILED.take();
        trailed.clear();
        trailed.extend_from_slice(envelope.metadata);
        trailed.extend_from_slice(&trailer);
        let done = sealed(&trailed);
        TRAILED.set(warm(trailed));
        done
    }
}
