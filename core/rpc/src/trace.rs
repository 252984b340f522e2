//! Spans of calls: one on the calling side, one on the serving side below it, and the context that
//! travels between them. Without a trace plugin no spans are made, and contexts pass through.

use std::sync::Arc;

use skymesh_telemetry::spans::SpanEntry;
use skymesh_telemetry::{
    ActiveSpan, CallSpan, Failures, Scope, SpanContext, current, current_state,
};
use tokio::time::Instant;

use crate::metadata::TraceParent;
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
    entry: &SpanEntry,
    deadline: Instant,
) -> CallSpan {
    let said = request.metadata.trace_parent().map(SpanContext::from);
    let parent = said.or_else(current);
    if said.is_none()
        && let Some(state) = current_state()
    {
        // One of these was taken from a request, or it is no longer than that may be.
        let _ = request.metadata.set_trace_state(&*state);
    }
    let span = begin(shared, request, entry, parent);
    let context = span.as_ref().map(ActiveSpan::context).or(parent);
    request.metadata.set_trace_parent(context.map(TraceParent::from));
    CallSpan::new(span, Some(deadline.into_std()), Failures::All)
}

/// Begins the callee's span, and puts its context into the request as the handler sees it. Answers
/// what the handler runs in as well.
pub(crate) fn serving(
    shared: &Shared,
    request: &mut Request,
    entry: &SpanEntry,
) -> (CallSpan, Scope) {
    let parent = request.metadata.trace_parent().map(SpanContext::from);
    let span = begin(shared, request, entry, parent);
    let context = span.as_ref().map(ActiveSpan::context).or(parent);
    request.metadata.set_trace_parent(context.map(TraceParent::from));
    let state = parent.and_then(|_| request.metadata.trace_state()).map(Arc::from);
    let deadline = request.deadline.map(Instant::into_std);
    (CallSpan::new(span, deadline, Failures::All), Scope::new(context, state))
}

fn begin(
    shared: &Shared,
    request: &Request,
    entry: &SpanEntry,
    parent: Option<SpanContext>,
) -> Option<ActiveSpan> {
    let method = || request.method().to_string();
    shared.instance.begin_span(entry, parent, request.metadata.trace_state(), method)
}

/// Ends a span with what became of its call.
pub(crate) fn end<T>(span: &mut CallSpan, outcome: &Result<T, Status>) {
    match outcome {
        Ok(_) => span.end(0, String::new),
        Err(status) => span.end(u32::from(status.code().number()), || status.to_string()),
    }
}
