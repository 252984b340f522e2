//! The task that reloads: one at a time, on request, or when a file has changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout_at};

use super::attempt::{Applied, Holding, attempt};
use super::{ConfigSource, FreshConfig, Reload, ReloadOutcome, Request};
use crate::directory::PATIENCE;
use crate::runtime::Runtime;
use skymesh_plugin_host::PluginsConfig;

/// See the module.
pub(crate) struct Reloader {
    runtime: Arc<Runtime>,
    source: Option<Arc<dyn ConfigSource>>,
    holding: Holding,
    version: u64,
    requests: mpsc::Receiver<Request>,
    /// What the files looked like at the last reload.
    settled: Stamps,
    /// What they looked like at the last glance, if that was another.
    glanced: Option<Stamps>,
}

/// Path, time of change and length of files. Deploying a library or saving a file changes one of
/// them, and looking costs a system call for each.
type Stamps = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

impl Reloader {
    pub(crate) fn new(
        runtime: Arc<Runtime>,
        plugins: PluginsConfig,
        source: Option<Arc<dyn ConfigSource>>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let (agent, services) = (runtime.settings.agent.clone(), runtime.settings.services.clone());
        let holding = Holding { agent, services, plugins };
        // Before anybody hears that the agent runs: what changes from then on is noticed.
        let settled = glance(&runtime, source.as_deref());
        Self { runtime, source, holding, version: 0, requests, settled, glanced: None }
    }

    /// Takes the first look at the files. Before the agent is there: who changes a file right after
    /// its start is to be heard.
    pub(crate) async fn looked(mut self) -> Self {
        self.settled = self.stamps().await;
        self
    }

    pub(crate) async fn run(mut self) {
        let every = self.runtime.settings.agent.watch_files;
        let mut glances = (!every.is_zero()).then(|| glances(every));
        loop {
            tokio::select! {
                () = self.runtime.stopping.cancelled() => return,
                () = next(&mut glances) => {
                    if self.files_have_settled_anew().await {
                        self.reload(None).await;
                    }
                }
                request = self.requests.recv() => {
                    let Some(Request { config, answer }) = request else { return };
                    let reload = self.reload(config).await;
                    // Who asked may have gone.
                    let _ = answer.send(reload);
                }
            }
        }
    }

    /// Reloads once; tells the log and those who watch.
    async fn reload(&mut self, config: Option<FreshConfig>) -> Arc<Reload> {
        // Before the files are read: what changes while they are is another change.
        let before = self.stamps().await;
        let (runtime, source) = (Arc::clone(&self.runtime), self.source.clone());
        let holding = self.holding.clone();
        let work = move || {
            let fresh = match (config, source) {
                (Some(config), _) => config,
                (None, Some(source)) => source.read()?,
                (None, None) => {
                    let Holding { agent, services, plugins } = holding.clone();
                    FreshConfig::new(agent, services, plugins)
                }
            };
            attempt(&runtime, &holding, fresh)
        };
        let ended = tokio::task::spawn_blocking(work).await;
        let attempted =
            ended.unwrap_or_else(|_| Err(vec!["the configuration's source failed".into()]));
        let reload = Arc::new(self.conclude(attempted).await);
        // Other libraries may be in use now; of these nothing was known before.
        let mut settled = self.stamps().await;
        settled.iter_mut().for_each(|(path, stamp)| *stamp = *before.get(path).unwrap_or(stamp));
        (self.settled, self.glanced) = (settled, None);
        match reload.outcome {
            ReloadOutcome::Refused => tracing::warn!("reload {reload}"),
            _ => tracing::info!("reload: {reload}"),
        }
        self.runtime.desk.latest.send_replace(Arc::clone(&reload));
        reload
    }

    async fn conclude(&mut self, attempted: Result<Applied, Vec<String>>) -> Reload {
        let applied = match attempted {
            Ok(applied) => applied,
            Err(faults) => {
                let outcome = ReloadOutcome::Refused;
                return Reload { version: self.version, outcome, faults, ..Reload::start() };
            }
        };
        self.holding = applied.holding;
        let outcome = match applied.changed.is_empty() {
            true => ReloadOutcome::Unchanged,
            false => ReloadOutcome::Applied,
        };
        self.version += u64::from(outcome == ReloadOutcome::Applied);
        // Who hears of the reload finds it in effect.
        let mut late = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        for core in applied.routers {
            tokio::select! {
                () = self.runtime.stopping.cancelled() => break,
                renewed = timeout_at(deadline, core.renewed()) => if renewed.is_err() {
                    late.push(format!(
                        "selector of {}: no table within {PATIENCE:?}, the one before serves", core.name
                    ));
                },
            }
        }
        let Applied { changed, needs_restart, mut faults, .. } =
            Applied { routers: Vec::new(), holding: self.holding.clone(), ..applied };
        faults.extend(late);
        Reload { version: self.version, outcome, changed, needs_restart, faults }
    }

    /// Whether the files are other than at the last reload, and the same as at the last glance: who
    /// writes a file is given the time between two glances to finish.
    async fn files_have_settled_anew(&mut self) -> bool {
        let now = self.stamps().await;
        if now == self.settled {
            self.glanced = None;
            return false;
        }
        self.glanced.replace(now.clone()) == Some(now)
    }

    async fn stamps(&self) -> Stamps {
        let (runtime, source) = (Arc::clone(&self.runtime), self.source.clone());
        let look = move || glance(&runtime, source.as_deref());
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }
}

/// What all files look like that a reload goes by; nothing where they are not watched.
fn glance(runtime: &Runtime, source: Option<&dyn ConfigSource>) -> Stamps {
    if runtime.settings.agent.watch_files.is_zero() {
        return Stamps::new();
    }
    let mut files = runtime.host.files();
    files.extend(source.iter().flat_map(|source| source.files()));
    files.into_iter().map(stamp).collect()
}

fn stamp(path: PathBuf) -> (PathBuf, Option<(SystemTime, u64)>) {
    let metadata = fs::metadata(&path).ok();
    let stamp = metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len())));
    (path, stamp)
}

fn glances(every: Duration) -> Interval {
    let mut glances = interval(every);
    glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
    glances
}

/// Never, where no files are watched.
async fn next(glances: &mut Option<Interval>) {
    match glances {
        Some(glances) => {
            glances.tick().await;
        }
        None => std::future::pending().await,
    }
}
