//! A watcher that believes what it is told, and checks that what it is told hangs together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skymesh_naming::{Delta, InstanceRecord, InstanceState, Snapshot};
use skymesh_types::{Handle, InstanceId, Revision, ServiceUrl};

#[derive(Debug, Default)]
pub(crate) struct Watcher {
    /// `None` until a snapshot came.
    pub(crate) at: Option<Revision>,
    pub(crate) members: BTreeMap<InstanceId, Arc<InstanceRecord>>,
}

impl Watcher {
    pub(crate) fn take_snapshot(&mut self, snapshot: &Snapshot) {
        let ids: Vec<InstanceId> = snapshot.instances.iter().map(|r| r.url.instance).collect();
        assert!(ids.is_sorted(), "a snapshot is sorted by instance");
        let newest = snapshot.instances.iter().map(|record| record.revision).max();
        assert!(newest <= Some(snapshot.revision) || newest.is_none());
        self.members = snapshot.instances.iter().map(|r| (r.url.instance, Arc::clone(r))).collect();
        self.at = Some(snapshot.revision);
    }

    pub(crate) fn take_delta(&mut self, delta: &Delta) {
        assert_eq!(self.at, Some(delta.previous), "deltas chain");
        // An agent may return after its end, with the same handles.
        let changes = delta.changes.iter().filter(|record| record.state != InstanceState::Offline);
        let listed: Vec<Handle> = changes.map(|record| record.handle).collect();
        let once: BTreeSet<Handle> = listed.iter().copied().collect();
        assert_eq!(once.len(), listed.len(), "the last word on each incarnation, once");
        let mut last = delta.previous;
        for record in &delta.changes {
            assert!(last < record.revision, "changes come in the registry's order");
            last = record.revision;
            let instance = record.url.instance;
            if record.state != InstanceState::Offline {
                self.members.insert(instance, Arc::clone(record));
            } else if self.members.get(&instance).is_some_and(|m| m.handle == record.handle) {
                self.members.remove(&instance);
            }
        }
        assert_eq!(last, delta.revision, "a delta ends with its last change");
        self.at = Some(delta.revision);
    }
}

/// Hears of a whole app, as agents of protocol 1 do: every change, in whatever chain.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) members: BTreeMap<ServiceUrl, Arc<InstanceRecord>>,
}

impl Listener {
    pub(crate) fn take(&mut self, records: &[Arc<InstanceRecord>]) {
        for record in records {
            if record.state != InstanceState::Offline {
                self.members.insert(record.url.clone(), Arc::clone(record));
            } else if self.members.get(&record.url).is_some_and(|m| m.handle == record.handle) {
                self.members.remove(&record.url);
            }
        }
    }
}
