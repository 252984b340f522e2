//! Whether the plugins that a configuration names are there, and whether selectors, codecs and
//! elections take their tables: what an agent or a nameserver would be refused at its start, and what
//! would be missing without stopping it. Metrics and trace plugins are not made, since they open ports as
//! they are made: their tables are held against their schemas. That tells unknown keys, missing ones, types
//! and ranges; a text that is no address, or a port that is taken, is told at the start.

use skymesh::config::{PluginsConfig, StrategyConfig};
use skymesh::{Config, TelemetryError};
use skymesh_plugin_host::{PluginHost, PluginLoadError};

use crate::command::sinks;

/// What is wrong with the plugins of a configuration.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Of what is `required`: an agent would not start, or, for an election, the nameserver.
    pub(super) errors: Vec<String>,
    /// Of what is not: they would start all the same.
    pub(super) warnings: Vec<String>,
}

impl Findings {
    fn add(&mut self, required: bool, key: &str, error: &PluginLoadError) {
        self.tell(required, format!("{key}: {error}"));
    }

    fn tell(&mut self, required: bool, line: String) {
        if required { &mut self.errors } else { &mut self.warnings }.push(line);
    }
}

/// Loads all libraries and makes all strategies, each by itself, so that every fault is found.
pub(super) fn check(config: &Config) -> Findings {
    let mut found = Findings::default();
    for (index, folder) in config.plugins.dirs.iter().enumerate() {
        if !folder.is_dir() {
            let shown = folder.display();
            found.warnings.push(format!(
                "plugins.dirs[{index}]: {shown} is no folder; no plugin is found there until it is made"
            ));
        }
    }
    for (index, declared) in config.plugins.load.iter().enumerate() {
        if let Err(error) = PluginHost::new(requiring(&config.plugins, Some(index))) {
            found.add(declared.required, &format!("plugins.load[{index}]"), &error);
        }
    }
    let host = match PluginHost::new(requiring(&config.plugins, None)) {
        Ok(host) => host,
        Err(error) => {
            found.add(true, "plugins", &error);
            return found;
        }
    };
    for (pattern, service) in &config.services.0 {
        if let Some(strategy) = &service.selector {
            let made = host.selector(&required(strategy)).err();
            made.inspect(|error| found.add(strategy.required, &key(pattern, "selector"), error));
        }
        if let Some(strategy) = &service.codec {
            let made = host.codec(&required(strategy)).err();
            made.inspect(|error| found.add(strategy.required, &key(pattern, "codec"), error));
        }
        if let Some(strategy) = &service.election {
            let made = host.election(&required(strategy)).err();
            made.inspect(|error| found.add(strategy.required, &key(pattern, "election"), error));
        }
    }
    for (kind, strategy) in sinks(config) {
        if let Err(error) = host.check(kind, &strategy) {
            // The tables are called like the kinds.
            let line = TelemetryError::from(error).in_table(kind.as_str());
            found.tell(strategy.required, line);
        }
    }
    found
}

fn key(pattern: &skymesh::ServicePattern, strategy: &str) -> String {
    format!("services.\"{pattern}\".{strategy}")
}

/// The same tables, of which one entry is required: pins of the others hold all the same.
fn requiring(plugins: &PluginsConfig, entry: Option<usize>) -> PluginsConfig {
    let mut plugins = plugins.clone();
    for (index, declared) in plugins.load.iter_mut().enumerate() {
        declared.required = Some(index) == entry;
    }
    plugins
}

fn required(strategy: &StrategyConfig) -> StrategyConfig {
    StrategyConfig { required: true, ..strategy.clone() }
}
