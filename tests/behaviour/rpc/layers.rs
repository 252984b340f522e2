//! tower's layers around both sides.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use skymesh_rpc::{Code, Methods, Processing, Request, Response};
use skymesh_tests::{SOON, within};
use tokio::sync::{Semaphore, mpsc};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};

use super::{Pair, SERVER, echo, echoes};

/// Writes down when a request passes it inwards and an answer outwards.
#[derive(Clone)]
struct Note(&'static str, Arc<Mutex<Vec<String>>>);

#[derive(Clone)]
struct Noting<S>(Note, S);

impl<S> Layer<S> for Note {
    type Service = Noting<S>;
    fn layer(&self, inner: S) -> Noting<S> {
        Noting(self.clone(), inner)
    }
}

impl<S> Service<Request> for Noting<S>
where
    S: Service<Request, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Note(name, notes) = self.0.clone();
        notes.lock().unwrap().push(format!("{name} in"));
        let call = self.1.call(request);
        Box::pin(async move {
            let answer = call.await;
            notes.lock().unwrap().push(format!("{name} out"));
            answer
        })
    }
}

#[tokio::test]
async fn the_first_layer_is_the_outermost_on_both_sides() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let note = |name| Note(name, Arc::clone(&notes));
    let one_method = ServiceBuilder::new().layer(note("method")).service_fn(echo);
    let service = ServiceBuilder::new()
        .layer(note("server 1"))
        .layer(note("server 2"))
        .service(Methods::new().service("echo", one_method));
    let pair = Pair::start(service).await;
    let client = ServiceBuilder::new()
        .layer(note("client 1"))
        .layer(note("client 2"))
        .service(pair.client.client(SERVER));
    client.oneshot(Request::new("echo", "")).await.unwrap();
    let order = ["client 1", "client 2", "server 1", "server 2", "method"];
    let inwards = order.iter().map(|name| format!("{name} in"));
    let outwards = order.iter().rev().map(|name| format!("{name} out"));
    assert_eq!(*notes.lock().unwrap(), inwards.chain(outwards).collect::<Vec<_>>());
}

#[tokio::test]
async fn towers_timeout_ends_calls_on_either_side() {
    let hang = Methods::new().method("hang", |_| std::future::pending());
    let service = ServiceBuilder::new().timeout(Duration::from_millis(20)).service(hang);
    let pair = Pair::start(service).await;
    let ended = within(SOON, pair.client.call(SERVER, Request::new("hang", ""))).await.unwrap_err();
    assert_eq!(ended.code(), Code::DeadlineExceeded);
    assert_eq!(ended.message(), "a timeout layer ended it");

    let hang = Methods::new().method("hang", |_| std::future::pending());
    let pair = Pair::start(hang).await;
    // Once they know each other, a call is on its way before any time has passed.
    pair.client.call(SERVER, Request::new("none", "")).await.unwrap_err();
    let client = ServiceBuilder::new()
        .timeout(Duration::from_millis(20))
        .service(pair.client.client(SERVER));
    let ended = within(SOON, client.oneshot(Request::new("hang", ""))).await.unwrap_err();
    assert!(ended.is::<tower::timeout::error::Elapsed>());
    // The layer dropped the call, so the server drops the handler.
    let cancelled = async {
        while pair.server.counters().cancelled.get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, cancelled).await;
}

#[tokio::test]
async fn towers_concurrency_limit_makes_callers_wait_and_load_shed_refuses_them() {
    let gate = Arc::new(Semaphore::new(0));
    let (began, mut begun) = mpsc::unbounded_channel();
    let held = {
        let gate = Arc::clone(&gate);
        move |request: Request| {
            let (gate, began) = (Arc::clone(&gate), began.clone());
            async move {
                began.send(()).unwrap();
                gate.acquire().await.unwrap().forget();
                Ok::<_, skymesh_rpc::Status>(Response::new(request.into_payload()))
            }
        }
    };
    let limited = ServiceBuilder::new().concurrency_limit(2).service_fn(held.clone());
    let shed = ServiceBuilder::new().load_shed().concurrency_limit(1).service_fn(held);
    let methods = Methods::new().service("limited", limited).service("shed", shed);
    let pair = Pair::start(methods).await;
    let call = |method| tokio::spawn(pair.client.call(SERVER, Request::new(method, "")));

    let calls: Vec<_> = (0..5).map(|_| call("limited")).collect();
    for _ in 0..2 {
        within(SOON, begun.recv()).await.unwrap();
    }
    // An answer to a later call shows that the server has seen all five.
    pair.client.call(SERVER, Request::new("none", "")).await.unwrap_err();
    assert!(begun.try_recv().is_err(), "two run, the others wait");
    gate.add_permits(5);
    for call in calls {
        within(SOON, call).await.unwrap().unwrap();
    }
    while begun.try_recv().is_ok() {}

    let first = call("shed");
    within(SOON, begun.recv()).await.unwrap();
    let refused = within(SOON, call("shed")).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.processing(), Processing::NotProcessed);
    gate.add_permits(1);
    within(SOON, first).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_retry_layer_retries_what_was_not_processed() {
    #[derive(Clone)]
    struct Retry(u32);
    impl tower::retry::Policy<Request, Response, skymesh_rpc::Status> for Retry {
        type Future = std::future::Ready<()>;
        fn retry(
            &mut self,
            _request: &mut Request,
            result: &mut Result<Response, skymesh_rpc::Status>,
        ) -> Option<Self::Future> {
            let again = result.as_ref().is_err_and(|status| status.is_retryable()) && self.0 > 0;
            self.0 -= u32::from(again);
            again.then(|| std::future::ready(()))
        }
        fn clone_request(&mut self, request: &Request) -> Option<Request> {
            Some(request.clone())
        }
    }
    let refusals = Arc::new(Mutex::new(2));
    let moody = move |request: Request| {
        let mut refusals = refusals.lock().unwrap();
        let refuses = *refusals > 0;
        *refusals -= i32::from(refuses);
        async move {
            match refuses {
                true => Err(skymesh_rpc::Status::unavailable("in a mood").not_processed()),
                false => Ok(Response::new(request.into_payload())),
            }
        }
    };
    let pair = Pair::start(echoes().method("moody", moody)).await;
    let client = ServiceBuilder::new().retry(Retry(5)).service(pair.client.client(SERVER));
    let answer: Result<Response, BoxError> =
        client.oneshot(Request::new("moody", "again")).await.map_err(Into::into);
    assert_eq!(answer.unwrap().payload(), "again");
}
