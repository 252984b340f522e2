//! Spans: what was done, when, as part of which trace. Who makes them is elsewhere; where they go is
//! the [`Tracer`](crate::Tracer)'s affair.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use skymesh_plugin_api::SpanKind;

use crate::metrics::unix_ns;
use crate::tracer::Queue;

/// Flag of a trace that is recorded (W3C trace context).
const SAMPLED: u8 = 1;

/// Which span of which trace, as it travels (W3C trace context).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    /// Of the trace; not all zero.
    pub trace_id: [u8; 16],
    /// Of the span; not 0.
    pub span_id: u64,
    /// Bit 0: sampled.
    pub flags: u8,
}

impl SpanContext {
    /// Whether the trace is recorded.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// A span below `parent`, or the root of a new trace.
    pub(crate) fn below(parent: Option<Self>, sampled: impl FnOnce(u64) -> bool) -> Self {
        let span_id = random().max(1);
        match parent {
            Some(parent) => Self { span_id, ..parent },
            None => {
                let (high, low) = (random().max(1), random());
                let mut trace_id = [0; 16];
                trace_id[..8].copy_from_slice(&high.to_be_bytes());
                trace_id[8..].copy_from_slice(&low.to_be_bytes());
                let flags = if sampled(low) { SAMPLED } else { 0 };
                Self { trace_id, span_id, flags }
            }
        }
    }
}

/// One fact about a span.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Text.
    Text(String),
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
        name: &str,
        kind: SpanKind,
        queue: &Arc<Queue>,
    ) -> Self {
        let now = unix_ns();
        let record = context.is_sampled().then(|| {
            let finished = Finished {
                context,
                parent_id: parent.map_or(0, |parent| parent.span_id),
                trace_state: String::new(),
                name: name.to_owned(),
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

thread_local! {
    static CURRENT: Cell<Option<SpanContext>> = const { Cell::new(None) };
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// The span within which this code runs, if it runs within [`Scoped`].
pub fn current() -> Option<SpanContext> {
    CURRENT.get()
}

pin_project! {
    /// A future within a span: calls that it makes are part of the span's trace. A task that it
    /// spawns is not.
    #[derive(Debug)]
    pub struct Scoped<F> {
        context: Option<SpanContext>,
        #[pin]
        future: F,
    }
}

impl<F> Scoped<F> {
    /// `future` within the span of `context`; as it is if there is none.
    pub fn new(context: Option<SpanContext>, future: F) -> Self {
        Self { context, future }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        /// Also after a panic.
        struct Restore(Option<SpanContext>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let this = self.project();
        if this.context.is_none() {
            return this.future.poll(cx);
        }
        let _restore = Restore(CURRENT.replace(*this.context));
        this.future.poll(cx)
    }
}

/// 64 random bits: good enough that ids do not meet, not for secrets.
fn random() -> u64 {
    STATE.with(|state| {
        // SplitMix64, from a place that the standard library takes from the system.
        let seed = match state.get() {
            0 => RandomState::new().hash_one(std::thread::current().id()) | 1,
            known => known,
        };
        let next = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_span_below_another_is_of_its_trace() {
        let root = SpanContext::below(None, |_| true);
        let below = SpanContext::below(Some(root), |_| unreachable!("its parent decides"));
        assert_eq!((below.trace_id, below.flags), (root.trace_id, SAMPLED));
        assert!(below.span_id != root.span_id && root.trace_id != [0; 16]);
        assert!(!SpanContext::below(None, |_| false).is_sampled());
        assert_ne!(SpanContext::below(None, |_| true).trace_id, root.trace_id);
    }

    #[test]
    fn a_scope_holds_while_its_future_is_polled_and_no_longer() {
        let context = SpanContext::below(None, |_| true);
        let inner = async {
            assert_eq!(current(), Some(context));
            let other = SpanContext::below(Some(context), |_| true);
            Scoped::new(Some(other), async move { assert_eq!(current(), Some(other)) }).await;
            Scoped::new(None, ready(())).await;
            assert_eq!(current(), Some(context));
            pending::<()>().await;
        };
        let mut scoped = std::pin::pin!(Scoped::new(Some(context), inner));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(scoped.as_mut().poll(&mut cx).is_pending());
        assert_eq!(current(), None);
        let panics = Scoped::new(Some(context), async { panic!("on purpose") });
        let mut panics = std::pin::pin!(panics);
        let poll = std::panic::AssertUnwindSafe(|| panics.as_mut().poll(&mut cx));
        let polled: Result<Poll<()>, _> = std::panic::catch_unwind(poll);
        assert!(polled.is_err() && current().is_none());
    }
}
