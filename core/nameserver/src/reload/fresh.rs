//! The tables that a nameserver's reload is about, read anew.

use std::fmt;

use skymesh_plugin_host::PluginsConfig;
use skymesh_reload::{Aside, Change};
use skymesh_telemetry::MetricsConfig;

use crate::config::{ElectionsConfig, NameserverConfig};

/// See the module.
pub struct FreshNameserver {
    pub(super) nameserver: NameserverConfig,
    pub(super) elections: ElectionsConfig,
    pub(super) plugins: PluginsConfig,
    /// `None`: as it is.
    pub(super) metrics: Option<MetricsConfig>,
    pub(super) aside: Aside,
    /// What is known to be wrong with it.
    pub(super) faults: Vec<String>,
}

impl FreshNameserver {
    /// Of the tables `[nameserver]` (of which differences are told: all its keys need a restart) and
    /// `[plugins]`, and the keys `election` of `[services]`.
    pub fn new(
        nameserver: NameserverConfig,
        elections: ElectionsConfig,
        plugins: PluginsConfig,
    ) -> Self {
        let (aside, faults) = (Aside::default(), Vec::new());
        Self { nameserver, elections, plugins, metrics: None, aside, faults }
    }

    /// The table `[metrics]`; without it, metrics go on as they are.
    #[must_use]
    pub fn metrics(mut self, config: MetricsConfig) -> Self {
        self.metrics = Some(config);
        self
    }

    /// Known faults, one line each; with any, the reload is refused. Must include every value that is out of
    /// its range, since ranges are then not looked at again. Plugins still are, and what is wrong with them
    /// is told as well.
    #[must_use]
    pub fn faulty(mut self, faults: Vec<String>) -> Self {
        self.faults = faults;
        self
    }

    /// Adds something that is to take effect once everything else has, such as the level of the log.
    /// It must not fail: what is wrong is said by
    /// [`ConfigSource::read`](skymesh_reload::ConfigSource::read). Answers what it changed.
    #[must_use]
    pub fn and_then(mut self, effect: impl FnOnce() -> Vec<Change> + Send + 'static) -> Self {
        self.aside.add_effect(effect);
        self
    }
}

impl fmt::Debug for FreshNameserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreshNameserver")
            .field("nameserver", &self.nameserver)
            .field("elections", &self.elections)
            .field("plugins", &self.plugins)
            .finish_non_exhaustive()
    }
}
