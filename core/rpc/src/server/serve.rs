//! From a request to its handler. A handler is polled once right here, in the task that drives the
//! inbox: most end there, and no task is spawned for them. One that waits goes on in a task of its
//! own, under its deadline.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::FutureExt;
use skymesh_agent::Message;
use skymesh_telemetry::{Scoped, spans};
use skymesh_types::Handle;
use tokio::time::{Instant, timeout_at};
use tower::util::ServiceExt;
use tower::{BoxError, Service};

use super::{Reply, Running};
use crate::metadata::Metadata;
use crate::method::Method;
use crate::outgoing::NOTIFY;
use crate::request::{Caller, Request};
use crate::response::Response;
use crate::shared::Shared;
use crate::status::Status;
use crate::{trace, wire};

/// What of a call its handler is to know.
struct Asked {
    method: Method,
    metadata: Metadata,
    deadline: Option<Instant>,
    payload: Bytes,
}

/// Hands requests to a service.
#[derive(Debug)]
pub(crate) struct Server<S> {
    shared: Arc<Shared>,
    service: S,
}

impl<S> Server<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    pub(crate) fn new(shared: Arc<Shared>, service: S) -> Self {
        Self { shared, service }
    }

    /// Takes a request, notify or cancel of ours.
    pub(crate) fn take(&self, message: Message, correlation: u64) {
        let source = message.source().handle();
        if message.flags() & wire::CANCEL != 0 {
            if self.shared.running.cancel(source, correlation) {
                self.shared.counters.cancelled.add(1);
            }
            return;
        }
        let reply = Reply::new(&self.shared, source, correlation, 2);
        // Nobody waits for a notify, so it may take as long as it says.
        let default_time = (correlation != NOTIFY).then_some(self.shared.config.deadline);
        match wire::read_request(message.metadata()) {
            Ok(header) => {
                let left = header.time_left.or(default_time);
                let deadline = left.and_then(|left| Instant::now().checked_add(left));
                let payload = message.payload().clone();
                let (method, metadata) = (header.method, header.metadata);
                let asked = Asked { method, metadata, deadline, payload };
                self.start(message, asked, source, correlation, reply);
            }
            Err(error) => {
                self.shared.counters.malformed.add(1);
                let text = format!("the request can't be read: {error}");
                reply.refuse(Status::invalid_argument(text).not_processed());
            }
        }
    }

    /// Takes a request or notify in the origin's layout.
    pub(crate) fn take_v1(&self, message: Message, method: Method, seq: u64, body: Bytes) {
        let source = message.source().handle();
        let reply = Reply::new(&self.shared, source, seq, 1);
        let deadline = Some(Instant::now() + self.shared.config.deadline);
        let asked = Asked { method, metadata: Metadata::new(), deadline, payload: body };
        self.start(message, asked, source, seq, reply);
    }

    fn start(
        &self,
        message: Message,
        asked: Asked,
        source: Handle,
        correlation: u64,
        reply: Reply,
    ) {
        if let Err(status) = self.admit(&asked, source, correlation) {
            return reply.refuse(status.not_processed());
        }
        let Asked { method, metadata, deadline, payload } = asked;
        let caller = Some(Caller::new(message));
        let request = Request { method, payload, metadata, deadline, key: None, caller };
        let late = reply.clone();
        let answer = answer(Arc::clone(&self.shared), self.service.clone(), request, reply);
        let mut answer: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(answer);
        // Whoever is polled again is polled with the waker that counts then.
        let first =
            AssertUnwindSafe(|| answer.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        if !matches!(std::panic::catch_unwind(first), Ok(Poll::Pending)) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        Running::spawn(&self.shared, late.clone(), async move {
            let Some(deadline) = deadline else { return answer.await };
            if timeout_at(deadline, answer).await.is_err() {
                shared.counters.expired.add(1);
                late.refuse(Status::deadline_exceeded("the handler did not end in time"));
            }
        });
    }

    /// Why a call is not even started, if it is not.
    fn admit(&self, asked: &Asked, source: Handle, correlation: u64) -> Result<(), Status> {
        let Shared { running, counters, config, .. } = &*self.shared;
        if running.is_draining() {
            return Err(Status::unavailable("this instance takes no more calls: it drains"));
        }
        if asked.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Status::deadline_exceeded("the deadline passed on the way"));
        }
        if !running.has_room() {
            counters.over_running_limit.add(1);
            let limit = config.max_running_calls;
            let text = format!("{limit} calls are running: max_running_calls");
            return Err(Status::resource_exhausted(text));
        }
        if correlation != NOTIFY && running.contains(source, correlation) {
            counters.duplicate_requests.add(1);
            return Err(Status::invalid_argument("a call with that correlation is running"));
        }
        Ok(())
    }
}

/// Runs the handler and answers with what comes of it; a panic is an answer too.
async fn answer<S>(shared: Arc<Shared>, service: S, mut request: Request, reply: Reply)
where
    S: Service<Request, Response = Response>,
    S::Error: Into<BoxError>,
{
    let serving = shared.instance.serving();
    let method = request.method().clone();
    let entry = if reply.is_awaited() { &spans::RPC_SERVER } else { &spans::RPC_CONSUMER };
    let (mut span, scope) = trace::serving(&shared, &mut request, entry);
    let call = Scoped::new(scope, async move { service.oneshot(request).await });
    let outcome = match AssertUnwindSafe(call).catch_unwind().await {
        Ok(outcome) => outcome.map_err(|error| Status::from_error(error.into())),
        Err(panic) => {
            shared.counters.panics.add(1);
            let said = said(&*panic);
            tracing::error!(%method, said, "a handler panicked");
            Err(Status::internal(format!("the handler of {method:?} panicked: {said}")))
        }
    };
    trace::end(&mut span, &outcome);
    // What the caller's window costs is not the handler's time.
    drop(serving);
    reply.send(outcome).await;
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(said), _) => said,
        (_, Some(said)) => said,
        _ => "without a word",
    }
}
