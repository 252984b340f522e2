//! What this agent knows of the mesh: the naming cache, who listens to it, and how to reach whom.
//!
//! One lock guards the cold state. It is held while the cache changes and its events enter the
//! inboxes, which is what makes their order right; never while a plugin, a user or a socket works.
//! Messages look only into the concurrent maps.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use skymesh_naming::{
    Applied, Cache, Delta, Event as Named, GoneOffline, InstanceRecord, Reach, Resolve, Snapshot,
    WatchPosition,
};
use skymesh_plugin_host::SelectorSlot;
use skymesh_types::{Handle, RegistryId, ServiceName};

use crate::counters::Counters;
use crate::inbox::{Event, Queue, Source};
use crate::peer::{LocalTarget, Peer, PeerKey, Remote, Route, Target};
use crate::router::{RouterCore, View};
use crate::runtime::Runtime;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    state: Mutex<State>,
    /// How to reach whom. Shared with every view; here for sends by handle.
    routes: papaya::HashMap<Handle, Arc<Route>>,
    routers: papaya::HashMap<ServiceName, Arc<RouterCore>>,
    /// The instances of this process.
    locals: papaya::HashMap<Handle, Arc<Queue>>,
}

#[derive(Debug, Default)]
struct State {
    cache: Cache,
    subscribers: HashMap<ServiceName, Vec<Weak<Queue>>>,
    /// Who sends to this process.
    sources: HashMap<Handle, Weak<Source>>,
    peers: HashMap<PeerKey, Weak<Peer>>,
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
        let mut state = self.lock();
        if let Some(core) = self.router(name) {
            return (core, false);
        }
        let core = Arc::new(RouterCore::new(name.clone(), selector));
        self.routers.pin().insert(name.clone(), Arc::clone(&core));
        (core, state.cache.watch(name))
    }

    /// Every watch with its position, for a new connection to the nameserver.
    pub(crate) fn positions(&self) -> Vec<WatchPosition> {
        self.lock().cache.positions()
    }

    pub(crate) fn resolve(&self, name: &ServiceName, now: Duration) -> Resolve {
        self.lock().cache.resolve(name, now).unwrap_or(Resolve::Loading)
    }

    /// Queues the events of `name` from now on, after an online event for each instance that is
    /// known already.
    pub(crate) fn subscribe(&self, name: &ServiceName, queue: &Arc<Queue>) {
        let mut state = self.lock();
        let listeners = state.subscribers.entry(name.clone()).or_default();
        if listeners.iter().any(|known| known.as_ptr() == Arc::as_ptr(queue)) {
            return;
        }
        listeners.push(Arc::downgrade(queue));
        if let Some(Resolve::Ready(known) | Resolve::Stale(known, _)) =
            state.cache.resolve(name, Duration::ZERO)
        {
            for member in known.members {
                queue.push_event(Event::Online(member.record));
            }
        }
    }

    /// Ends [`subscribe`](Self::subscribe).
    pub(crate) fn unsubscribe(&self, name: &ServiceName, queue: &Arc<Queue>) {
        if let Some(listeners) = self.lock().subscribers.get_mut(name) {
            listeners.retain(|known| known.as_ptr() != Arc::as_ptr(queue));
        }
    }

    /// An instance of this process can be sent to.
    pub(crate) fn add_local(&self, queue: Arc<Queue>) {
        self.locals.pin().insert(queue.handle(), queue);
    }

    /// An instance of this process is gone.
    pub(crate) fn remove_local(&self, handle: Handle) {
        self.locals.pin().remove(&handle);
        self.routes.pin().remove(&handle);
        for route in self.routes.pin().values() {
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
    pub(crate) fn apply(&self, word: Word<'_>, counters: &Counters) -> (ServiceName, Followed) {
        let mut state = self.lock();
        let (name, applied) = match word {
            Word::Snapshot(snapshot) => {
                (&snapshot.name, Applied::Events(state.cache.apply_snapshot(snapshot)))
            }
            Word::Delta(delta) => (&delta.name, state.cache.apply_delta(delta)),
        };
        let followed = match applied {
            Applied::Events(events) => {
                self.publish(&mut state, events, counters);
                Followed::Yes
            }
            Applied::Gap => Followed::Gap,
        };
        (name.clone(), followed)
    }

    /// Takes a peer's introduction of `record`. Events come before this returns, so before any
    /// message of it. Answers the source, and whether the name's router has to be rebuilt.
    pub(crate) fn introduce(
        &self,
        record: &Arc<InstanceRecord>,
        registry: RegistryId,
        counters: &Counters,
    ) -> Result<(Arc<Source>, bool), GoneOffline> {
        let mut state = self.lock();
        let events = state.cache.adopt(record, registry)?;
        let changed = !events.is_empty();
        self.publish(&mut state, events, counters);
        Ok((state.source(record), changed))
    }

    /// The source that `record` describes, without a word to anybody who watches its service.
    pub(crate) fn source(&self, record: &Arc<InstanceRecord>) -> Arc<Source> {
        self.lock().source(record)
    }

    /// A connection on which `source` sent is gone.
    pub(crate) fn source_left(&self, source: &Arc<Source>) {
        let mut state = self.lock();
        // The connection's own and the caller's: nobody else holds it.
        if Arc::strong_count(source) <= 2 {
            state.sources.remove(&source.handle());
        }
        if !state.cache.watches(&source.url().name) {
            self.routes.pin().remove(&source.handle());
        }
    }

    pub(crate) fn uplink_lost(&self, now: Duration) {
        self.lock().cache.uplink_lost(now);
    }

    pub(crate) fn uplink_restored(&self) {
        self.lock().cache.uplink_restored();
    }

    /// Notes whether pings reach an instance; rebuilds its router if that changes the view.
    pub(crate) fn note_reach(&self, runtime: &Arc<Runtime>, route: &Route, reach: Reach) {
        let changed = self.lock().cache.note_reachable(&route.name, route.handle, reach);
        if changed {
            self.rebuild(runtime, [route.name.clone()]);
        }
    }

    /// Forgets all routes and views, so that peers that nobody routes to any more are let go.
    pub(crate) fn clear(&self) {
        for core in self.routers.pin().values() {
            core.rebuild(View::loading);
        }
        self.routes.pin().clear();
    }

    /// Every route to an instance of another process.
    pub(crate) fn remote_routes(&self) -> Vec<Arc<Route>> {
        let routes = self.routes.pin();
        let remote = routes.values().filter(|route| matches!(route.target, Target::Remote(_)));
        remote.cloned().collect()
    }

    /// Makes new views for the routers of `names`. Runs plugin code: call it without any lock.
    pub(crate) fn rebuild(
        &self,
        runtime: &Arc<Runtime>,
        names: impl IntoIterator<Item = ServiceName>,
    ) {
        for name in names.into_iter().collect::<HashSet<_>>() {
            if let Some(core) = self.router(&name) {
                core.rebuild(|selector| {
                    let resolve = self.resolve(&name, runtime.elapsed());
                    View::new(&resolve, selector, |record| self.route_to(runtime, record))
                });
            }
        }
    }

    /// The route by a handle that this agent has heard of.
    pub(crate) fn route(&self, runtime: &Arc<Runtime>, handle: Handle) -> Option<Arc<Route>> {
        if let Some(route) = self.routes.pin().get(&handle) {
            return Some(Arc::clone(route));
        }
        if let Some(queue) = self.local(handle) {
            return Some(self.local_route(queue));
        }
        let source = self.lock().sources.get(&handle).and_then(Weak::upgrade)?;
        (!source.is_offline()).then(|| self.route_to(runtime, source.record()))
    }

    /// How to reach the instance of `record`; the same route for all who ask.
    fn route_to(&self, runtime: &Arc<Runtime>, record: &Arc<InstanceRecord>) -> Arc<Route> {
        if let Some(route) = self.routes.pin().get(&record.handle) {
            return Arc::clone(route);
        }
        if let Some(queue) = self.local(record.handle) {
            return self.local_route(queue);
        }
        let key = PeerKey { address: Arc::clone(&record.address), agent: record.agent };
        let peer = self.peer(runtime, key, &record.protocol.codecs);
        let wanted_codec = runtime.codec_for(&record.url.name);
        let target = Target::Remote(Remote::new(peer, wanted_codec));
        self.keep_route(record.handle, record.url.name.clone(), target)
    }

    fn local_route(&self, queue: Arc<Queue>) -> Arc<Route> {
        let (handle, name) = (queue.handle(), queue.name().clone());
        self.keep_route(handle, name, Target::Local(LocalTarget::new(queue)))
    }

    fn keep_route(&self, handle: Handle, name: ServiceName, target: Target) -> Arc<Route> {
        let route = Arc::new(Route { handle, name, stats: Arc::default(), target });
        Arc::clone(self.routes.pin().get_or_insert(handle, route))
    }

    fn peer(&self, runtime: &Arc<Runtime>, key: PeerKey, codecs: &Arc<[String]>) -> Arc<Peer> {
        let mut state = self.lock();
        if let Some(peer) = state.peers.get(&key).and_then(Weak::upgrade) {
            return peer;
        }
        state.peers.retain(|_, peer| peer.strong_count() > 0);
        let peer = Peer::start(runtime, key.clone(), Arc::clone(codecs));
        state.peers.insert(key, Arc::downgrade(&peer));
        peer
    }

    /// Hands events to who listens. Under the lock, so that all inboxes see one order.
    fn publish(&self, state: &mut State, events: Vec<Named>, counters: &Counters) {
        for event in events {
            let record = event.record();
            let source = state.sources.get(&record.handle).and_then(Weak::upgrade);
            let offline = matches!(event, Named::Offline { .. });
            if let Some(source) = source {
                // Before the event enters any inbox: no message follows it.
                source.set_offline(offline);
            }
            if offline && self.local(record.handle).is_none() {
                self.routes.pin().remove(&record.handle);
            }
            let Some(listeners) = state.subscribers.get_mut(&record.url.name) else { continue };
            let event = Event::from(event);
            listeners.retain(|listener| {
                let Some(queue) = listener.upgrade() else { return false };
                if !queue.push_event(event.clone()) {
                    counters.events_lagged.add(1);
                }
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
