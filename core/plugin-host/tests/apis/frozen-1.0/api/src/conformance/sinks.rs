//! The suites for metrics and trace plugins. They take a configuration, for most sinks need an
//! address or a file.

use super::check_declaration;
use crate::abi::host::{MetricsInstance, TraceInstance};
use crate::{
    Attribute, AttributeValue, Bucket, ErrorKind, Histogram, Label, Metrics, MetricsBatch,
    PluginError, Sample, SampleValue, Span, SpanEvent, SpanKind, SpanStatus, Trace, TraceBatch,
};

fn check(id: &str, what: &str, result: &Result<(), PluginError>) {
    let panicked = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Panicked);
    assert!(!panicked, "{id}: panicked on {what}");
}

/// Tests `M`: no batch makes it panic.
///
/// # Panics
/// If `M` breaks a promise of [`Metrics`].
pub fn metrics_with<M: Metrics>(config: &str) {
    let sink = check_declaration(M::ID, M::CONFIG_SCHEMA, config, MetricsInstance::of::<M>);
    let labels =
        [Label { key: "service", value: "a.b.\"c\"\n" }, Label { key: "empty", value: "" }];
    let buckets =
        [Bucket { upper_bound: 0.001, count: 3 }, Bucket { upper_bound: f64::INFINITY, count: 0 }];
    let values = [
        SampleValue::Counter(u64::MAX),
        SampleValue::Gauge(f64::NAN),
        SampleValue::Gauge(-1.5),
        SampleValue::Histogram(Histogram { count: 3, sum: 0.002, buckets: &buckets }),
        SampleValue::Histogram(Histogram { count: 0, sum: 0.0, buckets: &[] }),
    ];
    let samples = values.map(|value| Sample {
        name: "skymesh_test_total",
        help: "a \\ and a\nline",
        unit: "",
        labels: &labels,
        value,
    });
    let started_unix_ns = 1_700_000_000_000_000_000;
    for samples in [&[], samples.as_slice()] {
        let unix_ns = started_unix_ns + 1;
        let batch = MetricsBatch { samples, resource: &labels, unix_ns, started_unix_ns };
        check(M::ID, &format!("{} samples", samples.len()), &sink.flush(&batch));
    }
}

/// Tests `T`: no batch makes it panic.
///
/// # Panics
/// If `T` breaks a promise of [`Trace`].
pub fn trace_with<T: Trace>(config: &str) {
    let exporter = check_declaration(T::ID, T::CONFIG_SCHEMA, config, TraceInstance::of::<T>);
    let attributes = [
        Attribute { key: "text", value: AttributeValue::Text("\"") },
        Attribute { key: "integer", value: AttributeValue::Integer(i64::MIN) },
        Attribute { key: "number", value: AttributeValue::Number(f64::INFINITY) },
        Attribute { key: "boolean", value: AttributeValue::Boolean(true) },
    ];
    let events = [SpanEvent { name: "retry", unix_ns: u64::MAX, attributes: &attributes }];
    let statuses = [SpanStatus::Unset, SpanStatus::Ok, SpanStatus::Error("lost")];
    let spans = statuses.map(|status| Span {
        trace_id: [0xAB; 16],
        span_id: 1,
        parent_id: 0,
        trace_flags: 1,
        trace_state: "",
        name: "call",
        kind: SpanKind::Client,
        start_unix_ns: 5,
        end_unix_ns: 4,
        status,
        attributes: &attributes,
        events: &events,
    });
    for spans in [&[], spans.as_slice()] {
        let batch = TraceBatch { spans, resource: &attributes, dropped: 3 };
        check(T::ID, &format!("{} spans", spans.len()), &exporter.export(&batch));
    }
}
