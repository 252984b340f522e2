//! A router of methods: finds a request's handler by the method's name.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::util::ServiceExt;
use tower::{BoxError, Service};

use crate::request::Request;
use crate::response::Response;
use crate::status::Status;

type Answer = Pin<Box<dyn Future<Output = Result<Response, Status>> + Send>>;

/// Methods by name, as one tower service. Cheap to clone.
///
/// Each method is a tower service of its own, so layers go around one method or around all of them:
/// with [`ServiceBuilder`](tower::ServiceBuilder) the first `.layer()` is the outermost.
/// A method that is not there is answered with `unimplemented`, not processed.
#[derive(Clone, Default)]
pub struct Methods {
    by_name: Arc<HashMap<String, Arc<dyn Handle>>>,
}

/// A service behind a shared reference, so that finding one allocates nothing.
trait Handle: Send + Sync {
    fn handle(&self, request: Request) -> Answer;
}

struct Handler<S>(S);

impl<S> Handle for Handler<S>
where
    S: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn handle(&self, request: Request) -> Answer {
        let service = self.0.clone();
        Box::pin(async move {
            service.oneshot(request).await.map_err(|error| Status::from_error(error.into()))
        })
    }
}

impl Methods {
    /// No methods.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method that is a tower service; one of that name before it is replaced.
    #[must_use]
    pub fn service<S>(mut self, name: impl Into<String>, service: S) -> Self
    where
        S: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let handler: Arc<dyn Handle> = Arc::new(Handler(service));
        Arc::make_mut(&mut self.by_name).insert(name.into(), handler);
        self
    }

    /// Adds a method that is a function.
    #[must_use]
    pub fn method<F, A>(self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Response, Status>> + Send + 'static,
    {
        self.service(name, tower::service_fn(handler))
    }

    /// The names of all methods, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

impl Service<Request> for Methods {
    type Response = Response;
    type Error = Status;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answer {
        match self.by_name.get(request.method().as_str()) {
            Some(handler) => handler.handle(request),
            None => {
                let text = format!("there is no method {:?} here", request.method());
                Box::pin(ready(Err(Status::unimplemented(text).not_processed())))
            }
        }
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.names().collect();
        names.sort_unstable();
        f.debug_tuple("Methods").field(&names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Code, Processing};

    #[tokio::test]
    async fn a_method_is_found_by_its_name_and_another_is_unimplemented() {
        let methods = Methods::new()
            .method("one", |_| async { Ok(Response::new("first")) })
            .method("two", |request| async move { Ok(Response::new(request.into_payload())) })
            .method("one", |_| async { Err(Status::not_found("replaced")) });
        let call = |name: &'static str| methods.clone().oneshot(Request::new(name, "payload"));
        assert_eq!(call("two").await.unwrap().payload(), "payload");
        assert_eq!(call("one").await.unwrap_err().message(), "replaced");
        let missing = call("three").await.unwrap_err();
        assert_eq!(missing.code(), Code::Unimplemented);
        assert_eq!(missing.processing(), Processing::NotProcessed);
        assert_eq!(format!("{methods:?}"), r#"Methods(["one", "two"])"#);
    }
}
