//! The agent's public handle: start it, register instances, watch services, stop it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use skymesh_plugin_host::{CodecSlot, PluginHost, PluginLoadError, PluginReport, PluginsConfig};
use skymesh_transport::{BindError, Listener};
use skymesh_types::{AppId, NameError, ServiceName, ServiceUrl, UrlError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::config::{AgentConfig, RangeError, ServicesConfig, Unreachable};
use crate::counters::Counters;
use crate::registration::Registration;
use crate::router::Router;
use crate::runtime::{Contact, Parts, Runtime, Settings};
use crate::send::SendError;
use crate::uplink::{COMMANDS, Command, Uplink};
use crate::{ingress, pings};

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No app was named.
    #[error("agent.app is missing: name the app that this process belongs to")]
    NoApp,
    /// The app is no valid name.
    #[error("agent.app: {0}")]
    App(#[from] NameError),
    /// A value is out of range.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The listening address can't be had.
    #[error("agent.listen: {0}")]
    Listen(#[from] BindError),
    /// A plugin can't be had.
    #[error(transparent)]
    Plugin(#[from] PluginLoadError),
    /// The nameserver can't be reached, and `agent.unreachable` is `fail`.
    #[error("{0} (agent.unreachable = \"retry\" would keep trying)")]
    Nameserver(String),
}

/// What to start an agent with. [`Agent::builder`].
#[derive(Debug, Default)]
#[must_use = "nothing is started until `connect`"]
pub struct AgentBuilder {
    app: Option<String>,
    settings: Settings,
    plugins: PluginsConfig,
    host: Option<PluginHost>,
}

impl AgentBuilder {
    /// The app that this process belongs to.
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.app = Some(app.into());
        self
    }

    /// Where the nameserver listens, `host:port`.
    pub fn nameserver(mut self, address: impl Into<String>) -> Self {
        self.settings.agent.nameserver = address.into();
        self
    }

    /// What to do while the nameserver can't be reached.
    pub fn unreachable(mut self, unreachable: Unreachable) -> Self {
        self.settings.agent.unreachable = unreachable;
        self
    }

    /// The whole `[agent]` table. Replaces what was set before it.
    pub fn config(mut self, config: AgentConfig) -> Self {
        self.settings.agent = config;
        self
    }

    /// The whole `[services]` table.
    pub fn services(mut self, services: ServicesConfig) -> Self {
        self.settings.services = services;
        self
    }

    /// The `[plugins]` table.
    pub fn plugins(mut self, plugins: PluginsConfig) -> Self {
        self.plugins = plugins;
        self
    }

    /// A plugin host that was made already, e.g. one with statically linked plugins. The
    /// `[plugins]` table is then not used.
    pub fn plugin_host(mut self, host: PluginHost) -> Self {
        self.host = Some(host);
        self
    }

    /// Loads the plugins, listens, and connects to the nameserver.
    ///
    /// While the nameserver can't be reached, waits for it (saying so in the log) or fails, as
    /// `agent.unreachable` says. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError`] says what to correct.
    pub async fn connect(mut self) -> Result<Agent, ConnectError> {
        if let Some(app) = self.app.take() {
            self.settings.agent.app = Some(app.parse()?);
        }
        self.settings.agent.validate()?;
        self.settings.services.validate(&self.settings.agent.inbox)?;
        let app = self.settings.agent.app.clone().ok_or(ConnectError::NoApp)?;
        let host = match self.host.take() {
            Some(host) => host,
            None => PluginHost::new(self.plugins)?,
        };
        let codecs =
            load_strategies(&host, &self.settings.services, self.settings.agent.max_frame_bytes)?;
        start(self.settings, app, host, codecs).await
    }
}

/// Loads every strategy that is configured, so that what is wrong is said at the start, not at the
/// first message. Answers the codecs by id.
fn load_strategies(
    host: &PluginHost,
    services: &ServicesConfig,
    max_frame_bytes: usize,
) -> Result<HashMap<String, CodecSlot>, PluginLoadError> {
    let mut codecs = HashMap::new();
    for service in services.0.values() {
        if let Some(strategy) = &service.selector {
            host.selector(strategy)?;
        }
        if let Some(strategy) = &service.codec
            && let Some(codec) = host.codec(strategy)?
        {
            codecs.insert(strategy.id().to_owned(), codec.limited_to(max_frame_bytes));
        }
    }
    Ok(codecs)
}

async fn start(
    settings: Settings,
    app: AppId,
    host: PluginHost,
    codecs: HashMap<String, CodecSlot>,
) -> Result<Agent, ConnectError> {
    let mut read = skymesh_transport::ReadConfig::default();
    read.max_frame_bytes = settings.agent.max_frame_bytes;
    let listener = Listener::bind(&settings.agent.listen.to_string(), read).await?;
    let listening = listener.local_address().to_string();
    let address = settings.agent.advertise.clone().unwrap_or(listening).into();
    let (uplink, commands) = mpsc::channel(COMMANDS);
    let fail = settings.agent.unreachable == Unreachable::Fail;
    let runtime = Runtime::new(Parts { settings, app, address, host, codecs, uplink });
    let uplink = Uplink::new(Arc::clone(&runtime), commands);
    runtime.tasks.spawn(ingress::accept(Arc::clone(&runtime), listener));
    runtime.tasks.spawn(uplink.run());
    runtime.tasks.spawn(pings::run(Arc::clone(&runtime)));
    runtime.tasks.spawn(build_views(Arc::clone(&runtime)));
    let mut unfinished = Unfinished(Some(Arc::clone(&runtime)));
    let mut contact = runtime.contact.subscribe();
    loop {
        match contact.borrow_and_update().clone() {
            Contact::Made => break,
            Contact::Failed(error) if fail => return Err(ConnectError::Nameserver(error)),
            Contact::Failed(_) | Contact::Trying => {}
        }
        // The runtime keeps the sender for as long as this waits.
        let _ = contact.changed().await;
    }
    unfinished.0 = None;
    Ok(Agent { runtime })
}

async fn build_views(runtime: Arc<Runtime>) {
    tokio::select! {
        () = runtime.stopped.cancelled() => {}
        () = runtime.directory.build_views(&runtime) => {}
    }
}

/// Stops what was started by a `connect` that failed or was given up.
struct Unfinished(Option<Arc<Runtime>>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(runtime) = &self.0 {
            runtime.stopping.cancel();
            runtime.stopped.cancel();
        }
    }
}

/// The in-process runtime: one per app and process. Cheap to clone.
///
/// Stop it with [`shutdown`](Self::shutdown). A process that just ends looks like a crash to its
/// peers: they notice within the nameserver's `session_grace`.
#[derive(Clone)]
pub struct Agent {
    runtime: Arc<Runtime>,
}

impl Agent {
    /// Starts with the defaults.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::default()
    }

    pub(crate) fn of(runtime: Arc<Runtime>) -> Self {
        Self { runtime }
    }

    /// The app that this process belongs to.
    pub fn app(&self) -> &AppId {
        &self.runtime.app
    }

    /// Where peers reach this agent, `ip:port`.
    pub fn address(&self) -> &str {
        &self.runtime.address
    }

    /// An instance to be registered: `await` it, or let it [`serve`](Registration::serve).
    pub fn register<U>(&self, url: U) -> Registration
    where
        U: TryInto<ServiceUrl>,
        UrlError: From<U::Error>,
    {
        let url = url.try_into().map_err(UrlError::from);
        Registration::new(Arc::clone(&self.runtime), url)
    }

    /// The live view of a service; watched from now on.
    ///
    /// # Errors
    /// [`SendError`] if the name is none, the service is of a foreign app, or its strategies can't
    /// be loaded.
    pub fn router<N>(&self, name: N) -> Result<Router, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        self.runtime.named_router(name)
    }

    /// What the agent has counted since its start.
    pub fn counters(&self) -> &Counters {
        &self.runtime.counters
    }

    /// Every plugin that was asked for, and what became of it.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.runtime.host.report()
    }

    /// Waits for SIGINT or SIGTERM, then stops gracefully.
    ///
    /// # Errors
    /// If the operating system gives no signals.
    pub async fn run_until_signal(self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        self.shutdown().await;
        Ok(())
    }

    /// Stops gracefully: peers learn that nothing new is to be sent here, what was sent is read,
    /// what this agent sent goes out, and the nameserver hears a goodbye. Takes up to
    /// `agent.drain_timeout`; what is still open then is cut off.
    ///
    /// Services driven by [`serve`](Registration::serve) finish what is in their inboxes.
    pub async fn shutdown(&self) {
        let runtime = &self.runtime;
        runtime.stopping.cancel();
        let deadline = Instant::now() + runtime.settings.agent.drain_timeout;
        // Without a nameserver there is nobody to tell; peers notice when the connections end.
        let told = *runtime.contact.borrow() == Contact::Made;
        if told {
            let (drained, done) = oneshot::channel();
            let _ = timeout_at(deadline, runtime.uplink.send(Command::Drain(drained))).await;
            let _ = timeout_at(deadline, done).await;
        }
        let _ = timeout_at(deadline, runtime.quiet()).await;
        let links = runtime.directory.links();
        let _ = timeout_at(deadline, runtime.deliver_on(links)).await;
        if told {
            let (goodbye, said) = oneshot::channel();
            let _ = timeout_at(deadline, runtime.uplink.send(Command::Goodbye(goodbye))).await;
            let _ = timeout_at(deadline, said).await;
        }
        for queue in runtime.directory.locals() {
            queue.close();
        }
        runtime.stopped.cancel();
        runtime.directory.clear();
        runtime.tasks.close();
        let _ = timeout_at(deadline, runtime.tasks.wait()).await;
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("app", self.app())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
