//! Spans that the exporter does not take: each is counted, and once it gets none any more, none is made.

#![allow(clippy::unwrap_used, reason = "a test panics where something is amiss")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::Deserialize;
use skymesh_plugin_api::{PluginError, Trace, TraceBatch, export_plugin};
use skymesh_plugin_host::{PluginHost, PluginsConfig};
use skymesh_telemetry::{Metrics, MetricsConfig, Sinks, SpanKind, TraceConfig, Tracer, Tracing};

/// A guard, for a test that would never end otherwise.
const SOON: Duration = Duration::from_secs(60);

/// What exporters were told of dropped spans.
static TOLD: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PickyConfig {
    panics: bool,
}

/// Takes no span: refuses them, or panics over them.
struct Picky(PickyConfig);

impl Trace for Picky {
    const ID: &'static str = "picky";
    const CONFIG_SCHEMA: &'static str =
        r#"{"type": "object", "properties": {"panics": {"type": "boolean"}}}"#;
    type Config = PickyConfig;

    fn new(config: PickyConfig) -> Result<Self, PluginError> {
        Ok(Self(config))
    }

    fn export(&self, batch: &TraceBatch<'_>) -> Result<(), PluginError> {
        TOLD.fetch_add(batch.dropped, Relaxed);
        match batch.spans {
            [] => Ok(()),
            _ if self.0.panics => panic!("as the test wants it"),
            spans => Err(PluginError::failed(format!("{} spans are not wanted", spans.len()))),
        }
    }
}

export_plugin! { traces: [Picky] }

fn picky(panics: bool) -> TraceConfig {
    let interval = Duration::from_millis(10);
    let serde_json::Value::Object(config) = serde_json::json!({ "panics": panics }) else {
        panic!()
    };
    TraceConfig { plugin: Some("picky".into()), interval, config, ..TraceConfig::default() }
}

fn until(so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < SOON, "it did not happen within {SOON:?}");
        std::thread::yield_now();
    }
}

/// Begins a span and ends it; answers how many that made.
fn span(tracer: &Tracer) -> u64 {
    u64::from(tracer.begin(|| "span".into(), SpanKind::Client, None).is_some())
}

#[test]
fn those_of_a_batch_that_is_refused_are_counted_and_the_next_ones_tried() {
    let host = PluginHost::with_linked(PluginsConfig::default(), [skymesh_plugin()]).unwrap();
    let tracing = Tracing::start(&host, &picky(false), Vec::new()).unwrap();
    let tracer = tracing.tracer();
    let mut made = 0;
    for _ in 0..20 {
        made += span(&tracer) + span(&tracer);
        until(|| tracer.dropped() == made);
    }
    assert_eq!((made, tracer.is_on()), (40, true), "a refusal is no failure");
    // The plugin knows what it did not take; the queue was never full.
    drop(tracing);
    assert_eq!(TOLD.load(Relaxed), 0);
}

#[test]
fn a_quarantined_exporter_has_no_spans_made_until_a_reload() {
    let mut plugins = PluginsConfig::default();
    plugins.quarantine.failures = 3;
    let host = PluginHost::with_linked(plugins.clone(), [skymesh_plugin()]).unwrap();
    let config = picky(true);
    let sinks = Sinks {
        metrics: Metrics::start(&host, &MetricsConfig::default(), Vec::new()).unwrap(),
        tracing: Tracing::start(&host, &config, Vec::new()).unwrap(),
    };
    let tracer = sinks.tracing.tracer();
    let mut made = 0;
    for life in 1..=2 {
        // It is still open when nobody takes spans any more.
        let open = tracer.begin(|| "open".into(), SpanKind::Server, None).unwrap();
        let begun = Instant::now();
        while tracer.is_on() {
            made += span(&tracer);
            until(|| tracer.dropped() == made);
            assert!(begun.elapsed() < SOON, "it is not quarantined");
        }
        assert_eq!(made, 4 * life - 1, "three batches of one span each");
        drop(open);
        made += 1;
        until(|| tracer.dropped() == made);
        assert_eq!(span(&tracer), 0);

        let (renewal, missing) = host.renew(plugins.clone());
        assert_eq!(missing, []);
        let plan = sinks.plan(&renewal, &MetricsConfig::default(), &config).unwrap();
        let exchanged = sinks.apply(plan, &MetricsConfig::default(), &config);
        assert_eq!((exchanged.changed.len(), exchanged.faults.len()), (1, 0), "{exchanged:?}");
        assert!(tracer.is_on());
    }
}
