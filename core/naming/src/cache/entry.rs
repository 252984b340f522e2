//! One watched service name: its members and how word of them changes it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use skymesh_types::{Handle, InstanceId, RegistryId, Revision};

use super::{Applied, Event, GoneOffline, Known, Member, OfflineCause, Reach};
use crate::placement::{Epoch, Placement, is_placed};
use crate::{Delta, InstanceRecord, InstanceState, Snapshot};

/// How many offline incarnations of one service are remembered, so that a late introduction of one
/// is refused. Beyond it the oldest is forgotten; the nameserver's next word then ends it again.
const REMEMBERED_OFFLINE: usize = 1024;

/// An instance as the cache holds it.
#[derive(Debug)]
struct Held {
    record: Arc<InstanceRecord>,
    /// The registry life that counted the record's revision.
    registry: RegistryId,
    /// Whether the agent's own pings reach it.
    reached: bool,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// `None` until the nameserver was heard for the first time.
    heard: Option<(RegistryId, Revision)>,
    /// The registry said that it is recovering: no members means unknown, not none.
    recovering: bool,
    members: BTreeMap<InstanceId, Held>,
    offline: VecDeque<Handle>,
    /// Who owns keys, as the registry said it last.
    placement: Option<Placement>,
}

impl Entry {
    pub(super) fn at(&self) -> Option<(RegistryId, Revision)> {
        self.heard
    }

    /// The members; `None` while nobody was heard who would know.
    pub(super) fn known(&self) -> Option<Known> {
        if (self.heard.is_none() || self.recovering) && self.members.is_empty() {
            return None;
        }
        let revision = self.heard.map_or(Revision(0), |(_, revision)| revision);
        let members = self.members.values().map(|held| Member::new(&held.record, held.reached));
        Some(Known { revision, members: members.collect() })
    }

    pub(super) const fn is_recovering(&self) -> bool {
        self.recovering
    }

    pub(super) const fn placement(&self) -> Option<&Placement> {
        self.placement.as_ref()
    }

    /// The owners of keys in `epoch`: those whom the registry has spoken of. One that was adopted
    /// ahead of its word belongs to a later epoch.
    fn place(&mut self, epoch: Epoch) {
        let Some((registry, revision)) = self.heard else { return };
        let heard = |held: &&Held| held.registry == registry && held.record.revision <= revision;
        let records = self.members.values().filter(heard).map(|held| &held.record);
        let members = records.filter(|record| is_placed(record)).cloned().collect();
        self.placement = Some(Placement { epoch, members });
    }

    pub(super) fn record(&self, instance: InstanceId) -> Option<&Arc<InstanceRecord>> {
        self.members.get(&instance).map(|held| &held.record)
    }

    pub(super) fn has_left(&self, handle: Handle) -> bool {
        self.offline.contains(&handle)
    }

    pub(super) fn apply_snapshot(&mut self, snapshot: &Snapshot) -> Vec<Event> {
        let mut events = Vec::new();
        // Offline events first: a replaced incarnation goes before its successor comes.
        if !snapshot.recovering {
            self.drop_absent(snapshot, &mut events);
        }
        for record in &snapshot.instances {
            self.take(record, snapshot.registry, &mut events);
        }
        self.heard = Some((snapshot.registry, snapshot.revision));
        self.recovering = snapshot.recovering;
        if !snapshot.recovering {
            self.place(snapshot.epoch);
        }
        events
    }

    pub(super) fn apply_delta(&mut self, delta: &Delta) -> Applied {
        if self.heard != Some((delta.registry, delta.previous)) {
            return Applied::Gap;
        }
        let mut events = Vec::new();
        for record in &delta.changes {
            match record.state {
                InstanceState::Offline => self.end(record, &mut events),
                InstanceState::Pending => {}
                _ => self.take(record, delta.registry, &mut events),
            }
        }
        self.heard = Some((delta.registry, delta.revision));
        if delta.epoch != Epoch(0) {
            self.place(delta.epoch);
        }
        Applied::Events(events)
    }

    pub(super) fn adopt(
        &mut self,
        record: &Arc<InstanceRecord>,
        registry: RegistryId,
    ) -> Result<Vec<Event>, GoneOffline> {
        let known = self.members.get(&record.url.instance);
        let unknown = known.is_none_or(|held| held.record.handle != record.handle);
        let heard_past_it = self
            .heard
            .is_some_and(|(heard, revision)| heard == registry && revision >= record.revision);
        // Whoever came online at a revision that was heard and is no member now has left again.
        if unknown && (heard_past_it || self.offline.contains(&record.handle)) {
            return Err(GoneOffline(record.handle));
        }
        let mut events = Vec::new();
        match self.members.get(&record.url.instance) {
            // Known already: the nameserver's record is at least as good as the introduction.
            Some(held) if held.record.handle == record.handle => {}
            Some(held) if held.is_newer_than(record, registry) => {
                return Err(GoneOffline(record.handle));
            }
            _ => self.take(record, registry, &mut events),
        }
        Ok(events)
    }

    pub(super) fn note_reachable(&mut self, handle: Handle, reach: Reach) -> bool {
        let reached = reach == Reach::Reached;
        let held = self.members.values_mut().find(|held| held.record.handle == handle);
        held.is_some_and(|held| std::mem::replace(&mut held.reached, reached) != reached)
    }

    /// Ends the members that a complete snapshot no longer holds. One that was adopted from a
    /// registration younger than the snapshot stays: the nameserver's word on it is on its way.
    fn drop_absent(&mut self, snapshot: &Snapshot, events: &mut Vec<Event>) {
        let present: HashSet<Handle> = snapshot.instances.iter().map(|r| r.handle).collect();
        let gone = |held: &Held| !present.contains(&held.record.handle);
        let absent: Vec<InstanceId> = self
            .members
            .iter()
            .filter(|(_, held)| gone(held) && !held.is_younger_than(snapshot))
            .map(|(instance, _)| *instance)
            .collect();
        for instance in absent {
            if let Some(held) = self.members.remove(&instance) {
                self.remember_offline(held.record.handle);
                events.push(Event::Offline { record: held.record, cause: OfflineCause::Absent });
            }
        }
    }

    /// Takes an instance that is said to be there.
    fn take(
        &mut self,
        record: &Arc<InstanceRecord>,
        registry: RegistryId,
        events: &mut Vec<Event>,
    ) {
        let instance = record.url.instance;
        match self.members.get_mut(&instance) {
            Some(held) if held.record.handle == record.handle => {
                held.registry = registry;
                let old = std::mem::replace(&mut held.record, Arc::clone(record));
                push_changes(&old, record, events);
                return;
            }
            // Word of an earlier incarnation that was on its way when the newer one came.
            Some(held) if held.is_newer_than(record, registry) => return,
            Some(_) => self.replace(instance, events),
            None => {}
        }
        self.offline.retain(|handle| *handle != record.handle);
        let held = Held { record: Arc::clone(record), registry, reached: true };
        self.members.insert(instance, held);
        events.push(Event::Online(Arc::clone(record)));
    }

    fn replace(&mut self, instance: InstanceId, events: &mut Vec<Event>) {
        if let Some(held) = self.members.remove(&instance) {
            self.remember_offline(held.record.handle);
            events.push(Event::Offline { record: held.record, cause: OfflineCause::Replaced });
        }
    }

    /// Takes an instance that is said to be gone.
    fn end(&mut self, record: &Arc<InstanceRecord>, events: &mut Vec<Event>) {
        // Also of one that was never heard of: its introduction may still be on its way.
        self.remember_offline(record.handle);
        let held = self.members.get(&record.url.instance);
        if held.is_none_or(|held| held.record.handle != record.handle) {
            return;
        }
        if let Some(held) = self.members.remove(&record.url.instance) {
            events.push(Event::Offline { record: held.record, cause: OfflineCause::Announced });
        }
    }

    fn remember_offline(&mut self, handle: Handle) {
        if self.offline.len() == REMEMBERED_OFFLINE {
            self.offline.pop_front();
        }
        self.offline.push_back(handle);
    }
}

impl Held {
    /// Whether this incarnation was registered after `record` was written. Revisions of different
    /// registries can't be compared; then the later word counts.
    fn is_newer_than(&self, record: &InstanceRecord, registry: RegistryId) -> bool {
        self.registry == registry && self.record.revision > record.revision
    }

    fn is_younger_than(&self, snapshot: &Snapshot) -> bool {
        self.registry == snapshot.registry && self.record.revision > snapshot.revision
    }
}

/// Tells what changed between two records of one incarnation.
fn push_changes(old: &InstanceRecord, new: &Arc<InstanceRecord>, events: &mut Vec<Event>) {
    if old.state != new.state {
        events.push(Event::StateChanged { record: Arc::clone(new), old: old.state });
    }
    let keys = old.attributes.changed_keys(&new.attributes);
    if !keys.is_empty() {
        let (record, old) = (Arc::clone(new), Arc::clone(&old.attributes));
        events.push(Event::AttributesChanged { record, old, keys });
    }
}
