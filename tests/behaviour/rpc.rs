//! Calls between instances: answers, failures, sizes, destinations, and what travels beside a
//! payload.

mod in_time;
mod layers;
mod leader;
mod limits;
mod loss;
mod selecting;
mod v1;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use skymesh_agent::{Agent, Delivery, Event, Instance, SendError};
use skymesh_rpc::{
    Code, Methods, Processing, Request, Response, Rest, Rpc, Status, TraceParent, json, protobuf,
};
use skymesh_tests::{Mesh, SOON, services, within};
use tower::BoxError;

const SERVER: &str = "app.test.server/1";
const CLIENT: &str = "app.test.client/1";

/// A server and a client in agents of their own.
struct Pair {
    mesh: Mesh,
    server: Rpc,
    server_rest: Rest,
    client: Rpc,
    client_rest: Rest,
}

impl Pair {
    async fn start<S>(service: S) -> Self
    where
        S: tower::Service<Request, Response = Response> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let mesh = Mesh::start().await;
        let (server, server_rest) = serve(&mesh.agent().await, SERVER, service).await;
        let (client, client_rest) = caller(&mesh.agent().await, CLIENT).await;
        Self { mesh, server, server_rest, client, client_rest }
    }
}

async fn serve<S>(agent: &Agent, url: &str, service: S) -> (Rpc, Rest)
where
    S: tower::Service<Request, Response = Response> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    let (instance, inbox) = agent.register(url).await.unwrap();
    Rpc::builder(instance, inbox).serve(service).attach()
}

async fn caller(agent: &Agent, url: &str) -> (Rpc, Rest) {
    let (instance, inbox) = agent.register(url).await.unwrap();
    Rpc::attach(instance, inbox)
}

/// Sends plain messages that nobody reads until there is no room for more; answers how many bytes.
pub(crate) async fn fill(from: &Instance, to: &str) -> u64 {
    const STILL_FULL: u32 = 10_000;
    let payload = vec![0; 64 << 10];
    let (mut sent, mut full) = (0, 0);
    while full < STILL_FULL {
        match from.try_send(to, &payload) {
            Ok(()) => (sent, full) = (sent + payload.len() as u64, 0),
            Err(SendError::Loading(_)) => from.send(to, "").await.unwrap(),
            Err(SendError::Full) => full += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 16 << 20, "nobody ever has to wait");
        tokio::task::yield_now().await;
    }
    sent
}

async fn echo(request: Request) -> Result<Response, Status> {
    Ok(Response::new(request.into_payload()))
}

/// Ends only after its task was set aside a few times, so that answers overtake each other.
async fn echo_later(request: Request) -> Result<Response, Status> {
    for _ in 0..request.payload().first().map_or(0, |first| first % 5) {
        tokio::task::yield_now().await;
    }
    Ok(Response::new(request.into_payload()))
}

fn echoes() -> Methods {
    Methods::new().method("echo", echo).method("echo_later", echo_later)
}

#[tokio::test]
async fn payloads_from_nothing_to_8_mib_come_back() {
    let pair = Pair::start(echoes()).await;
    for bytes in [0, 1, 100, 4096, 65_536, 1 << 20, (1 << 20) + 1, 8 << 20] {
        let payload: Bytes = (0..bytes).map(|at| (at * 31 % 251) as u8).collect();
        for method in ["echo", "echo_later"] {
            let call = pair.client.call(SERVER, Request::new(method, payload.clone()));
            let answer = within(SOON, call).await.unwrap();
            assert!(answer.payload() == &payload, "{bytes} bytes through {method}");
        }
    }
}

/// Every caller checks every answer: one that went to another caller would show.
async fn callers(count: u64, each: u64) {
    let pair = Pair::start(echoes()).await;
    let mut tasks = Vec::new();
    for caller in 0..count {
        let client = pair.client.clone();
        tasks.push(tokio::spawn(async move {
            for call in 0..each {
                let method = if call % 2 == 0 { "echo" } else { "echo_later" };
                let payload = [call.to_le_bytes(), caller.to_le_bytes()].concat();
                let request = Request::new(method, payload.clone());
                let answer = client.call("app.test.server", request).await.unwrap();
                assert_eq!(answer.payload(), &payload);
            }
        }));
    }
    for task in tasks {
        within(Duration::from_secs(60), task).await.unwrap();
    }
    for rpc in [&pair.client, &pair.server] {
        assert!(rpc.counters().all().iter().all(|(_, n)| *n == 0), "{:?}", rpc.counters().all());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_concurrent_callers_each_get_their_own_answers() {
    callers(64, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_and_twenty_four_concurrent_callers_each_get_their_own_answers() {
    callers(1024, 20).await;
}

#[tokio::test]
async fn errors_and_panics_of_handlers_reach_the_caller_and_the_server_lives_on() {
    let methods = echoes()
        .method("refuse", |_| async {
            Err(Status::not_found("no such player").with_details(&b"player 7"[..]))
        })
        .method("refuse_later", |_| async {
            tokio::task::yield_now().await;
            Err(Status::failed_precondition("the match has not begun"))
        })
        .method("panic", |_| async { panic!("the dice are gone") })
        .method("panic_later", |_| async {
            tokio::task::yield_now().await;
            panic!("they were {}", "loaded")
        });
    let pair = Pair::start(methods).await;
    let cases = [
        ("refuse", Code::NotFound, "no such player"),
        ("refuse_later", Code::FailedPrecondition, "the match has not begun"),
        ("panic", Code::Internal, "the handler of \"panic\" panicked: the dice are gone"),
        (
            "panic_later",
            Code::Internal,
            "the handler of \"panic_later\" panicked: they were loaded",
        ),
    ];
    for (method, code, message) in cases {
        let failed = pair.client.call(SERVER, Request::new(method, "")).await.unwrap_err();
        assert_eq!((failed.code(), failed.message()), (code, message));
        assert_eq!(failed.processing(), Processing::MaybeProcessed, "{method}");
    }
    let details = pair.client.call(SERVER, Request::new("refuse", "")).await.unwrap_err();
    assert_eq!(details.details(), "player 7");
    let unknown = pair.client.call(SERVER, Request::new("dance", "")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
    assert_eq!(unknown.processing(), Processing::NotProcessed);
    pair.client.call(SERVER, Request::new("echo", "still here")).await.unwrap();
    assert_eq!(pair.server.counters().panics.get(), 2);
}

/// Says which instance it is.
fn who(name: &'static str) -> Methods {
    Methods::new().method("who", move |_| async move { Ok(Response::new(name)) })
}

#[tokio::test]
async fn calls_go_by_url_handle_service_name_and_key() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (one, _rest_1) = serve(&agent, SERVER, who("one")).await;
    let (_two, _rest_2) = serve(&mesh.agent().await, "app.test.server/2", who("two")).await;
    let table = services(serde_json::json!({
        "app.test.*": { "selector": { "use": "mod_hash" } },
    }));
    let agent = mesh.builder().services(table).connect().await.unwrap();
    let (client, _rest) = caller(&agent, CLIENT).await;
    let router = agent.router("app.test.server").unwrap();
    router.wait_until(SOON, |known| known.members().len() == 2).await.unwrap();

    let who = || Request::new("who", "");
    let url = one.instance().url().clone();
    assert_eq!(client.call(&url, who()).await.unwrap().payload(), "one");
    assert_eq!(client.call("app.test.server/2", who()).await.unwrap().payload(), "two");
    assert_eq!(client.call(one.instance().handle(), who()).await.unwrap().payload(), "one");
    for key in 0..20u64 {
        let expected = if key % 2 == 0 { "one" } else { "two" };
        let by_router = client.call(router.key(key), who()).await.unwrap();
        assert_eq!(by_router.payload(), expected, "key {key}");
        let by_request = client.call(&url.name, who().key(key)).await.unwrap();
        assert_eq!(by_request.payload(), expected, "key {key}");
        let by_text = client.call("app.test.server", who().key(key)).await.unwrap();
        assert_eq!(by_text.payload(), expected, "key {key}");
    }
}

#[tokio::test]
async fn calls_within_one_process_work_the_same() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (_server, _rest) = serve(&agent, SERVER, echoes()).await;
    let (client, _rest) = caller(&agent, CLIENT).await;
    for method in ["echo", "echo_later"] {
        let answer = client.call(SERVER, Request::new(method, "at home")).await.unwrap();
        assert_eq!(answer.payload(), "at home");
    }
    let nobody = client.call("app.test.nobody", Request::new("echo", "")).await.unwrap_err();
    assert!(nobody.is_retryable() && nobody.code() == Code::Unavailable, "{nobody}");
}

#[tokio::test]
async fn metadata_trace_and_deadline_travel() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let methods = Methods::new().method("look", |request: Request| async move {
        assert_eq!(request.metadata().get("user").unwrap(), "ada");
        assert_eq!(request.metadata().trace_parent().unwrap().to_string(), TRACE);
        assert_eq!(request.metadata().trace_state(), Some("vendor=1"));
        assert_eq!(request.caller().unwrap().url().to_string(), CLIENT);
        let left = request.deadline().unwrap() - tokio::time::Instant::now();
        assert!(left <= Duration::from_secs(9) && left > Duration::from_secs(5), "{left:?}");
        let mut response = Response::new("seen");
        response.metadata_mut().insert("server", "one").unwrap();
        Ok(response)
    });
    let pair = Pair::start(methods).await;
    let mut request = Request::new("look", "").timeout(Duration::from_secs(9));
    request.metadata_mut().insert("user", "ada").unwrap();
    request.metadata_mut().set_trace_parent(Some(TRACE.parse::<TraceParent>().unwrap()));
    request.metadata_mut().set_trace_state("vendor=1").unwrap();
    let response = pair.client.call(SERVER, request).await.unwrap();
    assert_eq!(response.metadata().get("server").unwrap(), "one");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Transfer {
    from: String,
    amount: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sum {
    #[prost(uint64, repeated, tag = "1")]
    numbers: Vec<u64>,
}

#[tokio::test]
async fn values_travel_as_json_and_as_protobuf() {
    let methods = Methods::new()
        .service(
            "double",
            json::handler(
                |it: Transfer, _| async move { Ok(Transfer { amount: it.amount * 2, ..it }) },
            ),
        )
        .service(
            "add",
            protobuf::handler(|it: Sum, _| async move {
                Ok(Sum { numbers: vec![it.numbers.iter().sum()] })
            }),
        );
    let pair = Pair::start(methods).await;
    let client = pair.client.client(SERVER);
    let transfer = Transfer { from: "ada".into(), amount: 21 };
    let doubled: Transfer = json::call(client.clone(), "double", &transfer).await.unwrap();
    assert_eq!(doubled.amount, 42);
    let sum = Sum { numbers: vec![1, 2, 3] };
    let added: Sum = protobuf::call(client.clone(), "add", &sum).await.unwrap();
    assert_eq!(added.numbers, [6]);
    let wrong: Result<Transfer, Status> = json::call(client, "double", "no transfer").await;
    let wrong = wrong.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert_eq!(wrong.processing(), Processing::NotProcessed);
}

#[tokio::test]
async fn notifies_arrive_and_what_is_not_rpc_comes_out_of_the_rest() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let methods = Methods::new().method("tell", move |request: Request| {
        let told = told.clone();
        async move {
            told.send(request.into_payload()).await.unwrap();
            Ok(Response::default())
        }
    });
    let mut pair = Pair::start(methods).await;
    pair.client.notify(SERVER, Request::new("tell", "one way")).await.unwrap();
    assert_eq!(within(SOON, heard.recv()).await.unwrap(), "one way");
    pair.client.instance().send(SERVER, b"plain").await.unwrap();
    let handle = pair.server.instance().handle();
    let first = within(SOON, pair.server_rest.recv()).await.unwrap();
    assert!(matches!(first, Delivery::Event(Event::Registered { handle: h }) if h == handle));
    let second = within(SOON, pair.server_rest.recv()).await.unwrap();
    assert!(matches!(second, Delivery::Message(m) if m.payload() == &b"plain"[..]));
    pair.server.instance().unregister().await.unwrap();
    assert!(within(SOON, pair.server_rest.recv()).await.is_none(), "the rest ends with the inbox");
    drop((pair.mesh, pair.client_rest));
}
