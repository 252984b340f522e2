//! Spans to the bytes of an `ExportTraceServiceRequest` of OTLP 1.x, straight from the batch: of its
//! many messages only seven are needed, and nothing is read. Field numbers are those of
//! opentelemetry-proto, which the tests read it with. Pure.

use skymesh_plugin_api::{
    Attribute, AttributeValue, Span, SpanEvent, SpanKind, SpanStatus, TraceBatch,
};

/// What the instrumentation scope is called.
const SCOPE: &str = "skymesh";

/// The whole request.
pub(crate) fn of(batch: &TraceBatch<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 * (batch.spans.len() + 1));
    // resource_spans
    message(&mut out, 1, |out| {
        message(out, 1, |out| attributes(out, 1, batch.resource));
        // scope_spans
        message(out, 2, |out| {
            message(out, 1, |out| {
                text(out, 1, SCOPE);
                text(out, 2, env!("CARGO_PKG_VERSION"));
            });
            for one in batch.spans {
                message(out, 2, |out| span(out, one));
            }
        });
    });
    out
}

fn span(out: &mut Vec<u8>, span: &Span<'_>) {
    bytes(out, 1, &span.trace_id);
    bytes(out, 2, &span.span_id.to_be_bytes());
    text(out, 3, span.trace_state);
    if span.parent_id != 0 {
        bytes(out, 4, &span.parent_id.to_be_bytes());
    }
    text(out, 5, span.name);
    number(
        out,
        6,
        match span.kind {
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
            _ => 1,
        },
    );
    fixed64(out, 7, span.start_unix_ns);
    fixed64(out, 8, span.end_unix_ns);
    attributes(out, 9, span.attributes);
    for one in span.events {
        message(out, 11, |out| event(out, one));
    }
    match span.status {
        SpanStatus::Ok => message(out, 15, |out| number(out, 3, 1)),
        SpanStatus::Error(why) => message(out, 15, |out| {
            text(out, 2, why);
            number(out, 3, 2);
        }),
        _ => {}
    }
    tag(out, 16, 5);
    out.extend_from_slice(&u32::from(span.trace_flags).to_le_bytes());
}

fn event(out: &mut Vec<u8>, event: &SpanEvent<'_>) {
    fixed64(out, 1, event.unix_ns);
    text(out, 2, event.name);
    attributes(out, 3, event.attributes);
}

fn attributes(out: &mut Vec<u8>, field: u64, all: &[Attribute<'_>]) {
    for one in all {
        message(out, field, |out| {
            text(out, 1, one.key);
            message(out, 2, |out| match one.value {
                // Written even if it is empty or 0: it says of what kind the value is.
                AttributeValue::Text(value) => bytes(out, 1, value.as_bytes()),
                AttributeValue::Boolean(yes) => always(out, 2, u64::from(yes)),
                AttributeValue::Integer(value) => always(out, 3, value as u64),
                AttributeValue::Number(value) => fixed64(out, 4, value.to_bits()),
                _ => {}
            });
        });
    }
}

/// A message within a message. Its length is put before it when it is known.
fn message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(out, field, &inner);
}

fn text(out: &mut Vec<u8>, field: u64, value: &str) {
    if !value.is_empty() {
        bytes(out, field, value.as_bytes());
    }
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    tag(out, field, 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        always(out, field, value);
    }
}

fn always(out: &mut Vec<u8>, field: u64, value: u64) {
    tag(out, field, 0);
    varint(out, value);
}

fn fixed64(out: &mut Vec<u8>, field: u64, value: u64) {
    tag(out, field, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn tag(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, field << 3 | wire_type);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use prost::Message;

    use super::*;

    fn value(key: &'static str, value: AttributeValue<'static>) -> Attribute<'static> {
        Attribute { key, value }
    }

    #[test]
    fn the_reference_reads_what_was_meant() {
        let resource = [value("service.name", AttributeValue::Text("game"))];
        let attributes = [
            value("text", AttributeValue::Text("")),
            value("integer", AttributeValue::Integer(-3)),
            value("number", AttributeValue::Number(0.5)),
            value("no", AttributeValue::Boolean(false)),
        ];
        let events = [SpanEvent { name: "retry", unix_ns: 5, attributes: &attributes[..1] }];
        let one = Span {
            trace_id: [7; 16],
            span_id: 1,
            parent_id: 0x0102_0304_0506_0708,
            trace_flags: 1,
            trace_state: "a=b",
            name: "call",
            kind: SpanKind::Client,
            start_unix_ns: 3,
            end_unix_ns: u64::MAX,
            status: SpanStatus::Error("lost"),
            attributes: &attributes,
            events: &events,
        };
        let root = Span {
            parent_id: 0,
            kind: SpanKind::Internal,
            status: SpanStatus::Ok,
            attributes: &[],
            events: &[],
            trace_state: "",
            ..one
        };
        let spans = [one, root, Span { status: SpanStatus::Unset, ..root }];
        let bytes = of(&TraceBatch { spans: &spans, resource: &resource, dropped: 0 });
        let read = ExportTraceServiceRequest::decode(&bytes[..]).unwrap();
        // Nothing in it that the reference does not know, and no other form of what it does.
        assert_eq!(read.encoded_len(), bytes.len());

        let [resource_spans] = &read.resource_spans[..] else { panic!("{read:?}") };
        let resource = resource_spans.resource.as_ref().unwrap();
        assert_eq!(resource.attributes[0].key, "service.name");
        let [scope] = &resource_spans.scope_spans[..] else { panic!("{read:?}") };
        assert_eq!(scope.scope.as_ref().unwrap().name, "skymesh");
        let [one, root, unset] = &scope.spans[..] else { panic!("{read:?}") };
        assert_eq!(
            (one.trace_id.as_slice(), one.span_id.as_slice()),
            (&[7; 16][..], &[0, 0, 0, 0, 0, 0, 0, 1][..])
        );
        assert_eq!(one.parent_span_id, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!((one.name.as_str(), one.trace_state.as_str(), one.flags), ("call", "a=b", 1));
        assert_eq!((one.kind, one.start_time_unix_nano, one.end_time_unix_nano), (3, 3, u64::MAX));
        let status = one.status.as_ref().unwrap();
        assert_eq!((status.code, status.message.as_str()), (2, "lost"));
        let values: Vec<Option<Value>> =
            one.attributes.iter().map(|one| one.value.clone().unwrap().value).collect();
        let expected = [
            Value::StringValue(String::new()),
            Value::IntValue(-3),
            Value::DoubleValue(0.5),
            Value::BoolValue(false),
        ];
        assert_eq!(values, expected.map(Some));
        assert_eq!((one.events[0].name.as_str(), one.events[0].time_unix_nano), ("retry", 5));
        assert_eq!((root.parent_span_id.len(), root.kind), (0, 1));
        assert_eq!(root.status.as_ref().unwrap().code, 1);
        assert_eq!(unset.status, None);
    }
}
