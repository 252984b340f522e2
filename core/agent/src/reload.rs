//! Reloads of an agent: another configuration, or other plugin files, take effect while messages flow.
//! All is read, loaded and tried first; then it takes effect as a whole, or nothing of it does.
//!
//! What this is not: the task and the form of outcomes, which are `skymesh-reload`'s; and reading files
//! of configurations, which is a [`ConfigSource`]'s, in the facade.

mod attempt;
mod subject;

use std::fmt;

use skymesh_plugin_host::PluginsConfig;
use skymesh_reload::Aside;
use skymesh_telemetry::{MetricsConfig, TraceConfig};

use crate::config::{AgentConfig, ServicesConfig};
pub use skymesh_reload::{Change, ConfigSource, Reload, ReloadOutcome, Reloads};
pub(crate) use subject::AgentReload;

/// Where reloads are asked for and told of.
pub(crate) type Desk = skymesh_reload::Desk<FreshConfig>;

/// The tables that a reload is about, read anew.
pub struct FreshConfig {
    pub(crate) agent: AgentConfig,
    pub(crate) services: ServicesConfig,
    pub(crate) plugins: PluginsConfig,
    /// `None`: as it is.
    pub(crate) metrics: Option<MetricsConfig>,
    pub(crate) trace: Option<TraceConfig>,
    pub(crate) aside: Aside,
    /// What is known to be wrong with it.
    pub(crate) faults: Vec<String>,
}

impl FreshConfig {
    /// Of the tables `[agent]`, `[services]` and `[plugins]`.
    pub fn new(agent: AgentConfig, services: ServicesConfig, plugins: PluginsConfig) -> Self {
        let (metrics, trace) = (None, None);
        let (aside, faults) = (Aside::default(), Vec::new());
        Self { agent, services, plugins, metrics, trace, aside, faults }
    }

    /// The table `[metrics]`; without it, metrics go on as they are.
    #[must_use]
    pub fn metrics(mut self, config: MetricsConfig) -> Self {
        self.metrics = Some(config);
        self
    }

    /// The table `[trace]`; without it, spans go on as they do.
    #[must_use]
    pub fn trace(mut self, config: TraceConfig) -> Self {
        self.trace = Some(config);
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
    /// It must not fail: what is wrong is said by [`ConfigSource::read`]. Answers what it changed.
    #[must_use]
    pub fn and_then(mut self, effect: impl FnOnce() -> Vec<Change> + Send + 'static) -> Self {
        self.aside.add_effect(effect);
        self
    }
}

impl fmt::Debug for FreshConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreshConfig")
            .field("agent", &self.agent)
            .field("services", &self.services)
            .field("plugins", &self.plugins)
            .finish_non_exhaustive()
    }
}
