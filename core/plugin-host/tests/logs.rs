//! What plugins log reaches the host's subscriber; so do their panics; so do changes of the level.
//!
//! A binary of its own with one test: `tracing` decides once per call site whether anybody listens,
//! and other tests' threads, which have no subscriber, would decide for this one.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not in a #[test] themselves")]

#[allow(dead_code)]
#[path = "plugins/fixture.rs"]
mod fixture;

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use skymesh_plugin_host::{PluginHost, PluginsConfig, StrategyConfig};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{Registry, layer::SubscriberExt, reload};

use fixture::{Folder, members, strategy};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn events_panics_and_level_changes_cross() {
    let lines = Lines::default();
    let (filter, level) = reload::Layer::new(LevelFilter::INFO);
    let format = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_ansi(false);
    let _guard = tracing::subscriber::set_default(Registry::default().with(filter).with(format));

    let folder = Folder::new();
    let config = PluginsConfig { dirs: Vec::new(), ..folder.config() };
    let host = PluginHost::new(config).unwrap();
    let cycle = || host.selector(&strategy("skymesh_fixture_orderly/cycle", json!({"start": 3})));
    cycle().unwrap();
    let text = lines.take();
    assert!(text.contains("INFO skymesh::plugin: cycle is ready"), "{text}");
    assert!(text.contains("from=\"skymesh_fixture_orderly\""), "{text}");
    assert!(text.contains(r#"fields="{\"start\":3}""#), "{text}");
    assert!(!text.contains("cycle has details"), "{text}");

    level.modify(|filter| *filter = LevelFilter::DEBUG).unwrap();
    host.set_log_level(LevelFilter::DEBUG);
    cycle().unwrap();
    let text = lines.take();
    assert!(text.contains("DEBUG skymesh::plugin: cycle has details"), "{text}");

    host.set_log_level(LevelFilter::WARN);
    cycle().unwrap();
    let text = lines.take();
    assert!(!text.contains("cycle is ready"), "{text}");
    host.set_log_level(LevelFilter::DEBUG);

    let panicking = json!({"mischief": "panic_in_call"});
    let slot = host.selector(&strategy("skymesh_fixture_unruly/unruly", panicking)).unwrap();
    slot.prepare(members(2)).pick(None);
    let text = lines.take();
    let place = "tests/fixtures/unruly/src/lib.rs:";
    assert!(text.contains("ERROR skymesh::plugin: panicked at ") && text.contains(place), "{text}");
    assert!(text.contains("mischief in a call"), "{text}");
    assert!(text.contains("WARN") && text.contains("the built-in pick serves instead"), "{text}");

    sinks(&host, &lines);
}

/// Metrics and trace plugins tell what they got by their log.
fn sinks(host: &PluginHost, lines: &Lines) {
    use skymesh_plugin_api::{
        Attribute, AttributeValue, Label, MetricsBatch, Sample, SampleValue, Span, SpanEvent,
        SpanKind, SpanStatus, TraceBatch,
    };
    let tally = StrategyConfig::new("skymesh_fixture_orderly/tally");
    let metrics = host.metrics(&tally).unwrap().unwrap();
    let labels = [Label { key: "service", value: "a.b.c" }];
    let sample = |value| Sample { name: "sent", help: "", unit: "", labels: &labels, value };
    let samples =
        [SampleValue::Counter(40), SampleValue::Gauge(7.0), SampleValue::Counter(2)].map(sample);
    let batch = MetricsBatch { samples: &samples, resource: &[], unix_ns: 2, started_unix_ns: 1 };
    assert!(metrics.flush(&batch));
    let text = lines.take();
    assert!(text.contains("metrics tally"), "{text}");
    assert!(text.contains(r#"{\"label\":\"a.b.c\",\"name\":\"sent\",\"sum\":42}"#), "{text}");
    let empty = MetricsBatch { samples: &[], ..batch };
    assert!(!metrics.flush(&empty) && !metrics.flush(&empty));
    let text = lines.take();
    assert_eq!(text.matches("a batch without samples").count(), 1, "said once: {text}");
    assert!(metrics.flush(&batch));
    assert!(lines.take().contains("takes batches again"));
    assert_eq!((metrics.failures(), metrics.is_quarantined()), (0, false));

    let trace = host.trace(&tally).unwrap().unwrap();
    let attributes = [Attribute { key: "n", value: AttributeValue::Integer(-3) }];
    let events = [SpanEvent { name: "retry", unix_ns: 2, attributes: &attributes }];
    let span = |status| Span {
        trace_id: [1; 16],
        span_id: 2,
        parent_id: 0,
        trace_flags: 1,
        trace_state: "",
        name: "call",
        kind: SpanKind::Client,
        start_unix_ns: 1,
        end_unix_ns: 3,
        status,
        attributes: &attributes,
        events: &events,
    };
    let spans = [span(SpanStatus::Ok), span(SpanStatus::Error("lost"))];
    let batch = TraceBatch { spans: &spans, resource: &attributes, dropped: 0 };
    assert!(trace.export(&batch));
    let text = lines.take();
    assert!(text.contains(r#"{\"failed\":1,\"name\":\"call\",\"retries\":3}"#), "{text}");

    let unruly = strategy("skymesh_fixture_unruly/unruly", json!({"mischief": "panic_in_call"}));
    let trace = host.trace(&unruly).unwrap().unwrap();
    for panics in 1..=5 {
        assert!(!trace.is_quarantined() && !trace.export(&batch));
        assert_eq!(trace.failures(), panics);
    }
    assert!(trace.is_quarantined() && !trace.export(&batch));
    assert_eq!(trace.failures(), 5, "it is not called any more");
    let text = lines.take();
    assert!(text.contains("quarantined after 5 failures: it gets nothing more"), "{text}");
}
