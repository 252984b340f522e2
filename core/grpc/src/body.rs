//! The body of an answer: as it comes from tonic, but held to the call's deadline, with the status
//! that gRPC wants for a lost connection, and counted for the selectors as long as it lasts.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use skymesh_agent::{RequestOutcome, Resolved};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status, TimeoutExpired};

/// The status of a whole call, where headers or trailers say it.
const STATUS: &str = "grpc-status";

/// A call that runs, as selectors count it.
#[derive(Debug)]
pub(crate) struct Running {
    resolved: Resolved,
    began: Instant,
    /// How it ended is noted once.
    ended: bool,
}

impl Running {
    pub(crate) fn begin(resolved: Resolved) -> Self {
        resolved.stats.began();
        Self { resolved, began: Instant::now(), ended: false }
    }

    /// The head of the answer is there: what a unary call waits for. How long a stream then takes
    /// says nothing of the server's speed.
    pub(crate) fn answered(&mut self, headers: &HeaderMap) {
        self.note_first(status_in(headers));
    }

    /// The call failed before anything was answered.
    pub(crate) fn failed(&mut self, code: Code) {
        self.note_first(Some(code));
    }

    /// A failure says nothing of the server's speed either, unless it is that it took too long.
    fn note_first(&mut self, status: Option<Code>) {
        if status.is_none_or(|code| code == Code::DeadlineExceeded || !is_failure(code)) {
            self.resolved.note_latency(self.began.elapsed());
        }
        self.note_end(status);
    }

    fn note_end(&mut self, code: Option<Code>) {
        let Some(code) = code.filter(|_| !self.ended) else { return };
        self.ended = true;
        let failed = is_failure(code);
        let outcome = if failed { RequestOutcome::Failed } else { RequestOutcome::Answered };
        self.resolved.note_outcome(outcome);
    }
}

fn status_in(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get(STATUS)?.as_bytes()))
}

/// Whether it is the instance's fault, or that of the way to it, as calls by skymesh-rpc have it.
fn is_failure(code: Code) -> bool {
    use Code::{DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown};
    matches!(code, DeadlineExceeded | Internal | ResourceExhausted | Unavailable | Unknown)
}

impl Drop for Running {
    fn drop(&mut self) {
        self.resolved.stats.ended();
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    inner: tonic::body::Body,
    deadline: Option<Pin<Box<Sleep>>>,
    running: Option<Running>,
}

impl AnswerBody {
    pub(crate) fn new(
        inner: tonic::body::Body,
        deadline: Option<Instant>,
        running: Running,
    ) -> Self {
        let deadline = deadline.map(|at| Box::pin(sleep_until(at)));
        Self { inner, deadline, running: Some(running) }
    }

    fn end(&mut self) {
        // Dropping what is left of it tells the server to stop.
        self.inner = tonic::body::Body::empty();
        self.deadline = None;
        self.running = None;
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        // First of all: a stream that is always ready ends at its deadline, too.
        let late = this.deadline.as_mut().is_some_and(|at| at.as_mut().poll(cx).is_ready());
        let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
            _ if late => Some(Err(late_status())),
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(running), Some(trailers)) = (&mut this.running, frame.trailers_ref()) {
                    running.note_end(status_in(trailers));
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(status_of)),
            Poll::Pending => return Poll::Pending,
        };
        if let (Some(running), Some(Err(status))) = (&mut this.running, &frame) {
            running.note_end(Some(status.code()));
        }
        this.end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pub(crate) fn late_status() -> Status {
    Status::deadline_exceeded("the call's deadline has passed")
}

/// The status of a call that broke below gRPC. tonic gives `unknown` for a lost connection, and
/// `cancelled` for a deadline.
pub(crate) fn status_of(status: Status) -> Status {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<TimeoutExpired>() {
            return late_status();
        }
        if let Some(hyper) = error.downcast_ref::<hyper::Error>()
            && (hyper.is_canceled() || hyper.is_closed() || hyper.is_timeout())
        {
            return lost(&status);
        }
        if error.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_io)
            || error.is::<std::io::Error>()
        {
            return lost(&status);
        }
        source = error.source();
    }
    status
}

fn lost(status: &Status) -> Status {
    Status::new(Code::Unavailable, format!("the connection was lost: {}", status.message()))
}
