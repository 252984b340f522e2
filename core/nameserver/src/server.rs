//! Bind, serve, stop.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::{ConnectionId, Input, Registry};
use skymesh_plugin_host::{PluginHost, PluginReport, SlotHealth};
use skymesh_reload::Reloader;
use skymesh_store::Store;
use skymesh_telemetry::Sinks;
use skymesh_transport::{Connection, LineBudget, Listener, OutboxConfig, ReadConfig};
use skymesh_types::{RegistryId, ServicePattern};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::admin::Token;
use crate::archive::Archive;
use crate::builder::NameserverBuilder;
use crate::config::NameserverConfig;
use crate::connection::{Entrance, serve};
use crate::counters::Counters;
use crate::elections::Elections;
use crate::keeper::{Event, Keeper};
use crate::ledger::Ledger;
use crate::metrics::sinks;
use crate::operator::{Operator, restored};
use crate::reload::{Desk, Holding, NameserverReload};
use crate::start::{BindError, Restart, inherit, token};

/// Memory that an idle connection's write buffers keep, in bytes: there are many, mostly idle.
const IDLE_BUFFER_BYTES: usize = 4 * 1024;

/// What the plugins get to end in, also where agents have used up `close_within`: as long as a batch may take
/// by default. What takes longer is left behind.
const LAST_BATCH: Duration = Duration::from_secs(1);

/// A nameserver that listens and does not serve yet.
#[derive(Debug)]
pub struct Nameserver {
    listener: Listener,
    config: NameserverConfig,
    token: Option<Token>,
    keeper: Keeper,
    queue: mpsc::Receiver<Event>,
    reloader: Reloader<NameserverReload>,
    sinks: Arc<Sinks>,
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
    pub(crate) elections: Elections,
    pub(crate) desk: Desk,
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

    /// The plugins that it has loaded for elections, and what became of them.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.elections.report()
    }

    /// How the election algorithm of each pattern of its configuration is doing; none once it has ended.
    pub fn elections(&self) -> Vec<(ServicePattern, SlotHealth)> {
        let all = self.elections.strategies().into_iter();
        all.map(|(pattern, _, health)| (pattern, health)).collect()
    }

    pub(crate) fn shared_counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Turns true when it stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(crate) fn shared_host(&self) -> &Arc<PluginHost> {
        self.elections.host()
    }

    /// Makes [`Nameserver::run`] end gracefully. Does nothing the second time.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Nameserver {
    /// A nameserver in the making: with plugins for elections, or a store of the caller's.
    pub fn builder(config: NameserverConfig) -> NameserverBuilder {
        NameserverBuilder::new(config)
    }

    /// Listens, with the store that the configuration says, and takes from it what an earlier life
    /// has left there. Leaders are picked by the built-in rule.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind then but what was made in the data folder.
    pub async fn bind(config: NameserverConfig) -> Result<Self, BindError> {
        Self::builder(config).bind().await
    }

    /// As [`bind`](Self::bind), with a store of the caller's: see [`NameserverBuilder::store`].
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind then but a noted registry id.
    pub async fn bind_with_store(
        config: NameserverConfig,
        store: Arc<dyn Store>,
    ) -> Result<Self, BindError> {
        Self::builder(config).store(store).bind().await
    }

    pub(crate) async fn begin(
        builder: NameserverBuilder,
        elections: Elections,
        listener: Listener,
        store: Arc<dyn Store>,
        restart: Restart,
    ) -> Result<Self, BindError> {
        let NameserverBuilder { config, elections: configured, plugins, metrics, source, .. } =
            builder;
        let token = token(&config)?;
        let sinks = sinks(elections.host(), &metrics, listener.local_address());
        let sinks = sinks.map_err(BindError::Metrics)?;
        let registry = new_registry_id()?;
        let inherited = inherit(&*store, restart, registry).await?;

        let (events, queue) = mpsc::channel(config.limits.queue);
        let counters = Arc::new(Counters::default());
        counters.queue.look_at(&events);
        let epoch = Instant::now();
        let core = Registry::new(config.registry(), registry, epoch.elapsed())
            .with_elector(Box::new(elections.electorate(events.clone())));
        let ledger = Ledger::new(Arc::clone(&store), events.clone());
        let mut keeper = Keeper::new(core, epoch, Arc::clone(&counters), events.clone(), ledger);
        keeper.feed(Input::Store(inherited.durable));
        for input in restored(&inherited.overrides) {
            keeper.feed(input);
        }
        if restart == Restart::Warm {
            let archive = Archive::new(Arc::clone(&store), Arc::clone(&counters), events.clone());
            keeper.recall(inherited.registrations, archive);
        }
        let (desk, requests) = Desk::new();
        let reload = NameserverReload::new(
            config.clone(),
            Holding { elections: configured, plugins, metrics },
            Arc::clone(&sinks),
            elections.clone(),
            events.clone(),
            source,
        );
        let every = config.watch_files;
        let reloader = Reloader::new(Arc::new(reload), desk.clone(), requests, every).await;
        let handle = NameserverHandle {
            local: listener.local_address(),
            registry,
            counters,
            stop: Arc::new(watch::Sender::new(false)),
            operator: Arc::new(Operator::new(store, inherited.overrides, events)),
            elections,
            desk,
        };
        handle.show_on(&sinks.metrics);
        Ok(Self { listener, config, token, keeper, queue, reloader, sinks, handle })
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
    /// frames to be read, and for the end of its plugins, which have a second at least. Agents keep their last view and come back when a nameserver is there.
    ///
    /// Dropping the future stops at once, without a word to anybody.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, config, token, keeper, queue, reloader, sinks, handle } = self;
        tracing::info!(address = %handle.local, registry = %handle.registry, "nameserver listens");
        let entrance = Arc::new(entrance(&config, &handle, token));
        let mut stop = handle.stop.subscribe();
        let mut keeping = JoinSet::new();
        keeping.spawn(keeper.run(queue, handle.stop.subscribe()));
        let mut stopping = handle.stop.subscribe();
        keeping.spawn(reloader.run(async move {
            // The handle that stops it lives as long as this.
            let _ = stopping.wait_for(|stop| *stop).await;
        }));
        let mut connections = JoinSet::new();
        let mut ids = (1..).map(ConnectionId);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = keeping.join_next() => raise(ended),
                Some(_) = connections.join_next() => {}
                connection = listener.accept() => {
                    let limit = config.limits.connections;
                    if has_room(&mut connections, limit, &connection, &entrance)
                        && let Some(id) = ids.next()
                    {
                        connections.spawn(serve(Arc::clone(&entrance), id, connection));
                    }
                }
            }
        }
        drop(listener);
        handle.stop();
        let (close_within, deadline) = (config.close_within, Instant::now() + config.close_within);
        let agents = async {
            while keeping.join_next().await.is_some() {}
            while connections.join_next().await.is_some() {}
        };
        if timeout_at(deadline, agents).await.is_err() {
            tracing::warn!(?close_within, "some agents did not read the last frames in time");
        }
        // After the agents, for the last batch has all that was counted.
        ends(deadline, end(sinks, handle.elections.clone())).await;
        tracing::info!(address = %handle.local, "nameserver stopped");
    }
}

/// Counts a connection that came, and answers whether it may stay.
fn has_room(
    connections: &mut JoinSet<()>,
    limit: usize,
    connection: &Connection,
    entrance: &Entrance,
) -> bool {
    let counters = &entrance.counters;
    counters.connections.increment();
    while connections.try_join_next().is_some() {}
    let has_room = connections.len() < limit;
    if !has_room {
        counters.connections_refused.increment();
        if entrance.lines.admits() {
            tracing::warn!(peer = %connection.peer, limit, "limits.connections reached");
        }
    }
    has_room
}

/// What keeps ends by itself only in a panic, and without it nothing is served.
fn raise(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Waits for the end of the plugins until the deadline, and for [`LAST_BATCH`] whatever it says; answers whether
/// it came.
async fn ends(deadline: Instant, end: impl Future<Output = ()>) -> bool {
    let deadline = deadline.max(Instant::now() + LAST_BATCH);
    let ended = timeout_at(deadline, end).await.is_ok();
    if !ended {
        tracing::warn!("the plugins have not ended in time");
    }
    ended
}

/// Ends the sinks, and lets go of the election algorithms, which handles would keep. A last batch waits for
/// its plugin, maybe for ever, so this is done by a thread that nobody has to wait for, and that has the
/// sinks before this returns: whoever drops them waits as well.
fn end(sinks: Arc<Sinks>, elections: Elections) -> impl Future<Output = ()> {
    let (ended, end) = oneshot::channel();
    let stop = move || {
        sinks.endings().into_iter().for_each(|end| end());
        elections.exchange(Vec::new());
        // Who waited may have gone.
        let _ = ended.send(());
    };
    let thread = std::thread::Builder::new().name("skymesh-end".to_owned()).spawn(stop);
    async move {
        if thread.is_ok() {
            let _ = end.await;
        }
    }
}

pub(crate) async fn listen(config: &NameserverConfig) -> Result<Listener, BindError> {
    let mut read = ReadConfig::default();
    read.max_frame_bytes = config.limits.max_frame_bytes;
    Ok(Listener::bind(&config.listen, read).await?)
}

fn entrance(
    config: &NameserverConfig,
    handle: &NameserverHandle,
    token: Option<Token>,
) -> Entrance {
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
        nameserver: handle.clone(),
        token,
        lines: LineBudget::default(),
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

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn plugins_have_a_time_to_end_in_whatever_is_left_of_the_deadline() {
        let second = Duration::from_secs(1);
        // How much of the deadline is left, how long the plugins take, whether that is waited for.
        let cases = [
            (Duration::ZERO, LAST_BATCH / 2, true),
            (Duration::ZERO, LAST_BATCH + second, false),
            (LAST_BATCH + 2 * second, LAST_BATCH + second, true),
        ];
        for (left, takes, waited) in cases {
            assert_eq!(
                ends(Instant::now() + left, sleep(takes)).await,
                waited,
                "{left:?} {takes:?}"
            );
        }
    }
}
