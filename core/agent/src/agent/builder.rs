//! What an agent is started with, and how it starts.

use std::fmt;
use std::sync::Arc;

use skymesh_plugin_host::{LinkedPlugin, PluginHost, PluginLoadError, PluginsConfig};
use skymesh_reload::Reloader;
use skymesh_telemetry::{MetricsConfig, TelemetryError, TraceConfig};
use skymesh_transport::{BindError, Listener};
use skymesh_types::{AppId, NameError, ServicePattern};
use tokio::sync::mpsc;

use super::Agent;
use super::shown::Shown;
use crate::admin::{self, AdminError};
use crate::codecs::Codecs;
use crate::config::{AgentConfig, RangeError, ServicesConfig, Unreachable};
use crate::reload::{AgentReload, ConfigSource, Desk, FreshConfig};
use crate::runtime::{Contact, Parts, Runtime, Settings};
use crate::uplink::{COMMANDS, Uplink};
use crate::{ingress, pings, review};

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
    /// What some services are configured with can't be had.
    #[error("services.\"{pattern}\".{key}: {error}")]
    Strategy {
        /// Which ones.
        pattern: ServicePattern,
        /// `selector` or `codec`.
        key: &'static str,
        /// Why not.
        error: Box<PluginLoadError>,
    },
    /// The socket for the command line can't be made.
    #[error("agent.admin: {0}")]
    Admin(#[from] AdminError),
    /// Metrics can't be shown.
    #[error("{}", .0.in_table("metrics"))]
    Metrics(TelemetryError),
    /// Spans can't be shown.
    #[error("{}", .0.in_table("trace"))]
    Trace(TelemetryError),
    /// The nameserver can't be reached, and `agent.unreachable` is `fail`.
    #[error("{0} (agent.unreachable = \"retry\" would keep trying)")]
    Nameserver(String),
}

impl ConnectError {
    pub(crate) fn strategy(
        pattern: &ServicePattern,
        key: &'static str,
        error: PluginLoadError,
    ) -> Self {
        Self::Strategy { pattern: pattern.clone(), key, error: Box::new(error) }
    }
}

/// What to start an agent with. [`Agent::builder`].
#[derive(Debug, Default)]
#[must_use = "nothing is started until `connect`"]
pub struct AgentBuilder {
    app: Option<String>,
    settings: Settings,
    plugins: PluginsConfig,
    host: Option<PluginHost>,
    linked: Linked,
    source: Source,
    shown: Shown,
}

/// Plugins that are part of the executable.
#[derive(Default)]
struct Linked(Vec<LinkedPlugin>);

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Linked").field(&self.0.len()).finish()
    }
}

/// Where the configuration can be read again.
#[derive(Default)]
struct Source(Option<Arc<dyn ConfigSource<FreshConfig>>>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.0.is_some()).finish()
    }
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

    /// Plugins that are linked into this executable, such as all of `skymesh_stock::plugins()`. A
    /// library file that offers the same plugin goes first, unless `plugins.linked_only` is set.
    pub fn linked(mut self, plugins: impl IntoIterator<Item = LinkedPlugin>) -> Self {
        self.linked.0.extend(plugins);
        self
    }

    /// A plugin host that was made already, which has the plugins that were linked into it.
    /// The `[plugins]` table is then used by reloads only.
    pub fn plugin_host(mut self, host: PluginHost) -> Self {
        self.host = Some(host);
        self
    }

    /// The `[metrics]` table.
    pub fn metrics(mut self, config: MetricsConfig) -> Self {
        self.shown.metrics = config;
        self
    }

    /// The `[trace]` table.
    pub fn trace(mut self, config: TraceConfig) -> Self {
        self.shown.trace = config;
        self
    }

    /// Where reloads read the configuration again. Without it they look at plugin files only, unless
    /// they are given a configuration.
    pub fn source(mut self, source: impl ConfigSource<FreshConfig>) -> Self {
        self.source = Source(Some(Arc::new(source)));
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
            None => PluginHost::with_linked(self.plugins.clone(), self.linked.0.drain(..))?,
        };
        let codecs =
            load_strategies(&host, &self.settings.services, self.settings.agent.max_frame_bytes)?;
        let Self { settings, plugins, source, shown, .. } = self;
        start(Start { settings, app, host, codecs, plugins, source: source.0, shown }).await
    }
}

/// Loads every strategy that is configured, so that what is wrong is said at the start, not at the
/// first message.
fn load_strategies(
    host: &PluginHost,
    services: &ServicesConfig,
    max_frame_bytes: usize,
) -> Result<Codecs, ConnectError> {
    for (pattern, service) in &services.0 {
        if let Some(strategy) = &service.selector {
            let made = host.selector(strategy);
            made.map_err(|error| ConnectError::strategy(pattern, "selector", error))?;
        }
    }
    Codecs::load(host, services, max_frame_bytes)
}

/// What an agent is started with, once it is checked.
struct Start {
    settings: Settings,
    app: AppId,
    host: PluginHost,
    codecs: Codecs,
    plugins: PluginsConfig,
    source: Option<Arc<dyn ConfigSource<FreshConfig>>>,
    shown: Shown,
}

async fn start(start: Start) -> Result<Agent, ConnectError> {
    let Start { settings, app, host, codecs, plugins, source, shown } = start;
    let door = admin::Door::open(&settings.agent.admin)?;
    let mut read = skymesh_transport::ReadConfig::default();
    read.max_frame_bytes = settings.agent.max_frame_bytes;
    let listener = Listener::bind(&settings.agent.listen.to_string(), read).await?;
    let listening = listener.local_address().to_string();
    let address = settings.agent.advertise.clone().unwrap_or(listening).into();
    let (uplink, commands) = mpsc::channel(COMMANDS);
    let fail = settings.agent.unreachable == Unreachable::Fail;
    let (desk, requests) = Desk::new();
    let runtime = Runtime::new(Parts { settings, app, address, host, codecs, desk, uplink });
    let reload = Arc::new(AgentReload::new(Arc::clone(&runtime), plugins, &shown, source));
    let every = runtime.settings.agent.watch_files;
    let reloader = Reloader::new(reload, runtime.desk.clone(), requests, every).await;
    shown.start(&runtime)?;
    let uplink = Uplink::new(Arc::clone(&runtime), commands);
    runtime.tasks.spawn(ingress::accept(Arc::clone(&runtime), listener));
    runtime.tasks.spawn(uplink.run());
    runtime.tasks.spawn(pings::run(Arc::clone(&runtime)));
    runtime.tasks.spawn(build_views(Arc::clone(&runtime)));
    runtime.tasks.spawn(watch_deadlines(Arc::clone(&runtime)));
    runtime.tasks.spawn(review::review(Arc::clone(&runtime)));
    runtime.tasks.spawn(reloader.run(runtime.stopping.clone().cancelled_owned()));
    if let Some(door) = door {
        let _ = runtime.admin_socket.set(door.path.clone());
        runtime.tasks.spawn(admin::serve(Arc::clone(&runtime), door));
    }
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

async fn watch_deadlines(runtime: Arc<Runtime>) {
    runtime.elections.run(&runtime).await;
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
            if let Some(sinks) = runtime.sinks() {
                sinks.stop();
            }
        }
    }
}
