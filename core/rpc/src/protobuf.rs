//! Values as protobuf messages, by prost.

use bytes::Bytes;
use prost::Message;
use tower::{BoxError, Service};

use crate::method::Method;
use crate::request::Request;
use crate::response::Response;
use crate::status::Status;
use crate::typed::{self, Decode, Encode, Handler};

/// The format itself.
#[derive(Debug, Clone, Copy)]
pub struct Protobuf;

impl<T: Message> Encode<T> for Protobuf {
    fn encode(value: &T) -> Result<Bytes, Status> {
        Ok(value.encode_to_vec().into())
    }
}

impl<T: Message + Default> Decode<T> for Protobuf {
    fn decode(bytes: &Bytes) -> Result<T, Status> {
        T::decode(bytes.clone())
            .map_err(|error| Status::internal(format!("not the expected message: {error}")))
    }
}

/// A method whose arguments and answer are protobuf messages.
pub fn handler<F, A>(function: F) -> Handler<F, Protobuf, A> {
    Handler::new(function)
}

/// A request whose payload is `value`.
pub fn request<T: Message>(method: impl Into<Method>, value: &T) -> Request {
    Request::new(method, value.encode_to_vec())
}

/// The value of a payload.
///
/// # Errors
/// `internal` if it is no such message.
pub fn read<T: Message + Default>(payload: &Bytes) -> Result<T, Status> {
    Protobuf::decode(payload)
}

/// Calls `method` through any client-side service with a message, and reads the answer as one.
///
/// # Errors
/// As [`typed::call`].
pub async fn call<S, A, R>(
    service: S,
    method: impl Into<Method>,
    arguments: &A,
) -> Result<R, Status>
where
    S: Service<Request, Response = Response>,
    S::Error: Into<BoxError>,
    A: Message,
    R: Message + Default,
{
    typed::call::<Protobuf, S, A, R>(service, method, arguments).await
}
