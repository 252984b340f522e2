//! `[metrics]` and `[trace]`: which plugins show what skymesh counts and traces of itself.

use std::time::Duration;

use semver::VersionReq;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use skymesh_plugin_host::StrategyConfig;

/// Least and most of `interval`: a flush may take a while, and counters that are an hour old are of
/// no use.
const INTERVAL: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(3600)];

/// `[metrics]`: where this process's metrics go. All keys need a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// The plugin's id, `prometheus` or `log` or one of your own, or `library/id`. Without it
    /// nothing is shown; counting costs the same.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Which versions of its library will do. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionReq>,
    /// Whether the process refuses to start without it. Default: true.
    pub required: bool,
    /// How often the plugin gets all values, 100ms to 1h. Default 5s: below the interval of whoever
    /// scrapes, so that a scrape is never older than that.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// The plugin's own table (`skymesh plugin schema prometheus`).
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            plugin: None,
            version: None,
            required: true,
            interval: Duration::from_secs(5),
            config: Map::new(),
        }
    }
}

impl MetricsConfig {
    /// The key, the value and what was expected, where something is out of range.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let [least, most] = INTERVAL;
        let out = !(least..=most).contains(&self.interval);
        out.then(|| ("interval", format!("{:?} is out of range: 100ms to 1h", self.interval)))
    }

    /// The plugin as the host is asked for it; `None` if none is wanted.
    pub(crate) fn strategy(&self) -> Option<StrategyConfig> {
        let mut strategy = StrategyConfig::new(self.plugin.clone()?);
        strategy.version = self.version.clone();
        strategy.required = self.required;
        strategy.config = self.config.clone();
        Some(strategy)
    }
}
