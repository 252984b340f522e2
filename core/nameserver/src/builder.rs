//! What a nameserver is made with besides its own configuration.

use std::fmt;
use std::sync::Arc;

use skymesh_plugin_host::{PluginHost, PluginKind, PluginsConfig};
use skymesh_reload::ConfigSource;
use skymesh_store::Store;
use skymesh_telemetry::MetricsConfig;

use crate::config::{ElectionsConfig, NameserverConfig};
use crate::elections::{Elections, what_there_is};
use crate::reload::FreshNameserver;
use crate::server::{Nameserver, listen};
use crate::start::{BindError, Restart, open_store};

/// What to start a nameserver with. [`Nameserver::builder`].
#[must_use = "it does nothing until `bind`"]
pub struct NameserverBuilder {
    pub(crate) config: NameserverConfig,
    pub(crate) elections: ElectionsConfig,
    pub(crate) plugins: PluginsConfig,
    pub(crate) metrics: MetricsConfig,
    host: Option<PluginHost>,
    store: Option<Arc<dyn Store>>,
    pub(crate) source: Option<Arc<dyn ConfigSource<FreshNameserver>>>,
}

impl fmt::Debug for NameserverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameserverBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl NameserverBuilder {
    pub(crate) fn new(config: NameserverConfig) -> Self {
        Self {
            config,
            elections: ElectionsConfig::default(),
            plugins: PluginsConfig::default(),
            metrics: MetricsConfig::default(),
            host: None,
            store: None,
            source: None,
        }
    }

    /// Which algorithm picks the leaders of which service names.
    pub fn elections(mut self, elections: ElectionsConfig) -> Self {
        self.elections = elections;
        self
    }

    /// The `[plugins]` table. Nothing is loaded unless elections or metrics need it; then each
    /// `[[plugins.load]]` is tried, and those are required that these are to come from.
    pub fn plugins(mut self, plugins: PluginsConfig) -> Self {
        self.plugins = plugins;
        self
    }

    /// The `[metrics]` table: where what it counts is shown. Nameservers make no spans.
    pub fn metrics(mut self, config: MetricsConfig) -> Self {
        self.metrics = config;
        self
    }

    /// A plugin host that was made already, e.g. one with statically linked plugins. The `[plugins]`
    /// table is then used by reloads only.
    pub fn plugin_host(mut self, host: PluginHost) -> Self {
        self.host = Some(host);
        self
    }

    /// Where reloads read the configuration again. Without it they look at plugin files only, unless
    /// they are given a configuration.
    pub fn source(mut self, source: impl ConfigSource<FreshNameserver>) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// A store of the caller's; what the configuration says of one is not read, but where the token of
    /// the admin channel is. One store serves one nameserver at a time.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Loads the plugins, listens, and takes from the store what an earlier life has left there.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind then but what was made in the store.
    pub async fn bind(mut self) -> Result<Nameserver, BindError> {
        self.config.validate()?;
        // First, because most starts that fail fail here.
        let listener = listen(&self.config).await?;
        let host = match self.host.take() {
            Some(host) => host,
            None => {
                let shown = self.metrics.strategy();
                let own = self.elections.strategies();
                let own = own.chain(shown.iter().map(|one| (PluginKind::Metrics, one)));
                PluginHost::new(what_there_is(self.plugins.clone(), own))?
            }
        };
        let elections = Elections::load(&self.elections, Arc::new(host))?;
        let (store, restart) = match self.store.take() {
            Some(store) => (store, Restart::Warm),
            None => open_store(&self.config).await?,
        };
        Nameserver::begin(self, elections, listener, store, restart).await
    }
}
