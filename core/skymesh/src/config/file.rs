//! A configuration file that is read more than once: at the start and at every reload.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use skymesh_agent::{AgentBuilder, FreshConfig};
use skymesh_nameserver::{FreshNameserver, NameserverBuilder};
use skymesh_reload::{Change, ConfigSource};

use super::{Config, ConfigError};
use crate::log;

/// Where a process's configuration is, and what the program itself says over it.
///
/// ```no_run
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// use skymesh::config::ConfigFile;
///
/// let file = ConfigFile::new("mesh.toml").adjusted(|config| config.agent.app = "game".parse().ok());
/// let config = file.load()?;
/// let _log = config.log.install()?;
/// let agent = file.agent_builder(&config).connect().await?;
/// agent.reload_on_hangup()?; // If the program has no other use for SIGHUP.
/// # Ok(())
/// # }
/// ```
/// A nameserver that is to reload is started by [`nameserver_builder`](Self::nameserver_builder).
///
/// From then on `skymesh reload`, [`Agent::reload`](crate::Agent::reload), SIGHUP if the program wants
/// it, and a change of the file if `watch_files` says so, have the file read again. What is hot
/// takes effect; of what needs a restart, the [answer](crate::Reload) tells.
#[derive(Clone)]
pub struct ConfigFile {
    /// Without one, the defaults and the environment hold.
    path: Option<PathBuf>,
    adjust: Vec<Adjustment>,
}

type Adjustment = Arc<dyn Fn(&mut Config) + Send + Sync>;

impl ConfigFile {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::or_defaults(Some(path.into()))
    }

    /// The file at `path`; without one, the defaults and the environment over them, so that a reload
    /// looks at the plugins' files only.
    pub fn or_defaults(path: Option<PathBuf>) -> Self {
        Self { path, adjust: Vec::new() }
    }

    /// Has the program's own word over the file's and the environment's, each time it is read.
    #[must_use]
    pub fn adjusted(mut self, adjust: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.adjust.push(Arc::new(adjust));
        self
    }

    /// Reads it, as [`Config::load`], and adjusts it.
    ///
    /// # Errors
    /// As [`Config::load`]; or what the adjustments made of it is out of range.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load_or_default(self.path.as_deref())?;
        self.adjust.iter().for_each(|adjust| adjust(&mut config));
        config.validate()?;
        Ok(config)
    }

    /// As [`Config::agent_builder`], for an agent that reads this file at its reloads.
    pub fn agent_builder(&self, config: &Config) -> AgentBuilder {
        config.agent_builder().source(self.clone())
    }
}

impl ConfigFile {
    /// As [`Config::nameserver_builder`], for a nameserver that reads this file at its reloads.
    pub fn nameserver_builder(&self, config: &Config) -> NameserverBuilder {
        config.nameserver_builder().source(self.clone())
    }

    /// As [`load`](Self::load), with what is out of its range beside it, if a reload can look further.
    fn examine(&self) -> Result<(Config, Vec<String>), Vec<String>> {
        let read = Config::examine(self.path.as_deref());
        let (mut config, mut faults) = read.map_err(|error| error.faults())?;
        self.adjust.iter().for_each(|adjust| adjust(&mut config));
        if faults.is_empty() {
            faults.extend(config.validate().err().into_iter().flat_map(|error| error.faults()));
        }
        // By such limits no plugin could be had.
        if config.plugins.faults().is_empty() { Ok((config, faults)) } else { Err(faults) }
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.path.iter().cloned().collect()
    }
}

/// Makes the process's log ready to change. `None` if it is none of this library's, or can't be had.
fn relog(
    config: &Config,
    faults: &mut Vec<String>,
) -> Option<impl FnOnce() -> Vec<Change> + Send + use<>> {
    if config.log.validate().is_err() {
        return None;
    }
    let prepared = log::prepare(&config.log).unwrap_or_else(|error| {
        faults.push(error.to_string());
        None
    });
    prepared.map(|prepared| || prepared.commit())
}

impl ConfigSource<FreshConfig> for ConfigFile {
    fn read(&self) -> Result<FreshConfig, Vec<String>> {
        let (config, mut faults) = self.examine()?;
        let relog = relog(&config, &mut faults);
        let fresh = FreshConfig::new(config.agent, config.services, config.plugins)
            .metrics(config.metrics)
            .trace(config.trace)
            .faulty(faults);
        Ok(match relog {
            Some(relog) => fresh.and_then(relog),
            None => fresh,
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        self.paths()
    }
}

impl ConfigSource<FreshNameserver> for ConfigFile {
    fn read(&self) -> Result<FreshNameserver, Vec<String>> {
        let (config, mut faults) = self.examine()?;
        let (elections, relog) = (config.elections(), relog(&config, &mut faults));
        let fresh = FreshNameserver::new(config.nameserver, elections, config.plugins)
            .metrics(config.metrics)
            .faulty(faults);
        Ok(match relog {
            Some(relog) => fresh.and_then(relog),
            None => fresh,
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        self.paths()
    }
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile").field("path", &self.path).finish_non_exhaustive()
    }
}
