//! The span within which code runs: what makes a handler's own calls part of its caller's trace. Bound
//! to a future while that is polled, not to a task.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context::SpanContext;

thread_local! {
    static CURRENT: Cell<Option<SpanContext>> = const { Cell::new(None) };
    /// What tracing systems say of that trace. Looked at only where there is one.
    static CURRENT_STATE: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// The span within which this code runs, if it runs within [`Scoped`].
pub fn current() -> Option<SpanContext> {
    CURRENT.get()
}

/// The W3C `tracestate` of [`current`]; `None` if there is none.
pub fn current_state() -> Option<Arc<str>> {
    current().and_then(|_| CURRENT_STATE.with_borrow(Clone::clone))
}

/// A span and its trace state, to run code within.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    context: Option<SpanContext>,
    state: Option<Arc<str>>,
}

impl Scope {
    /// The scope of a span; without one, code runs in the scope that it runs in anyway.
    pub fn new(context: Option<SpanContext>, state: Option<Arc<str>>) -> Self {
        Self { context, state }
    }

    /// From now until the answer is dropped, this thread runs within the span. Not to be held across an
    /// `await`: that is [`Scoped`]'s.
    pub fn enter(&self) -> Entered {
        let before = self.context.map(|context| {
            let state = CURRENT_STATE.replace(self.state.clone());
            (CURRENT.replace(Some(context)), state)
        });
        Entered { before, _of_this_thread: PhantomData }
    }
}

/// See [`Scope::enter`].
#[derive(Debug)]
#[must_use = "the scope ends when it is dropped"]
pub struct Entered {
    before: Option<(Option<SpanContext>, Option<Arc<str>>)>,
    _of_this_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some((context, state)) = self.before.take() {
            CURRENT.set(context);
            CURRENT_STATE.set(state);
        }
    }
}

pin_project! {
    /// A future within a span: calls that it makes are part of the span's trace. A task that it
    /// spawns is not.
    #[derive(Debug)]
    pub struct Scoped<F> {
        scope: Scope,
        #[pin]
        future: F,
    }
}

impl<F> Scoped<F> {
    /// `future` within `scope`.
    pub fn new(scope: Scope, future: F) -> Self {
        Self { scope, future }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.scope.enter();
        this.future.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_scope_holds_while_its_future_is_polled_and_no_longer() {
        let context = SpanContext::below(None, |_| true);
        let scope = Scope::new(Some(context), Some("a=b".into()));
        let inner = async {
            assert_eq!((current(), current_state().as_deref()), (Some(context), Some("a=b")));
            let other = SpanContext::below(Some(context), |_| true);
            let of_other = async move {
                assert_eq!((current(), current_state()), (Some(other), None));
            };
            Scoped::new(Scope::new(Some(other), None), of_other).await;
            Scoped::new(Scope::default(), ready(())).await;
            assert_eq!((current(), current_state().as_deref()), (Some(context), Some("a=b")));
            pending::<()>().await;
        };
        let mut scoped = std::pin::pin!(Scoped::new(scope.clone(), inner));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(scoped.as_mut().poll(&mut cx).is_pending());
        assert_eq!((current(), current_state()), (None, None));
        let panics = Scoped::new(scope, async { panic!("on purpose") });
        let mut panics = std::pin::pin!(panics);
        let poll = std::panic::AssertUnwindSafe(|| panics.as_mut().poll(&mut cx));
        let polled: Result<Poll<()>, _> = std::panic::catch_unwind(poll);
        assert!(polled.is_err() && current().is_none() && current_state().is_none());
    }
}
