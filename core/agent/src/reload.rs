//! Reloads: another configuration, or other plugin files, take effect while messages flow. All is
//! read, loaded and tried first; then it takes effect as a whole, or nothing of it does.
//!
//! What this is not: reading files of configurations. That is a [`ConfigSource`]'s, in the facade.

mod attempt;
mod difference;
mod reloader;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skymesh_plugin_host::PluginsConfig;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::{AgentConfig, ServicesConfig};
pub(crate) use reloader::Reloader;

/// Reloads that may wait for the one under way; who asks then waits to ask.
pub(crate) const REQUESTS: usize = 8;

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// Counts the configurations that took effect: 0 is the one of the start. A refused or idle
    /// reload leaves it as it is.
    pub version: u64,
    /// Whether it took effect.
    pub outcome: ReloadOutcome,
    /// What is different now; empty unless it was applied.
    pub changed: Vec<Change>,
    /// Keys that say something else than what this process runs by, and are read at a start only.
    /// `services.*.election` is among them: the nameserver reads it, at its start.
    pub needs_restart: Vec<Change>,
    /// Why it was refused; of an applied one, what is optional and could not be had.
    pub faults: Vec<String>,
}

/// Whether a reload took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// It did.
    Applied,
    /// There was nothing to change; or the agent has just started.
    Unchanged,
    /// Something is wrong with it: all runs on as before.
    Refused,
}

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// A key with its tables, or what else is different.
    pub what: String,
    /// Before; `None` if there was nothing, or it might be a secret.
    pub from: Option<String>,
    /// Now; likewise.
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (None, None) => write!(f, "{} changed", self.what),
            (from, to) => {
                let shown =
                    |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".into());
                write!(f, "{}: {} -> {}", self.what, shown(from), shown(to))
            }
        }
    }
}

impl Reload {
    pub(crate) fn start() -> Self {
        Self {
            version: 0,
            outcome: ReloadOutcome::Unchanged,
            changed: Vec::new(),
            needs_restart: Vec::new(),
            faults: Vec::new(),
        }
    }
}

impl fmt::Display for Reload {
    /// One line, whatever the outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version;
        match self.outcome {
            ReloadOutcome::Applied => write!(f, "configuration {version} holds")?,
            ReloadOutcome::Unchanged => {
                write!(f, "nothing changed: configuration {version} holds")?
            }
            ReloadOutcome::Refused => write!(f, "refused: configuration {version} still holds")?,
        }
        let mut list = |title: &str, items: Vec<String>| match items.as_slice() {
            [] => Ok(()),
            items => write!(f, "{title}{}", items.join("; ")),
        };
        list("; ", self.changed.iter().map(ToString::to_string).collect())?;
        list("; needs a restart: ", self.needs_restart.iter().map(ToString::to_string).collect())?;
        list("; ", self.faults.clone())
    }
}

/// The tables that a reload is about, read anew.
pub struct FreshConfig {
    pub(crate) agent: AgentConfig,
    pub(crate) services: ServicesConfig,
    pub(crate) plugins: PluginsConfig,
    pub(crate) then: Vec<Effect>,
    pub(crate) cold: Vec<Change>,
}

pub(crate) type Effect = Box<dyn FnOnce() -> Vec<Change> + Send>;

impl FreshConfig {
    /// Of the tables `[agent]`, `[services]` and `[plugins]`.
    pub fn new(agent: AgentConfig, services: ServicesConfig, plugins: PluginsConfig) -> Self {
        Self { agent, services, plugins, then: Vec::new(), cold: Vec::new() }
    }

    /// Adds a table that is read at a start only: what it says now and said then. Its keys that differ
    /// are told as in need of a restart.
    #[must_use]
    pub fn cold<T: Serialize>(mut self, table: &str, started: &T, now: &T) -> Self {
        self.cold.extend(difference::between(table, started, now));
        self
    }

    /// Adds something that is to take effect once everything else has, such as the level of the log.
    /// It must not fail: what is wrong is said by [`ConfigSource::read`]. Answers what it changed.
    #[must_use]
    pub fn and_then(mut self, effect: impl FnOnce() -> Vec<Change> + Send + 'static) -> Self {
        self.then.push(Box::new(effect));
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

/// Where a configuration comes from, so that it can be read again.
pub trait ConfigSource: Send + Sync + 'static {
    /// Reads it. Called on a thread that may wait for files.
    ///
    /// # Errors
    /// All that is wrong with it, one line each; then the reload is refused.
    fn read(&self) -> Result<FreshConfig, Vec<String>>;

    /// The files that it is read from. Where the agent watches files, a change of one of them makes
    /// it read again; a file that is left out is not noticed.
    fn files(&self) -> Vec<PathBuf>;
}

/// What asks for a reload.
pub(crate) struct Request {
    /// `None`: from the source; without one, what holds, with plugins from their files.
    pub(crate) config: Option<FreshConfig>,
    pub(crate) answer: oneshot::Sender<Arc<Reload>>,
}

/// Where reloads are asked for and told of.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) latest: watch::Sender<Arc<Reload>>,
}

impl Desk {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, incoming) = mpsc::channel(REQUESTS);
        (Self { requests, latest: watch::Sender::new(Arc::new(Reload::start())) }, incoming)
    }

    /// `None` if the agent has stopped.
    pub(crate) async fn reload(&self, config: Option<FreshConfig>) -> Option<Arc<Reload>> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { config, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// Tells of an agent's reloads, by whatever they were asked for. Who looks seldom sees the newest.
#[derive(Debug, Clone)]
pub struct Reloads(pub(crate) watch::Receiver<Arc<Reload>>);

impl Reloads {
    /// The newest one.
    pub fn latest(&self) -> Arc<Reload> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits for one that this was not told of yet; `None` once the agent is gone.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Reload>> {
        self.0.changed().await.ok()?;
        Some(Arc::clone(&self.0.borrow_and_update()))
    }
}
