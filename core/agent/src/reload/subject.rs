//! An agent as what is reloaded.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use skymesh_plugin_host::PluginsConfig;
use skymesh_reload::{Applied, ConfigSource, Subject};
use tokio::time::{Instant, timeout_at};

use super::FreshConfig;
use super::attempt::{Holding, attempt};
use crate::agent::shown::Shown;
use crate::directory::PATIENCE;
use crate::router::RouterCore;
use crate::runtime::Runtime;

/// See the module.
pub(crate) struct AgentReload {
    runtime: Arc<Runtime>,
    source: Option<Arc<dyn ConfigSource<FreshConfig>>>,
    /// Locked by one reload at a time, and for no longer than to copy it.
    holding: Mutex<Holding>,
}

impl AgentReload {
    pub(crate) fn new(
        runtime: Arc<Runtime>,
        plugins: PluginsConfig,
        shown: &Shown,
        source: Option<Arc<dyn ConfigSource<FreshConfig>>>,
    ) -> Self {
        let (agent, services) = (runtime.settings.agent.clone(), runtime.settings.services.clone());
        let (metrics, trace) = (shown.metrics.clone(), shown.trace.clone());
        let holding = Mutex::new(Holding { agent, services, plugins, metrics, trace });
        Self { runtime, source, holding }
    }

    fn holding(&self) -> Holding {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Subject for AgentReload {
    type Fresh = FreshConfig;
    /// Routers whose views are still made by the old selector.
    type Rest = Vec<Arc<RouterCore>>;

    fn attempt(&self, fresh: Option<FreshConfig>) -> Result<Applied<Self::Rest>, Vec<String>> {
        let holding = self.holding();
        let fresh = match (fresh, &self.source) {
            (Some(fresh), _) => fresh,
            (None, Some(source)) => source.read()?,
            (None, None) => {
                let Holding { agent, services, plugins, .. } = holding.clone();
                FreshConfig::new(agent, services, plugins)
            }
        };
        let (holding, applied) = attempt(&self.runtime, &holding, fresh)?;
        *self.holding.lock().unwrap_or_else(PoisonError::into_inner) = holding;
        Ok(applied)
    }

    async fn finish(&self, routers: Self::Rest) -> Vec<String> {
        let mut late = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        for core in routers {
            tokio::select! {
                () = self.runtime.stopping.cancelled() => break,
                renewed = timeout_at(deadline, core.renewed()) => if renewed.is_err() {
                    late.push(format!(
                        "selector of {}: no table within {PATIENCE:?}, the one before serves", core.name
                    ));
                },
            }
        }
        late
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = self.runtime.host.files();
        files.extend(self.source.iter().flat_map(|source| source.files()));
        files
    }
}
