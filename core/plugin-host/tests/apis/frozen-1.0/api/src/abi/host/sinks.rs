//! Handles of metrics and trace plugins. Cold: batches are converted by allocating.

use std::sync::Arc;

use abi_stable::std_types::{RErr, RNone, ROk, ROption, RSlice, RSome, RStr};

use super::Owned;
use crate::abi::layout::RawError;
use crate::abi::module::RawInstance;
use crate::abi::shim::sinks::{MetricsShim, TraceShim};
use crate::abi::sink_layout::{
    ATTRIBUTE_BOOLEAN, ATTRIBUTE_INTEGER, ATTRIBUTE_NUMBER, ATTRIBUTE_TEXT, RawAttribute, RawEvent,
    RawMetricsBatch, RawSample, RawSpan, RawTraceBatch, SAMPLE_COUNTER, SAMPLE_GAUGE,
    SAMPLE_HISTOGRAM,
};
use crate::abi::vtable::{MetricsVtRef, TraceVtRef};
use crate::{
    Attribute, AttributeValue, Label, Metrics, MetricsBatch, PluginError, Sample, SampleValue,
    Span, SpanKind, SpanStatus, Trace, TraceBatch,
};

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $trait:ident, $shim:ident, $vt:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            vt: $vt,
            owned: Arc<Owned>,
        }

        impl $name {
            pub(super) fn new(instance: &RawInstance<$vt>) -> Self {
                let vt = instance.vt;
                Self { vt, owned: Arc::new(Owned::new(instance, vt.release())) }
            }

            /// The author's type as a host would have it, without a library. For tests.
            ///
            /// # Errors
            /// [`PluginError`] as the constructor or the check of `config` says.
            pub fn of<P: $trait>(config: &str) -> Result<Self, PluginError> {
                match $shim::<P>::create(config.into()) {
                    ROk(instance) => Ok(Self::new(&instance)),
                    RErr(error) => Err(error.into()),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

handle! {
    /// A configured metrics sink. Cheap to clone.
    MetricsInstance, Metrics, MetricsShim, MetricsVtRef
}
handle! {
    /// A configured trace exporter. Cheap to clone.
    TraceInstance, Trace, TraceShim, TraceVtRef
}

fn answer(error: ROption<RawError>) -> Result<(), PluginError> {
    match error {
        RNone => Ok(()),
        RSome(error) => Err(error.into()),
    }
}

impl MetricsInstance {
    /// Hands a batch over. May wait as long as the plugin does.
    ///
    /// # Errors
    /// [`PluginError`]; its kind says if the plugin panicked.
    pub fn flush(&self, batch: &MetricsBatch<'_>) -> Result<(), PluginError> {
        let labels: Vec<Vec<RawAttribute<'_>>> =
            batch.samples.iter().map(|sample| raw_labels(sample.labels)).collect();
        let samples: Vec<RawSample<'_>> = batch
            .samples
            .iter()
            .zip(&labels)
            .map(|(one, labels)| raw_sample(one, labels))
            .collect();
        let resource = raw_labels(batch.resource);
        let raw = RawMetricsBatch {
            samples: RSlice::from_slice(&samples),
            resource: RSlice::from_slice(&resource),
            unix_ns: batch.unix_ns,
            started_unix_ns: batch.started_unix_ns,
            reserved: [0; 4],
        };
        // SAFETY: `state` is live while `owned` is, and `flush` is of the same vtable.
        answer(unsafe { self.vt.flush()(self.owned.state, &raw) })
    }
}

impl TraceInstance {
    /// Hands a batch over. May wait as long as the plugin does.
    ///
    /// # Errors
    /// [`PluginError`]; its kind says if the plugin panicked.
    pub fn export(&self, batch: &TraceBatch<'_>) -> Result<(), PluginError> {
        let parts: Vec<SpanParts<'_>> = batch.spans.iter().map(SpanParts::of).collect();
        let events: Vec<Vec<RawEvent<'_>>> = parts.iter().map(SpanParts::events).collect();
        let spans: Vec<RawSpan<'_>> =
            parts.iter().zip(&events).map(|(parts, events)| parts.span(events)).collect();
        let resource = raw_attributes(batch.resource);
        let raw = RawTraceBatch {
            spans: RSlice::from_slice(&spans),
            resource: RSlice::from_slice(&resource),
            dropped: batch.dropped,
            reserved: [0; 4],
        };
        // SAFETY: `state` is live while `owned` is, and `export` is of the same vtable.
        answer(unsafe { self.vt.export()(self.owned.state, &raw) })
    }
}

fn raw_labels<'a>(labels: &[Label<'a>]) -> Vec<RawAttribute<'a>> {
    let raw = |label: &Label<'a>| RawAttribute {
        key: label.key.into(),
        kind: ATTRIBUTE_TEXT,
        text: label.value.into(),
        bits: 0,
    };
    labels.iter().map(raw).collect()
}

fn raw_sample<'a>(sample: &Sample<'a>, labels: &'a [RawAttribute<'a>]) -> RawSample<'a> {
    let (kind, count, number, buckets) = match sample.value {
        SampleValue::Counter(count) => (SAMPLE_COUNTER, count, 0.0, [].as_slice()),
        SampleValue::Gauge(number) => (SAMPLE_GAUGE, 0, number, [].as_slice()),
        SampleValue::Histogram(all) => (SAMPLE_HISTOGRAM, all.count, all.sum, all.buckets),
    };
    RawSample {
        name: sample.name.into(),
        help: sample.help.into(),
        unit: sample.unit.into(),
        labels: RSlice::from_slice(labels),
        kind,
        count,
        number,
        buckets: RSlice::from_slice(buckets),
        reserved: [0; 2],
    }
}

fn raw_attributes<'a>(attributes: &[Attribute<'a>]) -> Vec<RawAttribute<'a>> {
    let raw = |attribute: &Attribute<'a>| {
        let (kind, text, bits) = match attribute.value {
            AttributeValue::Text(text) => (ATTRIBUTE_TEXT, text, 0),
            AttributeValue::Integer(number) => (ATTRIBUTE_INTEGER, "", number as u64),
            AttributeValue::Number(number) => (ATTRIBUTE_NUMBER, "", number.to_bits()),
            AttributeValue::Boolean(yes) => (ATTRIBUTE_BOOLEAN, "", u64::from(yes)),
        };
        RawAttribute { key: attribute.key.into(), kind, text: text.into(), bits }
    };
    attributes.iter().map(raw).collect()
}

/// A span and what of it had to be converted.
struct SpanParts<'a> {
    span: &'a Span<'a>,
    attributes: Vec<RawAttribute<'a>>,
    event_attributes: Vec<Vec<RawAttribute<'a>>>,
}

impl<'a> SpanParts<'a> {
    fn of(span: &'a Span<'a>) -> Self {
        let events = span.events.iter();
        Self {
            span,
            attributes: raw_attributes(span.attributes),
            event_attributes: events.map(|event| raw_attributes(event.attributes)).collect(),
        }
    }

    fn events(&self) -> Vec<RawEvent<'_>> {
        let raw = self.span.events.iter().zip(&self.event_attributes);
        raw.map(|(event, attributes)| RawEvent {
            name: event.name.into(),
            unix_ns: event.unix_ns,
            attributes: RSlice::from_slice(attributes),
        })
        .collect()
    }

    fn span<'s>(&'s self, events: &'s [RawEvent<'s>]) -> RawSpan<'s> {
        let span = self.span;
        let (status, status_text) = match span.status {
            SpanStatus::Unset => (0, RStr::empty()),
            SpanStatus::Ok => (1, RStr::empty()),
            SpanStatus::Error(text) => (2, text.into()),
        };
        RawSpan {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_id: span.parent_id,
            trace_flags: u32::from(span.trace_flags),
            kind: match span.kind {
                SpanKind::Internal => 0,
                SpanKind::Server => 1,
                SpanKind::Client => 2,
                SpanKind::Producer => 3,
                SpanKind::Consumer => 4,
            },
            trace_state: span.trace_state.into(),
            name: span.name.into(),
            start_unix_ns: span.start_unix_ns,
            end_unix_ns: span.end_unix_ns,
            status,
            status_text,
            attributes: RSlice::from_slice(&self.attributes),
            events: RSlice::from_slice(events),
            reserved: [0; 4],
        }
    }
}
