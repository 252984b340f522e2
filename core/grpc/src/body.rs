//! The body of an answer: as it comes from tonic, but held to the call's deadline, with the status
//! that gRPC wants for a lost connection, and counted for the selectors as long as it lasts.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use skymesh_agent::Resolved;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status, TimeoutExpired};

/// A call that runs, as selectors count it.
#[derive(Debug)]
pub(crate) struct Running {
    resolved: Arc<Resolved>,
    began: Instant,
}

impl Running {
    pub(crate) fn begin(resolved: Resolved) -> Self {
        resolved.stats.began();
        Self { resolved: Arc::new(resolved), began: Instant::now() }
    }

    /// The head of the answer is there: what a unary call waits for. How long a stream then takes
    /// says nothing of the server's speed.
    fn note_answer(&self) {
        self.resolved.note_latency(self.began.elapsed());
    }
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
        running.note_answer();
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
            Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Ok(frame))),
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(status_of)),
            Poll::Pending => return Poll::Pending,
        };
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
