//! `[metrics]` and `[trace]`: which plugins show what skymesh counts and traces of itself.

use std::time::Duration;

use semver::VersionReq;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use skymesh_plugin_host::StrategyConfig;

/// Least and most of `interval`: a flush may take a while, and counters that are an hour old are of
/// no use.
const INTERVAL: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(3600)];

/// `[metrics]`: where this process's metrics go. All keys are hot.
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
    /// Each key that is out of its range, with its value and what was expected.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let [least, most] = INTERVAL;
        let out = !(least..=most).contains(&self.interval);
        let fault =
            out.then(|| ("interval", format!("{:?} is out of range: 100ms to 1h", self.interval)));
        fault.into_iter().collect()
    }

    /// The plugin as the host is asked for it; `None` if none is wanted.
    pub fn strategy(&self) -> Option<StrategyConfig> {
        let Self { plugin, version, required, config, .. } = self;
        Some(strategy(plugin.as_ref()?, version.as_ref(), *required, config))
    }
}

/// `[trace]`: where this process's spans go. All keys are hot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceConfig {
    /// The plugin's id, `otlp` or `log` or one of your own, or `library/id`. Without it no spans are
    /// made, and trace contexts pass through as they are.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Which versions of its library will do. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionReq>,
    /// Whether the process refuses to start without it. Default: true.
    pub required: bool,
    /// Which share of the traces that begin here is recorded, 0 to 1; of others their maker decides.
    /// Default: 1.
    pub sample: f64,
    /// How long finished spans may wait for others of their batch, 10ms to 1m. Default: 1s.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Finished spans that may wait for the plugin, 1 to 1 000 000; more are dropped and counted.
    /// Default: 8192, some 4 MiB.
    pub queue: usize,
    /// The plugin's own table (`skymesh plugin schema otlp`).
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self {
            plugin: None,
            version: None,
            required: true,
            sample: 1.0,
            interval: Duration::from_secs(1),
            queue: 8192,
            config: Map::new(),
        }
    }
}

impl TraceConfig {
    /// As [`MetricsConfig::faults`].
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let interval = Duration::from_millis(10)..=Duration::from_secs(60);
        let checks = [
            (
                interval.contains(&self.interval),
                "interval",
                format!("{:?} is out of range: 10ms to 1m", self.interval),
            ),
            (
                (0.0..=1.0).contains(&self.sample),
                "sample",
                format!("{} is out of range: 0 to 1", self.sample),
            ),
            (
                (1..=1_000_000).contains(&self.queue),
                "queue",
                format!("{} is out of range: 1 to 1000000", self.queue),
            ),
        ];
        let wrong = checks.into_iter().filter(|(fits, ..)| !fits);
        wrong.map(|(_, key, fault)| (key, fault)).collect()
    }

    /// The plugin as the host is asked for it; `None` if none is wanted.
    pub fn strategy(&self) -> Option<StrategyConfig> {
        let Self { plugin, version, required, config, .. } = self;
        Some(strategy(plugin.as_ref()?, version.as_ref(), *required, config))
    }
}

fn strategy(
    plugin: &str,
    version: Option<&VersionReq>,
    required: bool,
    config: &Map<String, Value>,
) -> StrategyConfig {
    let mut strategy = StrategyConfig::new(plugin);
    strategy.version = version.cloned();
    strategy.required = required;
    strategy.config = config.clone();
    strategy
}

#[cfg(test)]
mod tests {
    use skymesh_plugin_host::{PluginHost, PluginsConfig};

    use super::*;
    use crate::{Metrics, Tracing};

    #[test]
    fn nothing_starts_with_values_out_of_range() {
        let host = PluginHost::new(PluginsConfig::default()).unwrap();
        let config = MetricsConfig { interval: Duration::ZERO, ..MetricsConfig::default() };
        let refused = Metrics::start(&host, &config, Vec::new()).unwrap_err();
        assert_eq!(refused.to_string(), "interval: 0ns is out of range: 100ms to 1h");
        let config = TraceConfig { queue: 0, ..TraceConfig::default() };
        let refused = Tracing::start(&host, &config, Vec::new()).unwrap_err();
        assert_eq!(refused.to_string(), "queue: 0 is out of range: 1 to 1000000");
        assert!(!Metrics::start(&host, &MetricsConfig::default(), Vec::new()).unwrap().is_on());
    }
}
