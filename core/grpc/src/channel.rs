//! What generated clients call through: each call goes to the instance that the configured
//! selector picks, over one HTTP/2 connection for each.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response};
use skymesh_agent::{RequestOutcome, Resolved, Router, SendError};
use skymesh_telemetry::Scope;
use skymesh_types::{Key, NameError, ServiceUrl, UrlError};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use crate::body::{AnswerBody, Running, late_status, status_of};
use crate::grpc::Grpc;
use crate::pool::Pool;
use crate::spanned::answered;
use crate::trace;

/// How many instances a call tries to connect to. Nothing was sent to those before the last one.
const CONNECT_TRIES: usize = 3;

const TIMEOUT: &str = "grpc-timeout";
const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";

/// How tonic's server says that a call's deadline has passed: as `cancelled`.
const SERVER_TIMEOUT: &[u8] = b"Timeout%20expired";

/// Why there is no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The text is no name of a service.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The text is no URL of an instance.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The service is of a foreign app, or its strategies can't be loaded.
    #[error(transparent)]
    Route(#[from] SendError),
}

/// A tower service of HTTP requests, for generated clients: `GreeterClient::new(channel)`. Cheap to
/// clone; clones share their connections.
///
/// It is always ready: a call waits for the first word on its service, for an instance's answer to
/// the first connection, and in tonic's own queue, all of it within the call's deadline. To send a
/// call by a key, put a [`Key`] into the request's extensions.
#[derive(Clone)]
pub struct MeshChannel {
    target: Target,
    pool: Arc<Pool>,
}

#[derive(Debug, Clone)]
enum Target {
    Service(Router),
    Instance(ServiceUrl),
}

impl Target {
    fn name(&self) -> String {
        match self {
            Self::Service(router) => router.name().to_string(),
            Self::Instance(url) => url.name.to_string(),
        }
    }
}

impl MeshChannel {
    pub(crate) fn new(grpc: Grpc, to: &str, endpoint: Endpoint) -> Result<Self, ChannelError> {
        let to = to.strip_prefix("skymesh://").unwrap_or(to);
        let to = to.strip_prefix('/').unwrap_or(to);
        let target = match to.contains('/') {
            true => Target::Instance(to.parse()?),
            false => {
                let name: skymesh_types::ServiceName = to.parse()?;
                Target::Service(grpc.instance().router(name)?)
            }
        };
        Ok(Self { target, pool: Arc::new(Pool::new(grpc, endpoint)) })
    }

    /// The view that picks are made from; `None` for a channel to one instance.
    pub fn router(&self) -> Option<&Router> {
        match &self.target {
            Target::Service(router) => Some(router),
            Target::Instance(_) => None,
        }
    }

    async fn pick(&self, key: Option<Key>) -> Result<Resolved, SendError> {
        let instance = self.pool.grpc().instance();
        match (&self.target, key) {
            (Target::Instance(url), _) => instance.resolve(url).await,
            (Target::Service(router), None) => instance.resolve(router).await,
            (Target::Service(router), Some(key)) => instance.resolve(router.key(key)).await,
        }
    }

    /// Picks an instance that can be connected to.
    async fn connected(&self, key: Option<Key>) -> Result<(Channel, Resolved), Status> {
        let mut tries = 0;
        loop {
            tries += 1;
            let resolved = self.pick(key).await.map_err(|error| refused(&error))?;
            match self.pool.connection(resolved.handle).await {
                Ok(channel) => return Ok((channel, resolved)),
                Err(error) => {
                    resolved.note_outcome(RequestOutcome::Failed);
                    if tries == CONNECT_TRIES {
                        let (name, cause) = (&resolved.name, innermost(&error));
                        let text = format!("can't connect to {name}: {cause}");
                        return Err(Status::unavailable(text));
                    }
                }
            }
        }
    }

    async fn answer(
        self,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Status> {
        let key = request.extensions().get::<Key>().copied();
        let (mut channel, resolved) = in_time(deadline, self.connected(key)).await?;
        let mut running = Running::begin(resolved);
        let call = async {
            let channel = channel.ready().await?;
            channel.call(request).await
        };
        let failed = |error: tonic::transport::Error| status_of(Status::from_error(error.into()));
        let call = in_time(deadline, async { call.await.map_err(failed) });
        let mut response = call.await.inspect_err(|status| running.failed(status.code()))?;
        correct_timeout(response.headers_mut());
        running.answered(response.headers());
        Ok(response.map(|body| Body::new(AnswerBody::new(body, deadline, running))))
    }
}

impl Service<Request<Body>> for MeshChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let deadline = deadline(request.headers());
        let instance = self.pool.grpc().instance();
        let mut span = trace::calling(instance, &mut request, || self.target.name(), deadline);
        let answer = self.clone().answer(request, deadline);
        if !span.is_recorded() {
            return Box::pin(answer);
        }
        Box::pin(async move {
            let outcome = answer.await.inspect_err(|status| trace::end(&mut span, status));
            Ok(answered(outcome?, span, Scope::default()).map(Body::new))
        })
    }
}

impl fmt::Debug for MeshChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MeshChannel").field(&self.target).finish()
    }
}

/// Ends with the call's deadline, if it has one.
async fn in_time<T>(
    deadline: Option<Instant>,
    step: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match deadline {
        Some(at) => timeout_at(at, step).await.unwrap_or_else(|_| Err(late_status())),
        None => step.await,
    }
}

fn refused(error: &SendError) -> Status {
    let code = match error {
        SendError::NotRegistered => Code::FailedPrecondition,
        _ => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// When the call ends at the latest, as its client has said.
pub(crate) fn deadline(headers: &HeaderMap) -> Option<Instant> {
    Instant::now().checked_add(timeout(headers.get(TIMEOUT)?.to_str().ok()?)?)
}

/// gRPC's form of a duration: up to 8 digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 60 * 60)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Whichever of both clocks is the first, the client hears the same.
fn correct_timeout(headers: &mut HeaderMap) {
    let cancelled = headers.get(STATUS).is_some_and(|status| status == "1");
    if cancelled && headers.get(MESSAGE).is_some_and(|text| text.as_bytes() == SERVER_TIMEOUT) {
        headers.insert(STATUS, HeaderValue::from_static("4"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let cases = [
            ("1H", Some(3_600_000_000)),
            ("2M", Some(120_000_000)),
            ("3S", Some(3_000_000)),
            ("99999999m", Some(99_999_999_000)),
            ("7u", Some(7)),
            ("5000n", Some(5)),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("-1S", None),
            ("1ü", None),
        ];
        for (text, micros) in cases {
            assert_eq!(timeout(text), micros.map(Duration::from_micros), "{text:?}");
        }
    }

    #[test]
    fn a_server_that_was_late_is_told_from_a_call_that_was_cancelled() {
        let status = |code: &'static str, message: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(STATUS, HeaderValue::from_static(code));
            headers.insert(MESSAGE, HeaderValue::from_static(message));
            correct_timeout(&mut headers);
            headers[STATUS].clone()
        };
        assert_eq!(status("1", "Timeout%20expired"), "4");
        assert_eq!(status("1", "enough"), "1");
        assert_eq!(status("5", "Timeout%20expired"), "5");
    }
}
