//! All virtual connections of one instance: opened here, found by the driver, and forgotten when
//! they are over.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::Stream;
use skymesh_agent::{Counted, Event, Instance};
use skymesh_telemetry::catalogue::GRPC_EVENTS;
use skymesh_types::{Handle, ServiceName};
use tokio::sync::mpsc;

use crate::config::GrpcConfig;
use crate::connection::{Form, Line, Shared, Tell, courier};
use crate::counters::GrpcCounters;
use crate::failure::{ConnectionError, OpenError};
use crate::segment::End;

/// Most services whose instances' ends are heard of through the nameserver. The ends of others are
/// noticed when their process ends, when they refuse messages, or by silence.
const WATCHED_SERVICES: usize = 1024;

/// Most watches that wait for the driver to take them over. Beyond it the next connection to that
/// service tries again.
pub(crate) const NEW_WATCHES: usize = 256;

/// Events of a service that connections go to or come from.
pub(crate) type Watch = Box<dyn Stream<Item = Event> + Send + Unpin>;

/// Which connection of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) peer: Handle,
    pub(crate) form: Form,
    pub(crate) id: u64,
    /// Which end this instance is; v1 does not tell them apart.
    pub(crate) end: End,
}

impl Key {
    pub(crate) fn v1(peer: Handle, id: u64) -> Self {
        Self { peer, form: Form::V1, id, end: End::Dialler }
    }

    pub(crate) fn of(line: &Line) -> Self {
        match line.form {
            Form::V1 => Self::v1(line.peer, line.id),
            form => Self { peer: line.peer, form, id: line.id, end: line.end },
        }
    }
}

/// See the module.
pub(crate) struct Exchange {
    pub(crate) instance: Instance,
    pub(crate) config: GrpcConfig,
    pub(crate) counters: Arc<GrpcCounters>,
    /// `None` once the instance is off the mesh.
    connections: Mutex<Option<HashMap<Key, Arc<Shared>>>>,
    next_id: AtomicU64,
    watched: Mutex<HashSet<ServiceName>>,
    new_watches: mpsc::Sender<Watch>,
}

impl Exchange {
    pub(crate) fn new(
        instance: Instance,
        config: GrpcConfig,
        new_watches: mpsc::Sender<Watch>,
    ) -> Self {
        let counters = Arc::<GrpcCounters>::default();
        instance.show_counts(&GRPC_EVENTS, Arc::clone(&counters) as Arc<dyn Counted>);
        Self {
            instance,
            config,
            counters,
            connections: Mutex::new(Some(HashMap::new())),
            // As the origin: half of it random, so that no incarnation repeats another's.
            next_id: AtomicU64::new(u64::from(getrandom::u32().unwrap_or(0))),
            watched: Mutex::default(),
            new_watches,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<Key, Arc<Shared>>>> {
        // Every step under the lock is whole, so a panic leaves nothing half done.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id for a connection that this instance opens.
    pub(crate) fn new_id(&self) -> u64 {
        const COUNT: u64 = 1 << 32;
        self.next_id.fetch_add(COUNT, Relaxed).wrapping_add(COUNT)
    }

    /// Adds a connection, and starts its courier.
    pub(crate) fn open(self: &Arc<Self>, line: Line) -> Result<Arc<Shared>, OpenError> {
        let key = Key::of(&line);
        let mut guard = self.lock();
        let Some(connections) = guard.as_mut() else {
            return Err(OpenError::Refused(ConnectionError::OffMesh));
        };
        if connections.len() >= self.config.max_connections {
            return Err(OpenError::TooMany(self.config.max_connections));
        }
        let shared = Arc::new(Shared::new(line, self.config.window(), self.config.idle));
        connections.insert(key, Arc::clone(&shared));
        drop(guard);
        tokio::spawn(Arc::clone(self).attend(key, Arc::clone(&shared)));
        Ok(shared)
    }

    async fn attend(self: Arc<Self>, key: Key, shared: Arc<Shared>) {
        if courier::run(&shared).await == courier::Ended::Idle {
            self.counters.idle_closed.add(1);
        }
        if let Some(connections) = self.lock().as_mut()
            && connections.get(&key).is_some_and(|known| Arc::ptr_eq(known, &shared))
        {
            connections.remove(&key);
        }
    }

    pub(crate) fn find(&self, key: Key) -> Option<Arc<Shared>> {
        self.lock().as_ref()?.get(&key).cloned()
    }

    /// Breaks the connections to all peers that `error` answers for.
    pub(crate) fn fail(&self, tell: Tell, error: impl Fn(Handle) -> Option<ConnectionError>) {
        let broken: Vec<_> = match self.lock().as_ref() {
            Some(connections) => {
                let broken = connections.iter().filter_map(|(key, shared)| {
                    error(key.peer).map(|error| (Arc::clone(shared), error))
                });
                broken.collect()
            }
            None => return,
        };
        for (shared, error) in broken {
            shared.fail(error, tell);
        }
    }

    /// Breaks all connections; no other is opened.
    pub(crate) fn end(&self) {
        let connections = self.lock().take();
        for shared in connections.into_iter().flat_map(HashMap::into_values) {
            shared.fail(ConnectionError::OffMesh, Tell::Nobody);
        }
    }

    /// Everybody that there are connections to.
    pub(crate) fn peers(&self) -> HashSet<Handle> {
        self.lock().iter().flatten().map(|(key, _)| key.peer).collect()
    }

    /// Sees to it that the end of a service's instances is heard of.
    pub(crate) fn watch(&self, name: &ServiceName) {
        let lock = || self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let is_done = |watched: &HashSet<ServiceName>| {
            watched.contains(name) || watched.len() >= WATCHED_SERVICES
        };
        if is_done(&lock()) {
            return;
        }
        // Not under the lock: it may load a plugin. A service that can't be watched: the end of a
        // connection tells what can be told.
        let Ok(router) = self.instance.router(name) else { return };
        let mut watched = lock();
        if is_done(&watched) {
            return;
        }
        // Under the lock: who finds the name noted has its events already.
        if self.new_watches.try_send(Box::new(router.watch())).is_ok() {
            watched.insert(name.clone());
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("instance", &self.instance).finish_non_exhaustive()
    }
}
