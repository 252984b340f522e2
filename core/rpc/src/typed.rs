//! Typed calls and handlers over any format of bytes. The formats are modules of their own:
//! [`json`](crate::json) and [`protobuf`](crate::protobuf).

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tower::util::ServiceExt;
use tower::{BoxError, Service};

use crate::method::Method;
use crate::request::Request;
use crate::response::Response;
use crate::status::Status;

/// Writes values of a type.
pub trait Encode<T: ?Sized> {
    /// The value as bytes.
    ///
    /// # Errors
    /// A status that says why it has none.
    fn encode(value: &T) -> Result<Bytes, Status>;
}

/// Reads values of a type.
pub trait Decode<T> {
    /// The value that the bytes stand for.
    ///
    /// # Errors
    /// A status that says why they stand for none.
    fn decode(bytes: &Bytes) -> Result<T, Status>;
}

/// A method as a function of values: a tower service for
/// [`Methods::service`](crate::Methods::service).
pub struct Handler<F, C, A> {
    function: Arc<F>,
    types: PhantomData<fn(A) -> C>,
}

impl<F, C, A> Handler<F, C, A> {
    /// A handler of arguments `A` in format `C`. The function also gets the request, whose payload
    /// was read already.
    pub fn new(function: F) -> Self {
        Self { function: Arc::new(function), types: PhantomData }
    }
}

impl<F, C, A> Clone for Handler<F, C, A> {
    fn clone(&self) -> Self {
        Self { function: Arc::clone(&self.function), types: PhantomData }
    }
}

impl<F, C, A> std::fmt::Debug for Handler<F, C, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

impl<F, C, A, R, Answer> Service<Request> for Handler<F, C, A>
where
    F: Fn(A, Request) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<R, Status>> + Send,
    C: Decode<A> + Encode<R> + 'static,
    A: Send + 'static,
    R: 'static,
{
    type Response = Response;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Status>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let function = Arc::clone(&self.function);
        Box::pin(async move {
            let arguments = C::decode(request.payload())
                .map_err(|error| Status::invalid_argument(error.message()).not_processed())?;
            let value = function(arguments, request).await?;
            Ok(Response::new(C::encode(&value)?))
        })
    }
}

/// Calls `method` through any client-side service with a value, and reads the answer as one. For
/// metadata or a deadline of its own, make the [`Request`] yourself.
///
/// # Errors
/// [`Status`] of the call, or `invalid argument` if the value can't be written, or `internal` if
/// the answer can't be read.
pub async fn call<C, S, A, R>(
    service: S,
    method: impl Into<Method>,
    arguments: &A,
) -> Result<R, Status>
where
    C: Encode<A> + Decode<R>,
    S: Service<Request, Response = Response>,
    S::Error: Into<BoxError>,
    A: ?Sized,
{
    let request = Request::new(method, C::encode(arguments).map_err(Status::not_processed)?);
    let answer = service.oneshot(request).await;
    C::decode(answer.map_err(|error| Status::from_error(error.into()))?.payload())
}
