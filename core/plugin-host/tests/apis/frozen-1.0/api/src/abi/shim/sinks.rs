//! Metrics and trace plugins behind their vtables. Batches are cold, so the raw form is turned into
//! the authors' types by allocating.

use std::marker::PhantomData;

use abi_stable::std_types::{RNone, ROption, RSome};

use super::{declare, guarded};
use crate::abi::layout::RawError;
use crate::abi::sink_layout::{
    ATTRIBUTE_BOOLEAN, ATTRIBUTE_INTEGER, ATTRIBUTE_NUMBER, RawAttribute, RawMetricsBatch, RawSpan,
    RawTraceBatch, SAMPLE_COUNTER, SAMPLE_GAUGE, SAMPLE_HISTOGRAM,
};
use crate::abi::vtable::{MetricsVt, MetricsVtRef, TraceVt, TraceVtRef};
use crate::error::{ErrorKind, PluginError};
use crate::{
    Attribute, AttributeValue, Histogram, Label, Metrics, MetricsBatch, Sample, SampleValue, Span,
    SpanEvent, SpanKind, SpanStatus, Trace, TraceBatch,
};

/// The author's `P`, seen from outside.
pub struct MetricsShim<P>(PhantomData<P>);

declare!(MetricsShim, Metrics, MetricsVt, MetricsVtRef, 0, { flush: flush::<P> });

/// The author's `P`, seen from outside.
pub struct TraceShim<P>(PhantomData<P>);

declare!(TraceShim, Trace, TraceVt, TraceVtRef, 0, { export: export::<P> });

fn panicked() -> ROption<RawError> {
    RSome(PluginError::of(ErrorKind::Panicked, "the plugin panicked".into()).into())
}

fn answer(result: Result<(), PluginError>) -> ROption<RawError> {
    match result {
        Ok(()) => RNone,
        Err(error) => RSome(error.into()),
    }
}

/// # Safety
/// As [`MetricsVt`] demands.
unsafe extern "C" fn flush<P: Metrics>(
    state: *const (),
    raw: &RawMetricsBatch<'_>,
) -> ROption<RawError> {
    guarded(panicked(), || {
        // SAFETY: `state` is a live `P` made by `create`, shared by reference only (P: Sync).
        let sink = unsafe { &*state.cast::<P>() };
        let labels: Vec<Vec<Label<'_>>> =
            raw.samples.iter().map(|sample| labels(sample.labels.as_slice())).collect();
        let samples: Vec<Sample<'_>> = raw
            .samples
            .as_slice()
            .iter()
            .zip(&labels)
            .filter_map(|(sample, labels)| {
                let value = match sample.kind {
                    SAMPLE_COUNTER => SampleValue::Counter(sample.count),
                    SAMPLE_GAUGE => SampleValue::Gauge(sample.number),
                    SAMPLE_HISTOGRAM => SampleValue::Histogram(Histogram {
                        count: sample.count,
                        sum: sample.number,
                        buckets: sample.buckets.as_slice(),
                    }),
                    _ => return None,
                };
                let (name, help) = (sample.name.as_str(), sample.help.as_str());
                Some(Sample { name, help, unit: sample.unit.as_str(), labels, value })
            })
            .collect();
        answer(sink.flush(&MetricsBatch {
            samples: &samples,
            resource: &self::labels(raw.resource.as_slice()),
            unix_ns: raw.unix_ns,
            started_unix_ns: raw.started_unix_ns,
        }))
    })
}

fn labels<'a>(raw: &[RawAttribute<'a>]) -> Vec<Label<'a>> {
    raw.iter().map(|one| Label { key: one.key.as_str(), value: one.text.as_str() }).collect()
}

/// # Safety
/// As [`TraceVt`] demands.
unsafe extern "C" fn export<P: Trace>(
    state: *const (),
    raw: &RawTraceBatch<'_>,
) -> ROption<RawError> {
    guarded(panicked(), || {
        // SAFETY: `state` is a live `P` made by `create`, shared by reference only (P: Sync).
        let exporter = unsafe { &*state.cast::<P>() };
        let parts: Vec<SpanParts<'_>> = raw.spans.as_slice().iter().map(SpanParts::of).collect();
        let events: Vec<Vec<SpanEvent<'_>>> = parts.iter().map(SpanParts::events).collect();
        let spans: Vec<Span<'_>> =
            parts.iter().zip(&events).map(|(parts, events)| parts.span(events)).collect();
        answer(exporter.export(&TraceBatch {
            spans: &spans,
            resource: &attributes(raw.resource.as_slice()),
            dropped: raw.dropped,
        }))
    })
}

/// A raw span and what of it had to be allocated.
struct SpanParts<'a> {
    raw: &'a RawSpan<'a>,
    attributes: Vec<Attribute<'a>>,
    event_attributes: Vec<Vec<Attribute<'a>>>,
}

impl<'a> SpanParts<'a> {
    fn of(raw: &'a RawSpan<'a>) -> Self {
        let events = raw.events.as_slice().iter();
        Self {
            raw,
            attributes: attributes(raw.attributes.as_slice()),
            event_attributes: events.map(|event| attributes(event.attributes.as_slice())).collect(),
        }
    }

    fn events(&self) -> Vec<SpanEvent<'_>> {
        let events = self.raw.events.as_slice().iter();
        events
            .zip(&self.event_attributes)
            .map(|(raw, attributes)| SpanEvent {
                name: raw.name.as_str(),
                unix_ns: raw.unix_ns,
                attributes,
            })
            .collect()
    }

    fn span<'s>(&'s self, events: &'s [SpanEvent<'s>]) -> Span<'s> {
        let raw = self.raw;
        Span {
            trace_id: raw.trace_id,
            span_id: raw.span_id,
            parent_id: raw.parent_id,
            trace_flags: raw.trace_flags as u8,
            trace_state: raw.trace_state.as_str(),
            name: raw.name.as_str(),
            kind: match raw.kind {
                1 => SpanKind::Server,
                2 => SpanKind::Client,
                3 => SpanKind::Producer,
                4 => SpanKind::Consumer,
                _ => SpanKind::Internal,
            },
            start_unix_ns: raw.start_unix_ns,
            end_unix_ns: raw.end_unix_ns,
            status: match raw.status {
                1 => SpanStatus::Ok,
                2 => SpanStatus::Error(raw.status_text.as_str()),
                _ => SpanStatus::Unset,
            },
            attributes: &self.attributes,
            events,
        }
    }
}

fn attributes<'a>(raw: &[RawAttribute<'a>]) -> Vec<Attribute<'a>> {
    let value = |raw: &RawAttribute<'a>| match raw.kind {
        ATTRIBUTE_INTEGER => AttributeValue::Integer(raw.bits as i64),
        ATTRIBUTE_NUMBER => AttributeValue::Number(f64::from_bits(raw.bits)),
        ATTRIBUTE_BOOLEAN => AttributeValue::Boolean(raw.bits != 0),
        _ => AttributeValue::Text(raw.text.as_str()),
    };
    raw.iter().map(|one| Attribute { key: one.key.as_str(), value: value(one) }).collect()
}
