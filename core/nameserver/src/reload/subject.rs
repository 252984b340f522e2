//! A nameserver as what is reloaded.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use skymesh_naming::Input;
use skymesh_reload::{Applied, ConfigSource, Subject};
use skymesh_telemetry::Sinks;
use tokio::sync::mpsc;

use super::FreshNameserver;
use super::attempt::{Holding, attempt};
use crate::config::NameserverConfig;
use crate::elections::Elections;
use crate::keeper::Event;

pub(crate) type Source = Arc<dyn ConfigSource<FreshNameserver>>;

/// See the module.
pub(crate) struct NameserverReload {
    pub(super) started: NameserverConfig,
    pub(super) elections: Elections,
    pub(super) sinks: Arc<Sinks>,
    events: mpsc::Sender<Event>,
    source: Option<Source>,
    /// Locked by one reload at a time, and for no longer than to copy it.
    holding: Mutex<Holding>,
}

impl fmt::Debug for NameserverReload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameserverReload").finish_non_exhaustive()
    }
}

/// What must be done for a reload to be in effect everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// Vacancies are for the new rules.
    AskAnew,
}

impl NameserverReload {
    pub(crate) fn new(
        started: NameserverConfig,
        holding: Holding,
        sinks: Arc<Sinks>,
        elections: Elections,
        events: mpsc::Sender<Event>,
        source: Option<Source>,
    ) -> Self {
        Self { started, elections, sinks, events, source, holding: Mutex::new(holding) }
    }
}

impl Subject for NameserverReload {
    type Fresh = FreshNameserver;
    type Rest = Rest;

    fn attempt(&self, fresh: Option<FreshNameserver>) -> Result<Applied<Rest>, Vec<String>> {
        let holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fresh = match (fresh, &self.source) {
            (Some(fresh), _) => fresh,
            (None, Some(source)) => source.read()?,
            (None, None) => {
                let Holding { elections, plugins, .. } = holding.clone();
                FreshNameserver::new(self.started.clone(), elections, plugins)
            }
        };
        let (holding, applied) = attempt(self, &holding, fresh)?;
        *self.holding.lock().unwrap_or_else(PoisonError::into_inner) = holding;
        Ok(applied)
    }

    async fn finish(&self, rest: Rest) -> Vec<String> {
        if rest == Rest::AskAnew {
            // Without a keeper there is nobody to ask for.
            let _ = self.events.send(Event::Input(Input::NewRules)).await;
        }
        Vec::new()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = self.elections.host().files();
        files.extend(self.source.iter().flat_map(|source| source.files()));
        files
    }
}
