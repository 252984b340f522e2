//! `otlp`: finished spans to an OpenTelemetry collector, by OTLP over HTTP with protobuf bodies. Not
//! over gRPC, and not encrypted: run a collector on the host, which is how OpenTelemetry recommends it,
//! and let that send on with TLS. An `https://` endpoint is refused with these words.
//!
//! # What is sent
//! One `ExportTraceServiceRequest` per batch of the host's, to `endpoint`. What labels the process is
//! the resource; `service.name` is the configured one, else the app.
//!
//! # When the collector is not there
//! A batch is tried again with growing pauses (0.5 s to 30 s, spread at random, or as `Retry-After`
//! says), for `give_up_after_ms`; HTTP statuses other than 429, 502, 503 and 504 are not tried again.
//! Meanwhile up to `queue_bytes` wait; a batch beyond that is refused to the host, which counts its spans
//! (`skymesh_telemetry_spans_dropped_total`) and logs the first of such batches in a row. When the process
//! ends, or another exporter takes over, what waits has 3 seconds. A batch that was taken and is given up
//! or refused for good is in the log alone: the first in a row as a warning, further ones at `debug`; so
//! is what there was no time for, if the process still lives then.
//!
//! # Cost
//! A thread, and about 200 bytes for each span that waits. Nothing on the message path.
//!
//! # Configuration
//! See [`OtlpConfig`].

mod backoff;
mod message;
mod sender;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use skymesh_plugin_api::{
    Attribute, AttributeValue, PluginError, Trace, TraceBatch, export_plugin,
};

use crate::sender::{Full, Sender, Target};

/// For tools, and for the check before the constructor runs.
const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "endpoint": {
      "description": "the whole URL that batches are posted to",
      "type": "string", "default": "http://127.0.0.1:4318/v1/traces"
    },
    "service_name": {
      "description": "what service.name says; without it, the app",
      "type": "string", "default": ""
    },
    "headers": {
      "description": "HTTP headers to send with each batch, such as a key of the collector's",
      "type": "object", "properties": {}, "additionalProperties": {"type": "string"}
    },
    "queue_bytes": {
      "description": "bytes of batches that may wait for the collector; one batch may in any case",
      "type": "integer", "minimum": 65536, "maximum": 1073741824, "default": 8388608
    },
    "give_up_after_ms": {
      "description": "how long a batch is tried, in milliseconds",
      "type": "integer", "minimum": 0, "maximum": 3600000, "default": 60000
    }
  }
}"#;

/// The plugin's table in the config file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// Default `http://127.0.0.1:4318/v1/traces`: the whole URL that batches are posted to.
    pub endpoint: String,
    /// Default empty: what the resource's `service.name` says; empty means the app.
    pub service_name: String,
    /// Default none: HTTP headers to send with each batch, such as a key of the collector's.
    pub headers: BTreeMap<String, String>,
    /// From 64 KiB to 1 GiB, default 8 MiB: bytes of batches that may wait for the collector. One batch may
    /// in any case: it has up to 512 spans, of some 200 bytes each.
    pub queue_bytes: usize,
    /// From 0 to an hour, default a minute: how long a batch is tried. 0 tries once.
    pub give_up_after_ms: u64,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: "http://127.0.0.1:4318/v1/traces".to_owned(),
            service_name: String::new(),
            headers: BTreeMap::new(),
            queue_bytes: 8 << 20,
            give_up_after_ms: 60_000,
        }
    }
}

/// The exporter; see the crate's documentation.
#[derive(Debug)]
pub struct Otlp {
    sender: Sender,
    service_name: String,
}

impl Trace for Otlp {
    const ID: &'static str = "otlp";
    const DESCRIPTION: &'static str = "OTLP over HTTP, to an OpenTelemetry collector";
    const CONFIG_SCHEMA: &'static str = SCHEMA;
    type Config = OtlpConfig;

    fn new(config: OtlpConfig) -> Result<Self, PluginError> {
        if config.endpoint.starts_with("https:") {
            let expected = "an http:// URL: https is not supported. Run a collector on this host \
                            (http://127.0.0.1:4318/v1/traces), and let it send on with TLS";
            return Err(PluginError::config("endpoint", expected));
        }
        let is_url = config.endpoint.strip_prefix("http://").is_some_and(|rest| !rest.is_empty());
        if !is_url || config.endpoint.contains(char::is_whitespace) {
            let expected = "an http:// URL, such as http://127.0.0.1:4318/v1/traces";
            return Err(PluginError::config("endpoint", expected));
        }
        let target = Target {
            url: config.endpoint,
            headers: config.headers.into_iter().collect(),
            queue_bytes: config.queue_bytes,
            give_up_after: Duration::from_millis(config.give_up_after_ms),
        };
        let sender = Sender::start(target).map_err(PluginError::failed)?;
        Ok(Self { sender, service_name: config.service_name })
    }

    fn export(&self, batch: &TraceBatch<'_>) -> Result<(), PluginError> {
        if batch.spans.is_empty() {
            return Ok(());
        }
        let app = batch.resource.iter().find(|one| one.key == "app").map(|one| one.value);
        let name = match app {
            _ if !self.service_name.is_empty() => AttributeValue::Text(&self.service_name),
            Some(app) => app,
            None => AttributeValue::Text("skymesh"),
        };
        let mut resource = vec![Attribute { key: "service.name", value: name }];
        resource.extend(batch.resource.iter().filter(|one| one.key != "service.name"));
        let body = message::of(&TraceBatch { resource: &resource, ..*batch });
        let spans = batch.spans.len();
        self.sender.push(body, spans).map_err(|Full| {
            PluginError::failed(format!(
                "{spans} spans dropped: queue_bytes wait for the collector"
            ))
        })
    }
}

export_plugin! { traces: [Otlp] }

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::abi::host::TraceInstance;
    use skymesh_plugin_api::conformance;

    use super::*;

    #[test]
    fn keeps_the_contract() {
        conformance::trace_with::<Otlp>(
            r#"{"endpoint": "http://127.0.0.1:9/", "give_up_after_ms": 0}"#,
        );
    }

    #[test]
    fn a_wrong_config_is_refused_by_name() {
        let cases = [
            (
                r#"{"endpoint": "https://collector/"}"#,
                "key `endpoint`: expected an http:// URL: https is not supported. Run a collector on this host",
            ),
            (r#"{"endpoint": "127.0.0.1:4318"}"#, "key `endpoint`: expected an http:// URL"),
            (r#"{"queue_bytes": 1}"#, "key `queue_bytes` = 1: expected a whole number from 65536"),
            (r#"{"end_point": ""}"#, "did you mean `endpoint`?"),
        ];
        for (json, expected) in cases {
            let error = TraceInstance::of::<Otlp>(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
