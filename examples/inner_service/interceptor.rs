//! The interceptors: tower layers. [`Witness`] works on either side; [`ShowTicket`] is for the
//! caller, [`CheckTicket`] for the callee, and what they exchange travels as metadata of the request.

use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use skymesh::rpc::{Request, Response, Status};
use tower::{Layer, Service};

/// The key of the metadata.
const TICKET: &str = "ticket";

/// Says what passes, inwards and outwards.
#[derive(Clone)]
pub(crate) struct Witness(pub(crate) &'static str);

/// Adds a ticket to what goes out.
#[derive(Clone)]
pub(crate) struct ShowTicket(pub(crate) &'static str);

/// Lets nothing in that has no ticket.
#[derive(Clone)]
pub(crate) struct CheckTicket;

/// An interceptor around what it was put around.
#[derive(Clone)]
pub(crate) struct Around<I, S> {
    interceptor: I,
    inner: S,
}

macro_rules! layers {
    ($($interceptor:ident)*) => {
        $(impl<S> Layer<S> for $interceptor {
            type Service = Around<Self, S>;

            fn layer(&self, inner: S) -> Around<Self, S> {
                Around { interceptor: self.clone(), inner }
            }
        })*
    };
}
layers!(Witness ShowTicket CheckTicket);

impl<S> Service<Request> for Around<Witness, S>
where
    S: Service<Request, Response = Response, Error = Status, Future: Send + 'static>,
{
    type Response = Response;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let side = self.interceptor.0;
        let method = request.method().clone();
        println!("{side} interceptor: {method} begins");
        let call = self.inner.call(request);
        Box::pin(async move {
            let answer = call.await;
            let ended = if answer.is_ok() { "ends well" } else { "fails" };
            println!("{side} interceptor: {method} {ended}");
            answer
        })
    }
}

impl<S> Service<Request> for Around<ShowTicket, S>
where
    S: Service<Request, Response = Response, Error = Status>,
{
    type Response = Response;
    type Error = Status;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        // A key and value this short are never refused.
        let _ = request.metadata_mut().insert(TICKET, self.interceptor.0);
        self.inner.call(request)
    }
}

impl<S> Service<Request> for Around<CheckTicket, S>
where
    S: Service<Request, Response = Response, Error = Status, Future: Send + 'static>,
{
    type Response = Response;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.metadata().get(TICKET).is_some() {
            return Box::pin(self.inner.call(request));
        }
        let refusal = Status::unauthenticated("show a ticket").not_processed();
        Box::pin(ready(Err(refusal)))
    }
}
