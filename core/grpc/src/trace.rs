//! Spans of gRPC calls: how their context travels in HTTP headers (W3C `traceparent` and `tracestate`), and
//! how they end. The callee's side is [`server_spans`](crate::server_spans).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use skymesh_agent::Instance;
use skymesh_telemetry::spans::{self, SpanEntry};
use skymesh_telemetry::{
    ActiveSpan, CallSpan, Failures, Scope, SpanContext, Value, current, current_state,
};
use tokio::time::Instant;
use tonic::Status;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
const STATUS: &str = "grpc-status";

/// Begins the caller's span, and puts its context into the request's headers. What they say of a trace
/// counts, such as an interceptor's; else the call is part of the trace of the handler that makes it.
pub(crate) fn calling<B>(
    instance: &Instance,
    request: &mut Request<B>,
    callee: impl FnOnce() -> String,
    deadline: Option<Instant>,
) -> CallSpan {
    let said = said(request.headers());
    let parent = said.or_else(current);
    if said.is_none()
        && let Some(parent) = parent
    {
        // Of a trace parent that can't be read, the state is void.
        request.headers_mut().remove(STATE);
        insert(request.headers_mut(), PARENT, &parent.to_string());
        if let Some(state) = current_state() {
            insert(request.headers_mut(), STATE, &state);
        }
    }
    let span = begin(instance, request, &spans::GRPC_CLIENT, parent);
    let mut span = CallSpan::new(span, deadline.map(Instant::into_std), Failures::All);
    span.note(spans::SERVER, || Value::Text(callee()));
    span
}

/// Begins the callee's span, and puts its context into the headers as the handler sees them. Answers
/// what the handler runs in as well.
pub(crate) fn serving<B>(
    instance: &Instance,
    request: &mut Request<B>,
    deadline: Option<Instant>,
) -> (CallSpan, Scope) {
    let parent = said(request.headers());
    let state = parent.and_then(|_| request.headers().get(STATE)?.to_str().ok()).map(Arc::from);
    let span = begin(instance, request, &spans::GRPC_SERVER, parent);
    let context = span.as_ref().map(ActiveSpan::context).or(parent);
    let span = CallSpan::new(span, deadline.map(Instant::into_std), Failures::OfTheServer);
    (span, Scope::new(context, state))
}

fn begin<B>(
    instance: &Instance,
    request: &mut Request<B>,
    entry: &SpanEntry,
    parent: Option<SpanContext>,
) -> Option<ActiveSpan> {
    let state = parent.and_then(|_| request.headers().get(STATE)?.to_str().ok());
    let path = request.uri().path();
    let method = || path.strip_prefix('/').unwrap_or(path).to_owned();
    let span = instance.begin_span(entry, parent, state, method)?;
    insert(request.headers_mut(), PARENT, &span.context().to_string());
    Some(span)
}

fn said(headers: &HeaderMap) -> Option<SpanContext> {
    SpanContext::from_traceparent(headers.get(PARENT)?.to_str().ok()?)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // What has come in a header fits into one.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Ends a span with the status that headers or trailers say, if they say one.
pub(crate) fn end_by(span: &mut CallSpan, headers: &HeaderMap) {
    if headers.contains_key(STATUS)
        && let Some(status) = Status::from_header_map(headers)
    {
        end(span, &status);
    }
}

/// Ends a span with a status.
pub(crate) fn end(span: &mut CallSpan, status: &Status) {
    // Never negative.
    span.end(status.code() as u32, || status.message().to_owned());
}
