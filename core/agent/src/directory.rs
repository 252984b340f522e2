//! What this agent knows of the mesh: the naming cache, who listens to it, and how to reach whom.
//!
//! One lock guards the cold state. It is held while the cache changes and its events enter the
//! inboxes, which is what makes their order right; never while a plugin, a user or a socket works.
//! Messages look only into the concurrent maps.

mod acquaintance;
mod placements;
mod routes;
mod views;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use skymesh_naming::placement::{EpochGate, Preparation};
use skymesh_naming::{
    Applied, Cache, Delta, Event as Named, GoneOffline, InstanceRecord, Reach, Snapshot,
    WatchPosition,
};
use skymesh_plugin_host::SelectorSlot;
use skymesh_types::{Handle, RegistryId, ServiceName, ServiceUrl};
use tokio::sync::Notify;

use crate::inbox::{Event, Queue, Source};
use crate::keyed::Keyed;
use crate::peer::{Peer, PeerKey, Route, Target};
use crate::router::{RouterCore, View};
use crate::sender::Sender;
pub(crate) use acquaintance::Acquaintance;
pub(crate) use views::PATIENCE;

/// Maps of what is long gone are swept when they have doubled, and not below this size.
const SWEEP_FROM: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    state: Mutex<State>,
    /// How to reach whom, for sends by handle. Weak, because the map frees what was removed only
    /// some time later, and a peer's connection ends with the last of its routes.
    routes: papaya::HashMap<Handle, Weak<Route>>,
    routers: papaya::HashMap<ServiceName, Arc<RouterCore>>,
    /// Services whose routers need new views.
    outdated: Mutex<HashSet<ServiceName>>,
    builder: Notify,
    /// The instances of this process.
    locals: papaya::HashMap<Handle, Arc<Queue>>,
    /// Told at each word of the nameserver.
    heard: Notify,
    /// The keyed sides of routers, by tag.
    keyed: Mutex<Vec<Arc<Keyed>>>,
}

#[derive(Debug, Default)]
struct State {
    cache: Cache,
    /// Names that are watched because of v1 sources.
    observed: usize,
    subscribers: HashMap<ServiceName, Vec<Weak<Queue>>>,
    /// Who sends to this process. Weak: inboxes and connections keep them; swept as it grows.
    sources: HashMap<Handle, Weak<Source>>,
    sweep_sources_at: usize,
    routes: HashMap<Handle, Arc<Route>>,
    /// The agent has stopped: no more routes are kept.
    cleared: bool,
    peers: HashMap<PeerKey, Weak<Peer>>,
    /// The epochs that stateful instances of this process admit.
    gates: HashMap<ServiceName, Arc<EpochGate>>,
    /// Rounds that are open.
    preparations: HashMap<ServiceName, Arc<Preparation>>,
    /// Who sends from this process.
    senders: HashMap<Handle, Arc<Sender>>,
}

impl Directory {
    /// The router of a name, if there is one.
    pub(crate) fn router(&self, name: &ServiceName) -> Option<Arc<RouterCore>> {
        self.routers.pin().get(name).cloned()
    }

    /// The router of a name, made with `selector` if there is none. Answers whether it is new: then
    /// the nameserver has to be asked.
    pub(crate) fn open_router(
        &self,
        name: &ServiceName,
        selector: SelectorSlot,
    ) -> (Arc<RouterCore>, bool) {
        let core = Arc::new(RouterCore::new(name.clone(), selector));
        let mut state = self.lock();
        if let Some(core) = self.router(name) {
            return (core, false);
        }
        self.routers.pin().insert(name.clone(), Arc::clone(&core));
        let new = state.cache.watch(name);
        if !new {
            // It was observed before, so there may be something to show already.
            self.outdated([name.clone()]);
        }
        (core, new)
    }

    /// Every router there is.
    pub(crate) fn routers(&self) -> Vec<Arc<RouterCore>> {
        self.routers.pin().values().cloned().collect()
    }

    /// Every watch with its position, for a new connection to the nameserver.
    pub(crate) fn positions(&self) -> Vec<WatchPosition> {
        self.lock().cache.positions()
    }

    /// How long the nameserver has been out of reach at `now`; `None` while it is there.
    pub(crate) fn stale_for(&self, now: Duration) -> Option<Duration> {
        self.lock().cache.stale_for(now)
    }

    /// Queues the events of `name` from now on, after an online event for each instance that is
    /// known already.
    pub(crate) fn subscribe(&self, name: &ServiceName, queue: &Arc<Queue>) {
        let mut state = self.lock();
        if state.cleared {
            return queue.close();
        }
        let listeners = state.subscribers.entry(name.clone()).or_default();
        // Of a service of which nothing is heard for long, nobody else would notice.
        listeners.retain(|known| known.strong_count() > 0);
        if listeners.iter().any(|known| known.as_ptr() == Arc::as_ptr(queue)) {
            return;
        }
        listeners.push(Arc::downgrade(queue));
        for member in state.cache.known(name).iter().flat_map(|known| &*known.members) {
            queue.push_event(Event::Online(Arc::clone(&member.record)));
        }
    }

    /// Ends [`subscribe`](Self::subscribe).
    pub(crate) fn unsubscribe(&self, name: &ServiceName, queue: &Arc<Queue>) {
        if let Some(listeners) = self.lock().subscribers.get_mut(name) {
            listeners.retain(|known| known.as_ptr() != Arc::as_ptr(queue));
        }
    }

    /// An instance of this process can be sent to.
    pub(crate) fn add_local(&self, queue: Arc<Queue>, sender: Arc<Sender>) {
        self.lock().senders.insert(queue.handle(), sender);
        self.locals.pin().insert(queue.handle(), queue);
    }

    /// An instance of this process is gone: it neither takes anything nor sends.
    pub(crate) fn remove_local(&self, handle: Handle) {
        let mut state = self.lock();
        self.locals.pin().remove(&handle);
        if let Some(sender) = state.senders.remove(&handle) {
            sender.source.set_offline(true);
        }
        self.remove_route(&mut state, handle);
        for route in state.routes.values() {
            if let Target::Local(local) = &route.target {
                local.forget_source(handle);
            }
        }
    }

    pub(crate) fn local(&self, handle: Handle) -> Option<Arc<Queue>> {
        self.locals.pin().get(&handle).cloned()
    }

    /// The instances of this process.
    pub(crate) fn locals(&self) -> Vec<Arc<Queue>> {
        self.locals.pin().values().cloned().collect()
    }

    /// Takes the nameserver's word. Answers the names whose routers have to be rebuilt, and whether
    /// a gap showed (then the name's watch has to be asked for anew).
    pub(crate) fn apply(&self, word: Word<'_>) -> (ServiceName, Followed) {
        let mut state = self.lock();
        let (name, applied) = match word {
            Word::Snapshot(snapshot) => {
                (&snapshot.name, Applied::Events(state.cache.apply_snapshot(snapshot)))
            }
            Word::Delta(delta) => (&delta.name, state.cache.apply_delta(delta)),
        };
        let followed = match applied {
            Applied::Events(events) => {
                self.publish(&mut state, events);
                Followed::Yes
            }
            Applied::Gap => Followed::Gap,
        };
        if let (Some(gate), Some(placement)) = (state.gates.get(name), state.cache.placement(name))
        {
            gate.heard(placement.epoch);
        }
        drop(state);
        self.heard.notify_waiters();
        (name.clone(), followed)
    }

    /// Takes a peer's introduction of `record`. Events come before this returns, so before any
    /// message of it. Answers the source, and whether the name's router has to be rebuilt. The source
    /// counts one connection more, until [`source_left`](Self::source_left): under the lock, or the end of
    /// its last connection before could take it for gone.
    pub(crate) fn introduce(
        &self,
        record: &Arc<InstanceRecord>,
        registry: RegistryId,
    ) -> Result<(Arc<Source>, bool), GoneOffline> {
        let mut state = self.lock();
        let events = state.cache.adopt(record, registry)?;
        let changed = !events.is_empty();
        self.publish(&mut state, events);
        let source = state.source(record);
        source.arrived();
        if !state.cache.watches(&record.url.name) {
            // It may have been away.
            source.set_offline(false);
        }
        Ok((source, changed))
    }

    /// The source that `record` describes, without a word to anybody who watches its service. It counts
    /// one connection more, as with [`introduce`](Self::introduce).
    pub(crate) fn source(&self, record: &Arc<InstanceRecord>) -> Arc<Source> {
        let mut state = self.lock();
        let source = state.source(record);
        source.arrived();
        source
    }

    /// A connection on which `source` sent is gone. After the last one, whether it still lives is
    /// known only if its service is watched: then naming tells; else it can't be answered any more.
    pub(crate) fn source_left(&self, source: &Source) {
        let mut state = self.lock();
        if source.left() && !state.cache.watches(&source.url().name) {
            source.set_offline(true);
            self.remove_route(&mut state, source.handle());
            state.sources.remove(&source.handle());
        }
    }

    pub(crate) fn uplink_lost(&self, now: Duration) {
        self.lock().cache.uplink_lost(now);
        self.routers.pin().values().for_each(|core| core.note_changed());
    }

    pub(crate) fn uplink_restored(&self) {
        self.lock().cache.uplink_restored();
        self.routers.pin().values().for_each(|core| core.note_changed());
    }

    /// Notes whether pings reach an instance.
    pub(crate) fn note_reach(&self, route: &Route, reach: Reach) {
        let changed = self.lock().cache.note_reachable(&route.name, route.handle, reach);
        if changed {
            self.outdated([route.name.clone()]);
        }
    }

    /// Forgets all routes and views, so that peers that nobody routes to any more are let go.
    pub(crate) fn clear(&self) {
        for core in self.routers.pin().values() {
            core.show(View::loading(&core.selector));
        }
        self.routes.pin().clear();
        let mut state = self.lock();
        state.cleared = true;
        let routes = std::mem::take(&mut state.routes);
        // Nothing follows any more, so who reads on sees the end.
        for queue in state.subscribers.values().flatten().filter_map(Weak::upgrade) {
            queue.close();
        }
        drop(state);
        // Not under the lock: a peer may go with them.
        drop(routes);
    }

    /// An instance as the cache knows it.
    pub(crate) fn record(&self, url: &ServiceUrl) -> Option<Arc<InstanceRecord>> {
        self.lock().cache.record(url).cloned()
    }

    /// Hands events to who listens. Under the lock, so that all inboxes see one order.
    fn publish(&self, state: &mut State, events: Vec<Named>) {
        for event in events {
            let record = event.record();
            let source = state.sources.get(&record.handle).and_then(Weak::upgrade);
            let offline = matches!(event, Named::Offline { .. });
            if let Some(source) = source {
                // Before the event enters any inbox: no message follows it.
                source.set_offline(offline);
            }
            if offline && self.local(record.handle).is_none() {
                self.remove_route(state, record.handle);
            }
            let Some(listeners) = state.subscribers.get_mut(&record.url.name) else { continue };
            let event = Event::from(event);
            listeners.retain(|listener| {
                let Some(queue) = listener.upgrade() else { return false };
                queue.push_event(event.clone());
                true
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn source(&mut self, record: &Arc<InstanceRecord>) -> Arc<Source> {
        if let Some(source) = self.sources.get(&record.handle).and_then(Weak::upgrade) {
            return source;
        }
        if self.sources.len() >= self.sweep_sources_at {
            self.sources.retain(|_, source| source.strong_count() > 0);
            self.sweep_sources_at = (2 * self.sources.len()).max(SWEEP_FROM);
        }
        let source = Arc::new(Source::new(Arc::clone(record)));
        self.sources.insert(record.handle, Arc::downgrade(&source));
        source
    }
}

/// What the nameserver says of a service name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word<'a> {
    Snapshot(&'a Snapshot),
    Delta(&'a Delta),
}

/// Whether a word followed what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    Yes,
    Gap,
}

#[cfg(test)]
mod tests;
