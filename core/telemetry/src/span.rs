//! Spans: what was done, when, as part of which trace. Who makes them is elsewhere; where they go is
//! the [`Tracer`](crate::Tracer)'s affair.

use std::sync::Arc;

use skymesh_plugin_api::SpanKind;

use crate::context::SpanContext;
use crate::metrics::unix_ns;
use crate::tracer::Queue;

/// One fact about a span.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Text.
    Text(String),
    /// Text that is always the same.
    Word(&'static str),
    /// A whole number.
    Integer(i64),
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing was said.
    Unset,
    /// With this message.
    Failed(String),
}

/// A span that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) context: SpanContext,
    pub(crate) parent_id: u64,
    pub(crate) trace_state: String,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) start_unix_ns: u64,
    pub(crate) end_unix_ns: u64,
    pub(crate) ending: Ending,
    pub(crate) attributes: Vec<(&'static str, Value)>,
}

/// A span that goes on. It ends when it is dropped.
#[derive(Debug)]
pub struct ActiveSpan {
    context: SpanContext,
    /// `None` where the trace is not recorded: then it carries the context only.
    record: Option<(Box<Finished>, Arc<Queue>)>,
}

impl ActiveSpan {
    pub(crate) fn begin(
        context: SpanContext,
        parent: Option<SpanContext>,
        name: impl FnOnce() -> String,
        kind: SpanKind,
        queue: &Arc<Queue>,
    ) -> Self {
        let record = context.is_sampled().then(|| {
            let now = unix_ns();
            let finished = Finished {
                context,
                parent_id: parent.map_or(0, |parent| parent.span_id),
                trace_state: String::new(),
                name: name(),
                kind,
                start_unix_ns: now,
                end_unix_ns: now,
                ending: Ending::Unset,
                attributes: Vec::new(),
            };
            (Box::new(finished), Arc::clone(queue))
        });
        Self { context, record }
    }

    /// What travels with the work that it covers.
    pub fn context(&self) -> SpanContext {
        self.context
    }

    /// Notes a fact; made only if it is recorded.
    pub fn note(&mut self, key: &'static str, value: impl FnOnce() -> Value) {
        if let Some((record, _)) = &mut self.record {
            record.attributes.push((key, value()));
        }
    }

    /// Says with which trace state it came, as W3C writes it.
    pub fn trace_state(&mut self, state: Option<&str>) {
        if let (Some((record, _)), Some(state)) = (&mut self.record, state) {
            state.clone_into(&mut record.trace_state);
        }
    }

    /// It ends badly.
    pub fn fail(&mut self, message: impl FnOnce() -> String) {
        if let Some((record, _)) = &mut self.record {
            record.ending = Ending::Failed(message());
        }
    }
}

impl Drop for ActiveSpan {
    fn drop(&mut self) {
        if let Some((mut record, queue)) = self.record.take() {
            // A clock that was set back must not make it end before it began.
            record.end_unix_ns = unix_ns().max(record.start_unix_ns);
            queue.push(record);
        }
    }
}
