//! `prometheus`: the metrics of this process at an HTTP endpoint, in Prometheus's text format. Not a
//! web server: it answers one path, and what it shows is as old as the last flush.
//!
//! # What is shown
//! The text exposition format, version 0.0.4, at `http://LISTEN/metrics`. Counters and gauges as
//! they are; of a distribution the cumulative buckets with `+Inf`, `_sum` and `_count`. Each metric
//! has its `HELP` and `TYPE` once. What labels the whole process is in `target_info`, as OpenMetrics
//! has it, and `process_start_time_seconds` says since when it counts. Characters that Prometheus
//! does not allow in names become underscores; series that come twice are shown once.
//!
//! # In Prometheus
//! ```yaml
//! scrape_configs:
//!   - job_name: skymesh
//!     static_configs:
//!       - targets: ["127.0.0.1:9464"]
//! ```
//! Metrics of single instances have the label `instance`, which Prometheus has for the address that it
//! scrapes: it calls ours `exported_instance`, unless the job says `honor_labels: true`.
//!
//! # The endpoint
//! A thread of its own accepts; each request gets a thread, 16 at most, and 5 seconds. It is plain
//! HTTP without a password and reached from this host only, unless `listen` says otherwise: then keep
//! strangers away by other means.
//!
//! # Cost
//! One text per flush, about 100 bytes a series. Nothing on the message path.
//!
//! # Configuration
//! See [`PrometheusConfig`].

mod server;
mod text;

use std::io;
use std::net::SocketAddr;

use serde::Deserialize;
use skymesh_plugin_api::{Metrics, MetricsBatch, PluginError, export_plugin};

use crate::server::Server;

/// For tools, and for the check before the constructor runs.
const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "listen": {
      "description": "the address and port of the endpoint; port 0 takes any free one, which the log names",
      "type": "string", "default": "127.0.0.1:9464"
    }
  }
}"#;

/// The plugin's table in the config file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrometheusConfig {
    /// Default `127.0.0.1:9464`: where to listen. Processes that share a host need a port each;
    /// with port 0 the system chooses one, and the log names it. A port in use fails the start.
    pub listen: String,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned() }
    }
}

/// The sink; see the crate's documentation.
#[derive(Debug)]
pub struct Prometheus {
    server: Server,
}

impl Metrics for Prometheus {
    const ID: &'static str = "prometheus";
    const DESCRIPTION: &'static str = "an HTTP endpoint in Prometheus's text format";
    const CONFIG_SCHEMA: &'static str = SCHEMA;
    type Config = PrometheusConfig;

    fn new(config: PrometheusConfig) -> Result<Self, PluginError> {
        let address: SocketAddr = config.listen.parse().map_err(|_| {
            PluginError::config("listen", "an address and port, such as 127.0.0.1:9464")
        })?;
        let server = Server::start(address).map_err(|error| {
            PluginError::failed(format!("can't listen at {address}: {error}; {}", remedy(&error)))
        })?;
        Ok(Self { server })
    }

    fn flush(&self, batch: &MetricsBatch<'_>) -> Result<(), PluginError> {
        self.server.show(text::of(batch));
        Ok(())
    }
}

/// What to do where it can't listen.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the process that listens there, or give this one another port by the key `listen`; \
             port 0 takes any free one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "set the key `listen` to an address of this host, or to 0.0.0.0 for all"
        }
        io::ErrorKind::PermissionDenied => "set the key `listen` to a port from 1024 up",
        _ => "set the key `listen` to another address",
    }
}

export_plugin! { metrics: [Prometheus] }

#[cfg(test)]
mod tests;
