//! The suites for metrics and trace plugins. They take a configuration, for most sinks need an
//! address or a file.

use super::tries::Tries;
use super::{Declared, check_declaration};
use crate::abi::host::{MetricsInstance, TraceInstance};
use crate::{
    Attribute, AttributeValue, Bucket, ErrorKind, Histogram, Label, Metrics, MetricsBatch,
    PluginError, Sample, SampleValue, Span, SpanEvent, SpanKind, SpanStatus, Trace, TraceBatch,
};

fn check_answer(id: &str, what: &str, result: &Result<(), PluginError>) {
    let panicked = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Panicked);
    assert!(!panicked, "{id}: panicked on {what}");
}

/// Tests `M`: no batch makes it panic.
///
/// # Panics
/// If `M` breaks a promise of [`Metrics`].
pub fn metrics_with<M: Metrics>(config: &str) {
    let declared = Declared { id: M::ID, schema: M::CONFIG_SCHEMA, deterministic: false };
    check_metrics(&declared, config, &MetricsInstance::of::<M>, &mut Tries::Strict);
}

/// As [`metrics_with`], however instances are made.
pub(super) fn check_metrics(
    declared: &Declared<'_>,
    config: &str,
    make: &dyn Fn(&str) -> Result<MetricsInstance, PluginError>,
    tries: &mut Tries,
) {
    let id = declared.id;
    let Some(sink) = check_declaration(declared, config, make, tries) else { return };
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
        let what = format!("{} samples", samples.len());
        tries.of(|| check_answer(id, &what, &sink.flush(&batch)));
    }
}

/// Tests `T`: no batch makes it panic.
///
/// # Panics
/// If `T` breaks a promise of [`Trace`].
pub fn trace_with<T: Trace>(config: &str) {
    let declared = Declared { id: T::ID, schema: T::CONFIG_SCHEMA, deterministic: false };
    check_trace(&declared, config, &TraceInstance::of::<T>, &mut Tries::Strict);
}

/// As [`trace_with`], however instances are made.
pub(super) fn check_trace(
    declared: &Declared<'_>,
    config: &str,
    make: &dyn Fn(&str) -> Result<TraceInstance, PluginError>,
    tries: &mut Tries,
) {
    let id = declared.id;
    let Some(exporter) = check_declaration(declared, config, make, tries) else { return };
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
        let what = format!("{} spans", spans.len());
        tries.of(|| check_answer(id, &what, &exporter.export(&batch)));
    }
}
