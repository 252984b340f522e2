//! Bind, serve, stop.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::Arc;

use skymesh_naming::{ConnectionId, Registry};
use skymesh_store::records::{Life, Override};
use skymesh_store::{MemoryStore, Store, StoreError, Table};
use skymesh_transport::{Listener, OutboxConfig, ReadConfig};
use skymesh_types::RegistryId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::config::{ConfigError, NameserverConfig};
use crate::connection::{Entrance, serve};
use crate::counters::Counters;
use crate::keeper::{Event, Keeper};
use crate::operator::{Operator, restored};

/// Memory that an idle connection's write buffers keep, in bytes: there are many, mostly idle.
const IDLE_BUFFER_BYTES: usize = 4 * 1024;

/// Why a nameserver could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A value of the configuration is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address can't be listened at.
    #[error("nameserver: {0}")]
    Listen(#[from] skymesh_transport::BindError),
    /// The store can't be read or written.
    #[error("nameserver: {0}")]
    Store(#[from] StoreError),
    /// The system gives no random numbers, which registry ids are made of.
    #[error("nameserver: the system gives no random numbers: {0}")]
    Entropy(getrandom::Error),
}

/// A nameserver that listens and does not serve yet.
#[derive(Debug)]
pub struct Nameserver {
    listener: Listener,
    config: NameserverConfig,
    keeper: Keeper,
    queue: mpsc::Receiver<Event>,
    handle: NameserverHandle,
}

/// A running nameserver from outside: cheap to clone.
#[derive(Debug, Clone)]
pub struct NameserverHandle {
    local: SocketAddr,
    registry: RegistryId,
    counters: Arc<Counters>,
    stop: Arc<watch::Sender<bool>>,
    pub(crate) operator: Arc<Operator>,
}

impl NameserverHandle {
    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The life of its registry.
    pub const fn registry(&self) -> RegistryId {
        self.registry
    }

    /// What it has counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Makes [`Nameserver::run`] end gracefully. Does nothing the second time.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Nameserver {
    /// Listens, with a store that forgets everything when the process ends.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind then.
    pub async fn bind(config: NameserverConfig) -> Result<Self, BindError> {
        Self::bind_with_store(config, Arc::new(MemoryStore::new())).await
    }

    /// Listens, and takes from `store` what an earlier life has left there. One store serves one
    /// nameserver at a time.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind then but a noted registry id.
    pub async fn bind_with_store(
        config: NameserverConfig,
        store: Arc<dyn Store>,
    ) -> Result<Self, BindError> {
        config.validate()?;
        let mut read = ReadConfig::default();
        read.max_frame_bytes = config.limits.max_frame_bytes;
        let listener = Listener::bind(&config.listen, read).await?;
        let registry = new_registry_id()?;
        let overrides = Override::all(&store.read(Table::Overrides).await?)?;
        store.commit(vec![Life { registry }.write()]).await?;

        let (events, queue) = mpsc::channel(config.limits.queue);
        let counters = Arc::new(Counters::default());
        let epoch = Instant::now();
        let core = Registry::new(config.registry(), registry, epoch.elapsed());
        let mut keeper = Keeper::new(core, epoch, Arc::clone(&counters), events.clone());
        for input in restored(&overrides) {
            keeper.feed(input);
        }
        let handle = NameserverHandle {
            local: listener.local_address(),
            registry,
            counters,
            stop: Arc::new(watch::Sender::new(false)),
            operator: Arc::new(Operator::new(store, overrides, events)),
        };
        Ok(Self { listener, config, keeper, queue, handle })
    }

    /// Where it listens: the port that the system chose, if the configuration says 0.
    pub const fn local_addr(&self) -> SocketAddr {
        self.handle.local
    }

    /// A handle to it.
    pub fn handle(&self) -> NameserverHandle {
        self.handle.clone()
    }

    /// Serves until [`NameserverHandle::stop`].
    ///
    /// Dropping the future stops at once, without a word to anybody.
    pub async fn run(self) {
        self.run_until(pending()).await;
    }

    /// Serves until `shutdown` is ready or [`NameserverHandle::stop`] is called: then it takes no
    /// more connections, tells everyone that it stops, and waits up to `close_within` for the last
    /// frames to be read. Agents keep their last view and come back when a nameserver is there.
    ///
    /// Dropping the future stops at once, without a word to anybody.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, config, keeper, queue, handle } = self;
        tracing::info!(address = %handle.local, registry = %handle.registry, "nameserver listens");
        let entrance = Arc::new(entrance(&config, &handle));
        let mut stop = handle.stop.subscribe();
        let mut keeping = JoinSet::new();
        keeping.spawn(keeper.run(queue, handle.stop.subscribe()));
        let mut connections = JoinSet::new();
        let mut ids = (1..).map(ConnectionId);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = keeping.join_next() => {
                    // It ends by itself only in a panic, and without it nothing is served.
                    if let Err(error) = ended
                        && let Ok(panic) = error.try_into_panic()
                    {
                        std::panic::resume_unwind(panic);
                    }
                }
                Some(_) = connections.join_next() => {}
                connection = listener.accept() => {
                    handle.counters.connections.increment();
                    while connections.try_join_next().is_some() {}
                    let limit = config.limits.connections;
                    if connections.len() >= limit {
                        handle.counters.connections_refused.increment();
                        tracing::warn!(peer = %connection.peer, limit, "limits.connections reached");
                        continue;
                    }
                    if let Some(id) = ids.next() {
                        connections.spawn(serve(Arc::clone(&entrance), id, connection));
                    }
                }
            }
        }
        drop(listener);
        handle.stop();
        let last_words = async {
            while keeping.join_next().await.is_some() {}
            while connections.join_next().await.is_some() {}
        };
        if timeout(config.close_within, last_words).await.is_err() {
            tracing::warn!("some agents did not read the last frames in time");
        }
        tracing::info!(address = %handle.local, "nameserver stopped");
    }
}

fn entrance(config: &NameserverConfig, handle: &NameserverHandle) -> Entrance {
    let mut outbox = OutboxConfig::default();
    outbox.buffer_bytes = config.limits.outbox_bytes;
    outbox.control_bytes = config.limits.reply_bytes;
    outbox.max_frame_bytes = config.limits.max_frame_bytes;
    outbox.keep_bytes = IDLE_BUFFER_BYTES;
    // The keeper serves everyone: it leaves every write to the connection's own task.
    outbox.idle_gap = std::time::Duration::MAX;
    outbox.write_mark_bytes = usize::MAX;
    Entrance {
        events: handle.operator.events(),
        counters: Arc::clone(&handle.counters),
        introduce_within: config.introduce_within,
        close_within: config.close_within,
        outbox,
    }
}

fn new_registry_id() -> Result<RegistryId, BindError> {
    loop {
        let id = getrandom::u64().map_err(BindError::Entropy)?;
        if let Ok(id) = RegistryId::new(id) {
            return Ok(id);
        }
    }
}
