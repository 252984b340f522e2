//! How to reach whom: the routes to instances and the peers behind them, made as they are asked for.

use std::sync::{Arc, Weak};

use skymesh_naming::InstanceRecord;
use skymesh_types::{Handle, ServiceName, ServiceUrl};

use super::{Directory, State};
use crate::inbox::Queue;
use crate::peer::{Link, LocalTarget, Peer, PeerKey, Remote, Route, Target};
use crate::runtime::Runtime;

impl Directory {
    /// Every connection to a peer.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.peers().into_iter().filter_map(|peer| peer.link()).collect()
    }

    /// Every process that this one routes to.
    pub(crate) fn peers(&self) -> Vec<Arc<Peer>> {
        self.lock().peers.values().filter_map(Weak::upgrade).collect()
    }

    /// Every route to an instance of another process.
    pub(crate) fn remote_routes(&self) -> Vec<Arc<Route>> {
        let state = self.lock();
        let remote = state.routes.values().filter(|r| matches!(r.target, Target::Remote(_)));
        remote.cloned().collect()
    }

    /// The route to an instance as the cache knows it, be its router's view behind or not.
    pub(crate) fn find(&self, runtime: &Arc<Runtime>, url: &ServiceUrl) -> Option<Arc<Route>> {
        let record = self.record(url)?;
        Some(self.route_to(runtime, &record))
    }

    /// The route by a handle that this agent has heard of.
    pub(crate) fn route(&self, runtime: &Arc<Runtime>, handle: Handle) -> Option<Arc<Route>> {
        if runtime.stopped.is_cancelled() {
            return None;
        }
        if let Some(route) = self.known_route(handle) {
            return Some(route);
        }
        let mut state = self.lock();
        if let Some(queue) = self.local(handle) {
            return Some(self.local_route(runtime, &mut state, queue));
        }
        let source = state.sources.get(&handle).and_then(Weak::upgrade)?;
        if source.is_offline() {
            return None;
        }
        let record = state.reachable(&source)?;
        Some(self.remote_route(&mut state, runtime, &record))
    }

    /// How to reach the instance of `record`; the same route for all who ask.
    pub(super) fn route_to(
        &self,
        runtime: &Arc<Runtime>,
        record: &Arc<InstanceRecord>,
    ) -> Arc<Route> {
        if let Some(route) = self.known_route(record.handle) {
            return route;
        }
        let mut state = self.lock();
        match self.local(record.handle) {
            Some(queue) => self.local_route(runtime, &mut state, queue),
            None => self.remote_route(&mut state, runtime, record),
        }
    }

    /// The service of an incarnation that messages go to.
    pub(crate) fn service_of(&self, handle: Handle) -> Option<ServiceName> {
        self.known_route(handle).map(|route| route.name.clone())
    }

    pub(super) fn known_route(&self, handle: Handle) -> Option<Arc<Route>> {
        self.routes.pin().get(&handle).and_then(Weak::upgrade)
    }

    fn local_route(
        &self,
        runtime: &Arc<Runtime>,
        state: &mut State,
        queue: Arc<Queue>,
    ) -> Arc<Route> {
        let (handle, name) = (queue.handle(), queue.name().clone());
        let make = || {
            let meter = Arc::clone(queue.meter());
            let target = LocalTarget::new(queue, runtime);
            Route::new(handle, name, meter, Target::Local(target))
        };
        self.keep_route(state, handle, make)
    }

    fn remote_route(
        &self,
        state: &mut State,
        runtime: &Arc<Runtime>,
        record: &Arc<InstanceRecord>,
    ) -> Arc<Route> {
        let key = PeerKey { address: Arc::clone(&record.address), agent: record.agent };
        let peer = state.peer(runtime, &key, &record.protocol.codecs);
        let name = record.url.name.clone();
        let target = Target::Remote(Remote::new(peer));
        let meter = runtime.meters.of(&name);
        let route = Route::new(record.handle, name, meter, target);
        // It may have gone offline between the look at it and this lock: then nobody would ever
        // take the route away again.
        let listed = state.cache.record(&record.url).is_some_and(|r| r.handle == record.handle);
        let sends = state.sources.get(&record.handle).and_then(Weak::upgrade);
        if listed || sends.is_some_and(|source| !source.is_offline()) {
            self.keep_route(state, record.handle, || route)
        } else {
            Arc::new(route)
        }
    }

    /// The route of a handle, made if there is none yet. After the agent's end it is not kept.
    fn keep_route(
        &self,
        state: &mut State,
        handle: Handle,
        make: impl FnOnce() -> Route,
    ) -> Arc<Route> {
        if state.cleared {
            return Arc::new(make());
        }
        let route = state.routes.entry(handle).or_insert_with(|| Arc::new(make()));
        self.routes.pin().insert(handle, Arc::downgrade(route));
        Arc::clone(route)
    }

    pub(super) fn remove_route(&self, state: &mut State, handle: Handle) {
        if let Some(route) = state.routes.remove(&handle) {
            route.end();
        }
        self.routes.pin().remove(&handle);
    }
}

impl State {
    pub(super) fn peer(
        &mut self,
        runtime: &Arc<Runtime>,
        key: &PeerKey,
        codecs: &Arc<[String]>,
    ) -> Arc<Peer> {
        if let Some(peer) = self.peers.get(key).and_then(Weak::upgrade) {
            return peer;
        }
        self.peers.retain(|_, peer| peer.strong_count() > 0);
        let peer = Peer::start(runtime, key.clone(), Arc::clone(codecs));
        self.peers.insert(key.clone(), Arc::downgrade(&peer));
        peer
    }
}
