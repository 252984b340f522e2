//! What the handles, calls and handlers of one instance's RPC share with its driver.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_core::Stream;
use skymesh_agent::{Counted, Destination, Event, Instance, Resolved, SendError, Target};
use skymesh_telemetry::catalogue::RPC_EVENTS;
use skymesh_types::{Key, ServiceName};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::client::Pending;
use crate::config::RpcConfig;
use crate::counters::RpcCounters;
use crate::server::Running;

/// Most watches that wait for the driver to take them over. One per service name that is called for
/// the first time; beyond it the next call tries again.
pub(crate) const NEW_WATCHES: usize = 256;

/// Events of a service that is called.
pub(crate) type Watch = Box<dyn Stream<Item = Event> + Send + Unpin>;

/// See the module.
pub(crate) struct Shared {
    pub(crate) instance: Instance,
    pub(crate) config: RpcConfig,
    pub(crate) counters: Arc<RpcCounters>,
    pub(crate) pending: Pending,
    pub(crate) running: Running,
    pub(crate) waiting_cancels: AtomicUsize,
    /// Services that are watched for the end of called instances.
    watched: Mutex<HashSet<ServiceName>>,
    new_watches: mpsc::Sender<Watch>,
    /// The driver reads nothing, as the rest is full and no call waits.
    paused: AtomicBool,
    resume: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        instance: Instance,
        config: RpcConfig,
        new_watches: mpsc::Sender<Watch>,
    ) -> Self {
        let counters = Arc::<RpcCounters>::default();
        instance.show_counts(&RPC_EVENTS, Arc::clone(&counters) as Arc<dyn Counted>);
        Self {
            instance,
            counters,
            pending: Pending::new(config.max_pending_calls),
            running: Running::new(config.max_running_calls),
            config,
            waiting_cancels: AtomicUsize::new(0),
            watched: Mutex::default(),
            new_watches,
            paused: AtomicBool::new(false),
            resume: Notify::new(),
        }
    }

    /// Sees to it that the end of the called instance is heard of. The first call to each instance
    /// comes here.
    #[cold]
    pub(crate) fn watch(&self, called: &Resolved) {
        // A service that can't be watched: the end of a connection tells what can be told.
        let Ok(router) = self.instance.router(&called.name) else { return };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if !watched.contains(&called.name) {
            // Under the lock: who finds the name noted has its events already.
            if self.new_watches.try_send(Box::new(router.watch())).is_err() {
                return;
            }
            watched.insert(called.name.clone());
        }
        drop(watched);
        self.pending.note_watched(called.handle);
    }

    /// Whom a call goes to. A key counts where there is a choice.
    pub(crate) fn try_resolve<D: Destination>(
        &self,
        to: &D,
        key: Option<Key>,
    ) -> Result<Resolved, SendError> {
        let instance = &self.instance;
        let Some(key) = key else {
            return instance.try_resolve(to);
        };
        match to.target() {
            Target::Router(router) => instance.try_resolve(router.key(key)),
            Target::Name(name) => instance.try_resolve(instance.router(name)?.key(key)),
            Target::Text(text) if !text.contains('/') => {
                instance.try_resolve(instance.agent().router(text)?.key(key))
            }
            _ => instance.try_resolve(to),
        }
    }

    /// As [`try_resolve`](Self::try_resolve), and waits for the first word on a service.
    pub(crate) async fn resolved<D: Destination>(
        &self,
        to: &D,
        key: Option<Key>,
        deadline: Instant,
    ) -> Result<Resolved, SendError> {
        loop {
            match self.try_resolve(to, key) {
                Err(SendError::Loading(name)) => self.loaded(&name, deadline).await?,
                resolved => return resolved,
            }
        }
    }

    /// Waits for the first word on a service, and until keys have owners.
    pub(crate) async fn loaded(
        &self,
        name: &ServiceName,
        deadline: Instant,
    ) -> Result<(), SendError> {
        // The call's own deadline comes first.
        let left = deadline.duration_since(Instant::now()) + Duration::from_secs(1);
        let router = self.instance.router(name)?;
        router.ready(left).await.map_err(SendError::Unresolved)?;
        router.settled(left).await.map_err(SendError::Unresolved)
    }

    /// A call waits from now on: its answer has to be read.
    pub(crate) fn wake_driver(&self) {
        if self.paused.load(SeqCst) {
            self.resume.notify_one();
        }
    }

    /// For the driver: says whether it pauses. Look for waiting calls after this.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, SeqCst);
    }

    /// For the driver: waits until a call wants it.
    pub(crate) async fn resumed(&self) {
        self.resume.notified().await;
    }
}
