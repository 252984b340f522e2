//! Spans of the calls that a server answers, as a layer of tonic's server. Not of virtual connections: those
//! carry bytes, and know no calls.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use skymesh_agent::{Instance, Serving};
use skymesh_telemetry::{CallSpan, Scope};
use tonic::Code;
use tower::{Layer, Service};

use crate::channel::deadline;
use crate::spanned::{SpannedBody, answered};
use crate::trace;

/// The layer that makes the server's spans ([`GRPC_SERVER`](skymesh_telemetry::spans::GRPC_SERVER)), and has
/// calls that handlers make continue their caller's trace: [`Grpc::server_spans`](crate::Grpc::server_spans).
///
/// It also measures how long calls are served, until the head of their answer, as metrics show it
/// ([`SERVE_DURATION`](skymesh_telemetry::catalogue::SERVE_DURATION)).
///
/// Without a trace plugin it makes no spans, and contexts pass through all the same. Calls that come
/// over plain TCP to the same server are seen as well.
#[derive(Debug, Clone)]
pub struct ServerSpans {
    instance: Instance,
}

impl ServerSpans {
    pub(crate) fn new(instance: Instance) -> Self {
        Self { instance }
    }
}

impl<S> Layer<S> for ServerSpans {
    type Service = Spanned<S>;

    fn layer(&self, inner: S) -> Spanned<S> {
        Spanned { inner, instance: self.instance.clone() }
    }
}

/// A service within [`ServerSpans`].
#[derive(Debug, Clone)]
pub struct Spanned<S> {
    inner: S,
    instance: Instance,
}

impl<S, A, B> Service<Request<A>> for Spanned<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<SpannedBody<B>>;
    type Error = S::Error;
    type Future = SpannedCall<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let deadline = deadline(request.headers());
        let (span, scope) = trace::serving(&self.instance, &mut request, deadline);
        let serving = Some(self.instance.serving());
        let entered = scope.enter();
        let future = self.inner.call(request);
        drop(entered);
        SpannedCall { future, within: Some((span, scope)), serving }
    }
}

pin_project! {
    /// One call of [`Spanned`]. Dropped before its answer, its span says that it was given up.
    #[derive(Debug)]
    pub struct SpannedCall<F> {
        #[pin]
        future: F,
        within: Option<(CallSpan, Scope)>,
        serving: Option<Serving>,
    }
}

impl<F, B, E> Future for SpannedCall<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<SpannedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = this.within.as_ref().map(|(_, scope)| scope.enter());
        let outcome = ready!(this.future.poll(cx));
        drop(entered);
        drop(this.serving.take());
        let Some((mut span, scope)) = this.within.take() else {
            panic!("a call was polled after it had ended");
        };
        if outcome.is_err() {
            // tonic makes a status of it, further out.
            span.end(Code::Unknown as u32, || "a layer failed".to_owned());
        }
        Poll::Ready(outcome.map(|response| answered(response, span, scope)))
    }
}
