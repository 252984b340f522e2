//! Spans of calls: one on the calling side, one on the serving side below it, and the context that
//! travels between them. Without a trace plugin no spans are made, and contexts pass through.

use skymesh_telemetry::{ActiveSpan, SpanContext, SpanKind, Value, current};

use crate::metadata::TraceParent;
use crate::method::Method;
use crate::request::Request;
use crate::shared::Shared;
use crate::status::Status;

impl From<SpanContext> for TraceParent {
    fn from(context: SpanContext) -> Self {
        let parent_id = context.span_id.to_be_bytes();
        Self { trace_id: context.trace_id, parent_id, flags: context.flags }
    }
}

impl From<TraceParent> for SpanContext {
    fn from(parent: TraceParent) -> Self {
        let span_id = u64::from_be_bytes(parent.parent_id);
        Self { trace_id: parent.trace_id, span_id, flags: parent.flags }
    }
}

/// Begins the caller's span, and puts its context into the request. What the request says of its
/// trace counts; else the call is part of the trace of the handler that makes it.
pub(crate) fn calling(
    shared: &Shared,
    request: &mut Request,
    kind: SpanKind,
) -> Option<ActiveSpan> {
    let said = request.metadata.trace_parent().map(SpanContext::from);
    let parent = said.or_else(current);
    let span = begin(shared, request, kind, parent);
    let context = span.as_ref().map(ActiveSpan::context).or(parent);
    request.metadata.set_trace_parent(context.map(TraceParent::from));
    span
}

/// Begins the callee's span, and puts its context into the request as the handler sees it. Answers
/// the context that the handler runs in as well.
pub(crate) fn serving(
    shared: &Shared,
    request: &mut Request,
    kind: SpanKind,
) -> (Option<ActiveSpan>, Option<SpanContext>) {
    let parent = request.metadata.trace_parent().map(SpanContext::from);
    let span = begin(shared, request, kind, parent);
    let context = span.as_ref().map(ActiveSpan::context).or(parent);
    request.metadata.set_trace_parent(context.map(TraceParent::from));
    (span, context)
}

fn begin(
    shared: &Shared,
    request: &Request,
    kind: SpanKind,
    parent: Option<SpanContext>,
) -> Option<ActiveSpan> {
    let tracer = shared.instance.tracer();
    if !tracer.is_on() {
        return None;
    }
    let method: &Method = request.method();
    let method = method.to_string();
    let mut span = tracer.begin(&method, kind, parent)?;
    span.trace_state(request.metadata.trace_state());
    span.note("rpc.system", || Value::Text("skymesh".to_owned()));
    span.note("rpc.method", || Value::Text(method.clone()));
    span.note("skymesh.instance", || Value::Text(shared.instance.url().to_string()));
    Some(span)
}

/// Ends a span with what became of its call.
pub(crate) fn end<T>(span: Option<ActiveSpan>, outcome: &Result<T, Status>) {
    if let (Some(mut span), Err(status)) = (span, outcome) {
        span.note("skymesh.status", || Value::Text(status.code().name().to_owned()));
        span.fail(|| status.to_string());
    }
}
