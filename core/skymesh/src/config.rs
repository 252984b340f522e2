//! The whole configuration of a process: one TOML file, the environment over it, code over both.
//!
//! Each table belongs to the crate that acts on it; here they are only put together, read and
//! checked. A documented file with every key at its default is `core/skymesh/skymesh.toml`.

mod document;
mod error;
mod file;
mod key;
mod known;
mod read;
mod variables;

use std::path::Path;

use serde::{Deserialize, Serialize};
use skymesh_agent::{Agent, AgentBuilder};
use skymesh_nameserver::{Nameserver, NameserverBuilder};

use document::Document;
pub use error::{ConfigError, Fault, KeyError, Origin};
pub use file::ConfigFile;
pub use key::KeyPath;
use read::Layers;

use crate::log::LogError;
pub use crate::log::{LogConfig, LogFileConfig, LogFormat};
pub use skymesh_agent::config::{
    AdminSocket, AgentConfig, HoldConfig, InboxConfig, OutliersConfig, RangeError, ServiceConfig,
    ServicesConfig, StagesConfig, Unreachable,
};
pub use skymesh_nameserver::{
    AdminConfig, ElectionsConfig, LimitsConfig, MassLossConfig, NameserverConfig, StoreConfig,
    StoreKind,
};
pub use skymesh_plugin_host::{LoadConfig, PluginsConfig, QuarantineConfig, StrategyConfig};
pub use skymesh_reload::keys as hot;
pub use skymesh_telemetry::{MetricsConfig, TraceConfig};

/// Everything that a configuration file can say. A nameserver and its agents may share one file:
/// each process uses the tables that concern it.
///
/// Every key has a default, so an empty file is a configuration. Unknown keys are errors. Which keys
/// take effect at a reload, and which need a restart, is the table [`hot::TABLE`].
///
/// # From where
/// Later ones win: the defaults, the file, the environment, and what code assigns to the fields.
/// An environment variable is called `SKYMESH_`, then the key in upper case with `__` between its
/// levels: `SKYMESH_AGENT__NAMESERVER=10.0.0.1:9100`. Its value is a number, `true`, `false`,
/// `[a, b]`, or else text; text that looks like a number is written with quotes: `'"42"'`.
/// Variables without a `__` are not looked at: container platforms set `SKYMESH_SERVICE_HOST` and
/// the like. Tables under `[services]` have dots in their names and so can't be set that way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[log]`: what this process logs, and how.
    pub log: LogConfig,
    /// `[nameserver]`: for the process that is the nameserver.
    pub nameserver: NameserverConfig,
    /// `[agent]`: for every other process.
    pub agent: AgentConfig,
    /// `[plugins]`: where libraries come from and how far they are trusted.
    pub plugins: PluginsConfig,
    /// `[metrics]`: where what this process counts is shown.
    pub metrics: MetricsConfig,
    /// `[trace]`: where the spans of this process's calls go.
    pub trace: TraceConfig,
    /// `[services."app.env.service"]`: how this process treats which services, and, for the process that
    /// is the nameserver, which election algorithm picks their leaders.
    pub services: ServicesConfig,
}

impl Config {
    /// Reads a file, and the environment over it.
    ///
    /// # Errors
    /// [`ConfigError`] names everything that is wrong, with the line or variable that says it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::load_or_default(Some(path.as_ref()))
    }

    /// As [`load`](Self::load); without a file, the defaults and the environment over them.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_or_default(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::from_layers(&layers(path)?)
    }

    /// Reads as [`load_or_default`](Self::load_or_default), for whoever tells at once of everything that is
    /// wrong: answers what is out of its range, one line each, beside what was read. If there is anything, it
    /// is not to be started with.
    ///
    /// # Errors
    /// [`ConfigError`], if there is nothing to look further at: for an unknown key, a wrong type, or a file
    /// that can't be read.
    pub fn examine(path: Option<&Path>) -> Result<(Self, Vec<String>), ConfigError> {
        let layers = layers(path)?;
        let config: Self = layers.read()?;
        let faults = match config.placed(&layers) {
            wrong if wrong.is_empty() => Vec::new(),
            wrong => ConfigError::keys(wrong).faults(),
        };
        Ok((config, faults))
    }

    /// Reads the text of a file; the environment is not looked at.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let document = Document::parse("configuration", text.to_owned())?;
        Self::from_layers(&Layers::new(Some(document), []))
    }

    fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let config: Self = layers.read()?;
        match config.placed(layers) {
            wrong if wrong.is_empty() => Ok(config),
            wrong => Err(ConfigError::keys(wrong)),
        }
    }

    /// What is out of its range, and where that is said.
    fn placed(&self, layers: &Layers) -> Vec<KeyError> {
        let place = |(key, reason): (KeyPath, String)| KeyError {
            origin: layers.origin(&key),
            fault: Fault::Refused { reason },
            key,
        };
        self.out_of_range().into_iter().map(place).collect()
    }

    /// Checks ranges and relations between keys, e.g. after code has changed some. Reading a file
    /// does it by itself.
    ///
    /// # Errors
    /// [`ConfigError::Keys`] with all faults.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fault = |(key, reason)| KeyError {
            key,
            origin: Origin::Code,
            fault: Fault::Refused { reason },
        };
        match self.out_of_range() {
            wrong if wrong.is_empty() => Ok(()),
            wrong => Err(ConfigError::keys(wrong.into_iter().map(fault).collect())),
        }
    }

    fn out_of_range(&self) -> Vec<(KeyPath, String)> {
        let log = self.log.faults().into_iter().map(|error| match error {
            LogError::Range { key, fault } => (KeyPath::of("log").join(KeyPath::of(&key)), fault),
            error => (KeyPath::of("log.level"), error.to_string()),
        });
        let nameserver =
            self.nameserver.faults().into_iter().map(|error| {
                (KeyPath::of("nameserver").join(KeyPath::of(error.key)), error.reason())
            });
        let agent = self.agent.faults().into_iter().chain(self.services.faults(&self.agent.inbox));
        let agent = agent.map(|RangeError { key, value, fault, expected }| {
            (KeyPath::of(&key), format!("{value} {fault}: {expected}"))
        });
        let within =
            |table| move |(key, reason)| (KeyPath::of(table).join(KeyPath::of(key)), reason);
        let plugins = self.plugins.faults().into_iter().map(within("plugins"));
        let metrics = self.metrics.faults().into_iter().map(within("metrics"));
        let trace = self.trace.faults().into_iter().map(within("trace"));
        let own = log.chain(nameserver).chain(agent);
        own.chain(plugins).chain(metrics).chain(trace).collect()
    }

    /// What to start an agent with: this configuration's tables `[agent]`, `[services]`, `[plugins]`,
    /// `[metrics]` and `[trace]`. For an agent that reads its file again at a reload, see [`ConfigFile`].
    pub fn agent_builder(&self) -> AgentBuilder {
        Agent::builder()
            .config(self.agent.clone())
            .services(self.services.clone())
            .plugins(self.plugins.clone())
            .metrics(self.metrics.clone())
            .trace(self.trace.clone())
    }

    /// What to start a nameserver with: this configuration's tables `[nameserver]`, `[plugins]` and
    /// `[metrics]`, and the elections of `[services]`. For one that reads its file again at a reload, see
    /// [`ConfigFile`].
    pub fn nameserver_builder(&self) -> NameserverBuilder {
        Nameserver::builder(self.nameserver.clone())
            .elections(self.elections())
            .plugins(self.plugins.clone())
            .metrics(self.metrics.clone())
    }

    /// The keys `election` of `[services]`: which algorithms pick leaders, in the nameserver.
    pub fn elections(&self) -> ElectionsConfig {
        let said = self.services.0.iter();
        let elections = said
            .filter_map(|(pattern, service)| Some((pattern.clone(), service.election.clone()?)));
        ElectionsConfig(elections.collect())
    }

    /// The configuration as the text of a file. Keys that have no value are left out.
    ///
    /// # Errors
    /// If a plugin's own table holds what TOML can't say, such as a null.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// Every key that a file may have, as a path with its tables; those of a service stand under
    /// the pattern `*.*.*`, those of a list under index 0.
    pub fn keys() -> Vec<KeyPath> {
        known::keys::<Self>()
    }
}

fn layers(path: Option<&Path>) -> Result<Layers, ConfigError> {
    let document = path.map(Document::open).transpose()?;
    Ok(Layers::new(document, std::env::vars_os()))
}

#[cfg(test)]
mod tests;
