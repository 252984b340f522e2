//! What a router holds back: in order, bounded, and per key first come first served. It decides
//! nothing about placements.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::{Epoch, Full, Parcel};

/// How much and how long one router of one service may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldLimits {
    /// Parcels. Default 10 000. At the limit a sender waits.
    pub parcels: usize,
    /// Bytes of all parcels. Default 16 MiB. At the limit a sender waits; one parcel fits in any case.
    pub bytes: usize,
    /// How long a parcel is held. Default 4 s: longer than the registry's round, so only a registry
    /// out of reach lets it run out. Moving keys are then sent as before the round, and what was
    /// bounced is given back to its sender.
    pub time: Duration,
}

impl Default for HoldLimits {
    fn default() -> Self {
        Self { parcels: 10_000, bytes: 16 * 1024 * 1024, time: Duration::from_secs(4) }
    }
}

/// What a held parcel waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// That its key stays where it is, or time is up.
    Moving,
    /// That an earlier parcel of its key goes.
    Turn,
    /// A newer epoch than this.
    Newer(Epoch),
    /// A time.
    Until(Duration),
}

#[derive(Debug)]
pub(super) struct Held<M> {
    pub(super) parcel: Parcel<M>,
    pub(super) since: Duration,
    pub(super) wait: Wait,
}

#[derive(Debug)]
pub(super) struct Hold<M> {
    limits: HoldLimits,
    /// What has come back stands first.
    queue: VecDeque<Held<M>>,
    /// How many have come back.
    returned: usize,
    /// How many parcels of each key.
    keys: BTreeMap<u64, usize>,
    bytes: usize,
}

impl<M> Hold<M> {
    pub(super) const fn new(limits: HoldLimits) -> Self {
        Self { limits, queue: VecDeque::new(), returned: 0, keys: BTreeMap::new(), bytes: 0 }
    }

    pub(super) fn holds(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Holds a fresh parcel behind all others.
    pub(super) fn push(
        &mut self,
        parcel: Parcel<M>,
        now: Duration,
        wait: Wait,
    ) -> Result<(), Full<M>> {
        let (parcels, bytes) = (self.limits.parcels, self.limits.bytes);
        if self.queue.len() >= parcels {
            return Err(Full { parcel, limit: "parcels", value: parcels });
        }
        if !self.queue.is_empty() && self.bytes + parcel.bytes > bytes {
            return Err(Full { parcel, limit: "bytes", value: bytes });
        }
        self.note(&parcel);
        self.queue.push_back(Held { parcel, since: now, wait });
        Ok(())
    }

    /// Holds a parcel that came back, behind those that came back earlier and before the others. It
    /// was accepted long ago, so no limit turns it away: there are never more of them than were on
    /// their way.
    pub(super) fn push_returned(&mut self, held: Held<M>) {
        self.note(&held.parcel);
        // Not looked for: a connection's worth may come back at once.
        self.queue.insert(self.returned, held);
        self.returned += 1;
    }

    fn note(&mut self, parcel: &Parcel<M>) {
        *self.keys.entry(parcel.key).or_default() += 1;
        self.bytes += parcel.bytes;
    }

    /// The first of each key: the others wait for it.
    pub(super) fn heads(&self) -> impl Iterator<Item = &Held<M>> {
        let mut seen = BTreeSet::new();
        self.queue.iter().filter(move |held| seen.insert(held.parcel.key))
    }

    pub(super) const fn patience(&self) -> Duration {
        self.limits.time
    }

    pub(super) fn is_overdue(&self, held: &Held<M>, now: Duration) -> bool {
        held.since + self.limits.time <= now
    }

    /// Looks at every parcel in order and takes out those that `goes` lets go, but none before an
    /// earlier one of its key.
    pub(super) fn release(
        &mut self,
        mut goes: impl FnMut(&Self, &Held<M>) -> bool,
    ) -> Vec<Held<M>> {
        let mut blocked = BTreeSet::new();
        let mut released = Vec::new();
        for _ in 0..self.queue.len() {
            let Some(held) = self.queue.pop_front() else { break };
            let key = held.parcel.key;
            if !blocked.contains(&key) && goes(self, &held) {
                released.push(held);
            } else {
                blocked.insert(key);
                self.queue.push_back(held);
            }
        }
        for held in &released {
            self.returned -= usize::from(held.parcel.is_returned());
            self.bytes -= held.parcel.bytes;
            if let Some(count) = self.keys.get_mut(&held.parcel.key) {
                *count -= 1;
                if *count == 0 {
                    self.keys.remove(&held.parcel.key);
                }
            }
        }
        released
    }

    /// Drops everything: a planted bug.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.returned = 0;
        self.keys.clear();
        self.bytes = 0;
    }
}
