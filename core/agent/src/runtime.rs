//! What all parts of one agent share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use skymesh_plugin_host::{PluginHost, PluginLoadError, SelectorSlot};
use skymesh_stages::Chooser;
use skymesh_telemetry::{Sinks, Tracer};
use skymesh_transport::{OutboxConfig, ReadConfig};
use skymesh_types::{AgentId, AppId, Handle, NameError, ServiceName, UrlError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::codecs::Codecs;
use crate::config::{AgentConfig, ServicesConfig};
use crate::counters::Counters;
use crate::directory::Directory;
use crate::election::Elections;
use crate::meter::Meters;
use crate::peer::Link;
use crate::pings::{BACKLOG, Pings};
use crate::reload::Desk;
use crate::router::{Router, RouterCore};
use crate::send::SendError;
use crate::sender::Sender;
use crate::uplink::{Command, Errands, RequestError};

/// The configuration that the agent was started with. What a reload changes is in [`Hot`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) agent: AgentConfig,
    pub(crate) services: ServicesConfig,
}

/// What a reload may change; exchanged as a whole.
#[derive(Debug)]
pub(crate) struct Hot {
    /// That of the start, with the newest hot keys.
    pub(crate) agent: AgentConfig,
    pub(crate) services: ServicesConfig,
    pub(crate) codecs: Arc<Codecs>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) settings: Settings,
    pub(crate) app: AppId,
    pub(crate) agent: AgentId,
    /// Where peers reach this agent.
    pub(crate) address: Arc<str>,
    pub(crate) host: PluginHost,
    pub(crate) hot: ArcSwap<Hot>,
    /// Where reloads are asked for.
    pub(crate) desk: Desk,
    /// Where the command line is answered, once it is.
    pub(crate) admin_socket: OnceLock<PathBuf>,
    pub(crate) directory: Directory,
    pub(crate) elections: Elections,
    pub(crate) counters: Arc<Counters>,
    pub(crate) meters: Meters,
    /// Where the agent shows itself, once it does.
    sinks: OnceLock<Sinks>,
    tracer: OnceLock<Tracer>,
    pub(crate) uplink: mpsc::Sender<Command>,
    /// What the uplink is to do beside, by who can't wait for it.
    pub(crate) errands: Errands,
    /// All tasks of the agent; a graceful stop waits for them.
    pub(crate) tasks: TaskTracker,
    /// The agent stops: nothing new is accepted, tasks finish.
    pub(crate) stopping: CancellationToken,
    /// The agent is off the mesh: connections end.
    pub(crate) stopped: CancellationToken,
    pub(crate) pings: Pings,
    /// How the nameserver was reached last.
    pub(crate) contact: watch::Sender<Contact>,
    /// Connections that peers hold to this agent.
    pub(crate) inbound: AtomicUsize,
    started: Instant,
}

/// How it goes with the nameserver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contact {
    /// Not known yet.
    Trying,
    /// The last attempt failed.
    Failed(String),
    /// It is there.
    Made,
}

/// No message for so long, and nothing unread: the agent counts as drained.
const QUIET: Duration = Duration::from_millis(100);

/// How long the messages by key of an instance that leaves may take to go out.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a runtime is made of, beside what it makes itself.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) app: AppId,
    pub(crate) address: Arc<str>,
    pub(crate) host: PluginHost,
    pub(crate) codecs: Codecs,
    pub(crate) desk: Desk,
    pub(crate) uplink: mpsc::Sender<Command>,
}

impl Runtime {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { settings, app, address, host, codecs, desk, uplink } = parts;
        let Settings { agent, services } = settings.clone();
        let codecs = Arc::new(codecs);
        let started = Instant::now();
        let elections = Elections::new(agent.nameserver_protocol, started);
        Arc::new(Self {
            hot: ArcSwap::from_pointee(Hot { agent, services, codecs }),
            desk,
            admin_socket: OnceLock::new(),
            settings,
            app,
            agent: AgentId::new(entropy() | 1).expect("invariant: the last bit is set"),
            address,
            host,
            directory: Directory::default(),
            elections,
            counters: Arc::default(),
            meters: Meters::default(),
            sinks: OnceLock::new(),
            tracer: OnceLock::new(),
            uplink,
            errands: Errands::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            stopped: CancellationToken::new(),
            pings: Pings::default(),
            contact: watch::Sender::new(Contact::Trying),
            inbound: AtomicUsize::new(0),
            started,
        })
    }

    /// Refuses `what` at a nameserver of protocol 1, which has no word for it.
    pub(crate) fn check_beyond_v1(&self, what: &'static str) -> Result<(), RequestError> {
        match self.settings.agent.nameserver_protocol {
            1 => Err(RequestError::NotSupported(what)),
            _ => Ok(()),
        }
    }

    /// How long a first word on a name is waited for, as configured now.
    pub(crate) fn resolve_timeout(&self) -> Duration {
        self.hot.load().agent.resolve_timeout
    }

    /// Time since the agent started: the clock of its sans-io parts.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Off until [`show_on`](Self::show_on), which comes before the first instance.
    pub(crate) fn tracer(&self) -> &Tracer {
        self.tracer.get_or_init(Tracer::default)
    }

    /// From now on what happens here is shown there.
    pub(crate) fn show_on(self: &Arc<Self>, sinks: Sinks) {
        let _ = self.tracer.set(sinks.tracing.tracer());
        sinks.metrics.add(self);
        let _ = self.sinks.set(sinks);
    }

    /// Where what happens here is shown.
    pub(crate) fn sinks(&self) -> Option<&Sinks> {
        self.sinks.get()
    }

    /// The router of `name`, made and watched if there is none yet.
    pub(crate) fn router(self: &Arc<Self>, name: &ServiceName) -> Result<Router, SendError> {
        if let Some(core) = self.directory.router(name) {
            return Ok(Router { runtime: Arc::clone(self), core });
        }
        if !name.is_in(&self.app) {
            let app = self.app.to_string();
            return Err(SendError::ForeignApp { name: name.clone(), app });
        }
        let hot = self.hot.load_full();
        let (core, new) = self.directory.open_router(name, self.selector_for(&hot, name)?);
        if !Arc::ptr_eq(&hot, &self.hot.load()) {
            // A reload that did not see this router yet.
            // It is told by the log: nobody asked for a reload here.
            let _ = self.reselect(&core);
        }
        if new {
            self.errands.watch(name.clone());
        } else {
            self.note_placement(name);
        }
        Ok(Router { runtime: Arc::clone(self), core })
    }

    /// Takes an instance off the mesh, without waiting for an answer.
    pub(crate) fn forget(&self, handle: Handle) {
        self.elections.forget(handle);
        self.directory.remove_local(handle);
        self.errands.leave(handle);
    }

    /// Asks the nameserver who is of `name`, unless that is known or many were asked about already.
    pub(crate) fn observe(&self, name: &ServiceName) {
        if self.directory.observe(name) {
            self.errands.watch(name.clone());
        }
    }

    /// Whether the nameserver is out of reach now.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.directory.stale_for(self.elapsed()).is_some()
    }

    /// As [`router`](Self::router), by a name that may be a text.
    pub(crate) fn named_router<N>(self: &Arc<Self>, name: N) -> Result<Router, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        let name = name.try_into().map_err(|error| UrlError::Name(NameError::from(error)))?;
        self.router(&name)
    }

    fn selector_for(&self, hot: &Hot, name: &ServiceName) -> Result<SelectorSlot, SendError> {
        self.host
            .selector(&hot.services.selector(name))
            .map_err(|error| SendError::Strategy { name: name.clone(), reason: error.to_string() })
    }

    /// Gives a router the selector that is configured now. It was tried when that configuration took
    /// effect; should it be refused all the same, the router keeps what it has.
    ///
    /// # Errors
    /// Why it was refused, which the log has been told.
    pub(crate) fn reselect(&self, core: &RouterCore) -> Result<(), PluginLoadError> {
        let strategy = self.hot.load().services.selector(&core.name);
        let exchanged = self.host.exchange_selector(&core.selector, &strategy);
        self.directory.outdated([core.name.clone()]);
        core.note_exchanged();
        exchanged.inspect_err(|error| {
            tracing::warn!(name = %core.name, %error, "the selector of before the reload stays");
        })
    }

    /// Waits until no message has come for a while and every inbox is read.
    pub(crate) async fn quiet(&self) {
        let mut ticks = tokio::time::interval(QUIET);
        let mut seen = None;
        while self.inbound.load(SeqCst) > 0 {
            ticks.tick().await;
            let received = self.counters.messages_received.get();
            let unread = self.directory.locals().iter().any(|queue| !queue.is_read());
            if seen.replace(received) == Some(received) && !unread {
                return;
            }
        }
    }

    /// Ends a sender: it sends nothing more, and what it has sent is with its receivers when this
    /// returns, so that no word of its leaving overtakes it.
    pub(crate) async fn deliver_sent(self: &Arc<Self>, sender: &Sender) {
        let _ = timeout(LAST_WORDS, self.nothing_kept(Some(sender.source.handle()))).await;
        sender.source.set_offline(true);
        self.deliver_on(sender.links(), BACKLOG).await;
        sender.links().iter().for_each(|link| link.retire(sender));
    }

    /// Waits until all that was sent over `links` is with its receivers; not for those that are silent or
    /// take too long: see [`Pings::barrier_unless_silent`].
    pub(crate) async fn deliver_on(self: &Arc<Self>, links: Vec<Arc<Link>>, most: Duration) {
        let mut barriers = JoinSet::new();
        for link in links.into_iter().filter(|link| !link.is_settled()) {
            let runtime = Arc::clone(self);
            barriers.spawn(async move {
                runtime.pings.barrier_unless_silent(&runtime, &link, most).await;
            });
        }
        // Who does not answer in time may miss the last words: nobody waits for that for ever.
        barriers.join_all().await;
    }

    /// As who this agent chooses among instances.
    pub(crate) fn chooser(&self) -> Chooser<'_> {
        Chooser { agent: self.agent.get(), zone: self.settings.agent.zone.as_deref() }
    }

    pub(crate) fn read_config(&self) -> ReadConfig {
        let mut read = ReadConfig::default();
        read.max_frame_bytes = self.settings.agent.max_frame_bytes;
        read
    }

    pub(crate) fn outbox_config(&self) -> OutboxConfig {
        let mut outbox = OutboxConfig::default();
        outbox.buffer_bytes = self.settings.agent.outbox_bytes;
        outbox.max_frame_bytes = self.settings.agent.max_frame_bytes;
        outbox
    }
}

/// 64 bits from the operating system.
pub(crate) fn entropy() -> u64 {
    getrandom::u64().expect("invariant: the operating system gives random bytes")
}

/// A handle for a new incarnation: random, so that none is ever used twice.
pub(crate) fn new_handle() -> Handle {
    Handle::new(entropy() | 1).expect("invariant: the last bit is set")
}
