//! The future of one call. It spawns nothing, and allocates only where it has to wait before the
//! request is on its way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use skymesh_agent::{Destination, SendError};
use skymesh_telemetry::{CallSpan, Value, spans};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Ticket;
use crate::outgoing::Letter;
use crate::request::Request;
use crate::response::Response;
use crate::shared::Shared;
use crate::status::Status;
use crate::trace;

type Waiting = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

pin_project! {
    /// One call on its way: resolves to the answer, or to how it failed. It is sent when first
    /// polled.
    ///
    /// Ends at its deadline at the latest, and at once when the called instance is lost. Dropping
    /// it takes the call back: the handler's future is dropped on the other side.
    #[must_use = "a call is sent when it is first polled"]
    pub struct Call<D> {
        shared: Arc<Shared>,
        to: D,
        request: Option<Request>,
        deadline: Instant,
        stage: Stage,
        span: CallSpan,
        #[pin]
        sleep: Option<Sleep>,
    }
}

enum Stage {
    /// Nothing is known of the service yet.
    Resolving(Option<Waiting>),
    /// There is no room towards the callee.
    Posting(Ticket, Waiting),
    /// It is on its way.
    Sent(Ticket),
    Over,
}

impl<D: Destination> Call<D> {
    pub(crate) fn new(shared: Arc<Shared>, to: D, mut request: Request) -> Self {
        let deadline = request.deadline.unwrap_or_else(|| Instant::now() + shared.config.deadline);
        let span = trace::calling(&shared, &mut request, &spans::RPC_CLIENT, deadline);
        let stage = Stage::Resolving(None);
        Self { shared, to, request: Some(request), deadline, stage, span, sleep: None }
    }
}

impl<D: Destination> Future for Call<D> {
    type Output = Result<Response, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let deadline = *this.deadline;
        if let Poll::Ready(outcome) =
            advance(this.shared, this.to, this.request, deadline, this.stage, this.span, cx)
        {
            *this.stage = Stage::Over;
            trace::end(this.span, &outcome);
            this.sleep.set(None);
            return Poll::Ready(outcome);
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(*this.deadline)));
        }
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        this.sleep.set(None);
        let outcome = Err(expire(std::mem::replace(this.stage, Stage::Over)));
        trace::end(this.span, &outcome);
        Poll::Ready(outcome)
    }
}

/// Goes as far as it can without waiting.
fn advance<D: Destination>(
    shared: &Arc<Shared>,
    to: &D,
    request: &mut Option<Request>,
    deadline: Instant,
    stage: &mut Stage,
    span: &mut CallSpan,
    cx: &mut Context<'_>,
) -> Poll<Result<Response, Status>> {
    loop {
        match stage {
            Stage::Resolving(waiting) => {
                if let Some(waiting) = waiting {
                    ready!(waiting.as_mut().poll(cx))?;
                }
                let key = request.as_ref().and_then(|request| request.key);
                *stage = match shared.try_resolve(to, key) {
                    Ok(resolved) => {
                        let Some(request) = request.take() else {
                            unreachable!("invariant: a request is sent once");
                        };
                        span.note(spans::SERVER, || Value::Text(resolved.name.to_string()));
                        send(Ticket::open(shared, resolved, deadline)?, shared, request, deadline)?
                    }
                    Err(SendError::Loading(name)) => {
                        let shared = Arc::clone(shared);
                        Stage::Resolving(Some(Box::pin(async move {
                            shared.loaded(&name, deadline).await
                        })))
                    }
                    Err(error) => return Poll::Ready(Err(error.into())),
                };
            }
            Stage::Posting(ticket, waiting) => {
                if waiting.as_mut().poll(cx)?.is_pending() {
                    // The callee may be lost meanwhile.
                    return ticket.poll(cx);
                }
                let Stage::Posting(ticket, _) = std::mem::replace(stage, Stage::Over) else {
                    unreachable!("invariant: matched just now");
                };
                *stage = Stage::Sent(ticket);
            }
            Stage::Sent(ticket) => return ticket.poll(cx),
            Stage::Over => panic!("a call was polled after it had ended"),
        }
    }
}

fn send(
    mut ticket: Ticket,
    shared: &Arc<Shared>,
    request: Request,
    deadline: Instant,
) -> Result<Stage, Status> {
    let protocol = ticket.resolved().protocol;
    let letter = Letter::request(ticket.correlation(), protocol, request, Some(deadline))?;
    // As it was looked up: an instance that was called as the leader refuses it once it leads no more.
    match letter.try_post(&shared.instance, ticket.resolved()) {
        Ok(()) => {
            ticket.note_sent();
            Ok(Stage::Sent(ticket))
        }
        Err(SendError::Full) => {
            let (instance, to) = (shared.instance.clone(), ticket.resolved().clone());
            // Whoever drops the wait can't know whether it was sent just then.
            ticket.note_sent();
            let waiting = Box::pin(async move { letter.post(&instance, to).await });
            Ok(Stage::Posting(ticket, waiting))
        }
        Err(error) => Err(error.into()),
    }
}

fn expire(stage: Stage) -> Status {
    match stage {
        Stage::Resolving(_) => {
            Status::deadline_exceeded("nothing was heard of the service in time").not_processed()
        }
        Stage::Posting(ticket, waiting) => {
            // Once this is dropped it is sent or not, and only the callee knows.
            drop(waiting);
            drop(ticket);
            Status::deadline_exceeded("there was no room towards the callee in time")
        }
        Stage::Sent(mut ticket) => {
            ticket.expire();
            let callee = &ticket.resolved().name;
            Status::deadline_exceeded(format!("no answer of {callee} in time"))
        }
        Stage::Over => unreachable!("invariant: a call that is over does not wait"),
    }
}

impl<D> fmt::Debug for Call<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Resolving(_) => "resolving",
            Stage::Posting(..) => "waiting for room",
            Stage::Sent(_) => "sent",
            Stage::Over => "over",
        };
        f.debug_struct("Call").field("stage", &stage).finish_non_exhaustive()
    }
}
