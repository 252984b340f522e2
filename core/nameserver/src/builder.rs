//! What a nameserver is made with besides its own configuration.

use std::fmt;
use std::sync::Arc;

use skymesh_plugin_host::{PluginHost, PluginsConfig};
use skymesh_store::Store;

use crate::config::{ElectionsConfig, NameserverConfig};
use crate::elections::{Elections, Plugins};
use crate::server::{Nameserver, listen};
use crate::start::{BindError, Restart, open_store};

/// What to start a nameserver with. [`Nameserver::builder`].
#[must_use = "it does nothing until `bind`"]
pub struct NameserverBuilder {
    config: NameserverConfig,
    elections: ElectionsConfig,
    plugins: Plugins,
    store: Option<Arc<dyn Store>>,
}

impl fmt::Debug for NameserverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameserverBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl NameserverBuilder {
    pub(crate) fn new(config: NameserverConfig) -> Self {
        let plugins = Plugins::Config(Box::default());
        Self { config, elections: ElectionsConfig::default(), plugins, store: None }
    }

    /// Which algorithm picks the leaders of which service names.
    pub fn elections(mut self, elections: ElectionsConfig) -> Self {
        self.elections = elections;
        self
    }

    /// The `[plugins]` table. Nothing is loaded unless an election needs it; then each
    /// `[[plugins.load]]` is tried, and none is required for itself.
    pub fn plugins(mut self, plugins: PluginsConfig) -> Self {
        self.plugins = Plugins::Config(Box::new(plugins));
        self
    }

    /// A plugin host that was made already, e.g. one with statically linked plugins. The `[plugins]`
    /// table is then not used.
    pub fn plugin_host(mut self, host: PluginHost) -> Self {
        self.plugins = Plugins::Host(host);
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
    pub async fn bind(self) -> Result<Nameserver, BindError> {
        let Self { config, elections, plugins, store } = self;
        config.validate()?;
        // First, because most starts that fail fail here.
        let listener = listen(&config).await?;
        let elections = Elections::load(&elections, plugins)?;
        let (store, restart) = match store {
            Some(store) => (store, Restart::Warm),
            None => open_store(&config).await?,
        };
        Nameserver::begin(config, elections, listener, store, restart).await
    }
}
