//! The body of an answer within a span: the span ends with the status that the trailers say, and what the
//! body does while it is polled is part of the span's trace. Without a span it only hands on.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use skymesh_telemetry::{CallSpan, Scope};
use tonic::{Code, Status};

use crate::trace;

pin_project! {
    /// See the module. What [`ServerSpans`](crate::ServerSpans) makes of a body.
    #[derive(Debug)]
    pub struct SpannedBody<B> {
        #[pin]
        inner: B,
        span: CallSpan,
        scope: Scope,
    }
}

/// The answer of a call: a span that it has ended is over at once, another one with its body.
pub(crate) fn answered<B>(
    response: Response<B>,
    mut span: CallSpan,
    scope: Scope,
) -> Response<SpannedBody<B>> {
    trace::end_by(&mut span, response.headers());
    response.map(|inner| SpannedBody { inner, span, scope })
}

impl<B> Body for SpannedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let _entered = this.scope.enter();
        let frame = ready!(this.inner.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    trace::end_by(this.span, trailers);
                }
            }
            Some(Err(error)) => match (error as &dyn Any).downcast_ref::<Status>() {
                Some(status) => trace::end(this.span, status),
                None => this.span.end(Code::Unavailable as u32, || "the answer broke".into()),
            },
            None => this.span.end(Code::Unknown as u32, || "there was no status".into()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
