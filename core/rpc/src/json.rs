//! Values as JSON, by serde.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::{BoxError, Service};

use crate::method::Method;
use crate::request::Request;
use crate::response::Response;
use crate::status::Status;
use crate::typed::{self, Decode, Encode, Handler};

/// The format itself.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl<T: Serialize + ?Sized> Encode<T> for Json {
    fn encode(value: &T) -> Result<Bytes, Status> {
        match serde_json::to_vec(value) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(Status::internal(format!("the value has no JSON: {error}"))),
        }
    }
}

impl<T: DeserializeOwned> Decode<T> for Json {
    fn decode(bytes: &Bytes) -> Result<T, Status> {
        serde_json::from_slice(bytes)
            .map_err(|error| Status::internal(format!("not the expected JSON: {error}")))
    }
}

/// A method whose arguments and answer are JSON.
pub fn handler<F, A>(function: F) -> Handler<F, Json, A> {
    Handler::new(function)
}

/// A request whose payload is `value` as JSON.
///
/// # Errors
/// `internal`, not processed, if the value has no JSON.
pub fn request<T: Serialize + ?Sized>(
    method: impl Into<Method>,
    value: &T,
) -> Result<Request, Status> {
    Ok(Request::new(method, Json::encode(value).map_err(Status::not_processed)?))
}

/// The value of a payload.
///
/// # Errors
/// `internal` if it is not the JSON of such a value.
pub fn read<T: DeserializeOwned>(payload: &Bytes) -> Result<T, Status> {
    Json::decode(payload)
}

/// Calls `method` through any client-side service with a value, and reads the answer as one.
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
    A: Serialize + ?Sized,
    R: DeserializeOwned,
{
    typed::call::<Json, S, A, R>(service, method, arguments).await
}
