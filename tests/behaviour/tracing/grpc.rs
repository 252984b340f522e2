//! Spans of gRPC: what travels, what statuses become, and traces that came from outside.

use std::collections::HashMap;
use std::time::Duration;

use skymesh_agent::Agent;
use skymesh_grpc::{Grpc, MeshChannel};
use skymesh_tests::trial::{Ask, Server, TrialClient, TrialServer};
use skymesh_tests::{Mesh, SOON, within};
use tonic::{Code, Request, Status};

use super::collector::{Collector, hex};
use super::trees;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A server and a client; only agents that trace have spans.
async fn pair(server: &Agent, client: &Agent) -> (Grpc, Grpc, TrialClient<MeshChannel>) {
    let (instance, inbox) = server.register("app.test.trial/1").await.unwrap();
    let (served, incoming) = Grpc::attach(instance, inbox);
    let server = tonic::transport::Server::builder()
        .layer(served.server_spans())
        .add_service(TrialServer::new(Server(1)));
    tokio::spawn(server.serve_with_incoming(incoming));
    let (instance, inbox) = client.register("app.test.client/1").await.unwrap();
    let (grpc, _) = Grpc::attach(instance, inbox);
    let channel = grpc.channel("app.test.trial").unwrap();
    let router = channel.router().unwrap();
    router.wait_until(SOON, |known| known.members().len() == 1).await.unwrap();
    (served, grpc, TrialClient::new(channel))
}

/// What a user's own interceptor would say.
fn within_a_trace(ask: Ask, flags: &str) -> Request<Ask> {
    let mut request = Request::new(ask);
    let parent = format!("00-{TRACE}-{PARENT}-{flags}");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request.metadata_mut().insert("tracestate", "vendor=a1".parse().unwrap());
    request
}

#[tokio::test]
async fn a_trace_of_an_interceptor_goes_on_if_it_is_sampled() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let (server, client) =
        (collector.agent(&mesh, "server").await, collector.agent(&mesh, "client").await);
    let (_server, _client, mut trial) = pair(&server, &client).await;
    let unsampled = within(SOON, trial.unary(within_a_trace(Ask::default(), "00"))).await.unwrap();
    let seen: HashMap<String, String> = unsampled.into_inner().metadata;
    assert!(seen["traceparent"].starts_with(&format!("00-{TRACE}-")), "{seen:?}");
    assert!(seen["traceparent"].ends_with("-00") && seen["tracestate"] == "vendor=a1", "{seen:?}");

    let sampled = within(SOON, trial.unary(within_a_trace(Ask::default(), "01"))).await.unwrap();
    let seen: HashMap<String, String> = sampled.into_inner().metadata;
    let spans = collector.spans(2).await;
    // One that was not sampled would have come first.
    let method = "trial.Trial/Unary";
    let expected = [
        format!("client {method} client of -"),
        format!("server {method} server of {method} client"),
    ];
    assert_eq!(trees(&spans), [expected]);
    for one in &spans {
        assert_eq!(
            (hex(&one.span.trace_id).as_str(), one.span.trace_state.as_str()),
            (TRACE, "vendor=a1")
        );
    }
    let [calls, serves] =
        ["client", "server"].map(|kind| spans.iter().find(|one| one.kind() == kind).unwrap());
    assert_eq!(hex(&calls.span.parent_span_id), PARENT);
    assert_eq!(calls.text("server.address"), "app.test.trial");
    // The handler sees its own span as the parent of what it does.
    assert_eq!(seen["traceparent"], format!("00-{TRACE}-{}-01", hex(&serves.span.span_id)));
    assert_eq!(seen["tracestate"], "vendor=a1");
}

#[tokio::test]
async fn a_trace_passes_through_who_does_not_trace() {
    let mesh = Mesh::start().await;
    let (_server, _client, mut trial) = pair(&mesh.agent().await, &mesh.agent().await).await;
    let answer = within(SOON, trial.unary(within_a_trace(Ask::default(), "01"))).await.unwrap();
    let seen: HashMap<String, String> = answer.into_inner().metadata;
    assert_eq!(seen["traceparent"], format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(seen["tracestate"], "vendor=a1");
    let answer = within(SOON, trial.unary(Ask::default())).await.unwrap();
    assert!(!answer.into_inner().metadata.contains_key("traceparent"), "nobody traces");
}

#[tokio::test]
async fn statuses_are_told_as_the_conventions_have_it() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let (server, client) =
        (collector.agent(&mesh, "server").await, collector.agent(&mesh, "client").await);
    let (_server, _client, mut trial) = pair(&server, &client).await;
    let mut count = 0;
    for code in 1..=16 {
        let ask = Ask { code, ..Ask::default() };
        let failed: Status = within(SOON, trial.unary(ask)).await.unwrap_err();
        assert_eq!(failed.code() as i32, code);
        count += 2;
        let spans = collector.spans(count).await;
        let pair = &spans[count - 2..];
        let name = skymesh_telemetry::spans::status_name(code as u32);
        let fault = matches!(code, 2 | 4 | 12 | 13 | 14 | 15);
        for one in pair {
            assert_eq!(one.text("rpc.response.status_code"), name);
            let fails = one.kind() == "client" || fault;
            assert_eq!(one.failure(), fails.then_some("as you wish"), "{one:?}");
            if fails {
                assert_eq!(one.text("error.type"), name);
            }
        }
    }
}

#[tokio::test]
async fn a_stream_has_a_span_for_as_long_as_it_lasts() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let (server, client) =
        (collector.agent(&mesh, "server").await, collector.agent(&mesh, "client").await);
    let (_server, _client, mut trial) = pair(&server, &client).await;
    // Given up in the middle: both sides hear of it.
    let mut endless = within(SOON, trial.download(Ask::default())).await.unwrap().into_inner();
    within(SOON, endless.message()).await.unwrap().unwrap();
    assert!(collector.now().is_empty(), "it goes on");
    drop(endless);
    for one in collector.spans(2).await {
        assert_eq!(one.text("rpc.response.status_code"), "CANCELLED");
        assert_eq!(one.failure().is_some(), one.kind() == "client", "{one:?}");
    }
    // Its deadline passes. The server's clock began later: the client's end may come first.
    let mut late = Request::new(Ask { takes_ms: 600_000, ..Ask::default() });
    late.set_timeout(Duration::from_millis(100));
    let status = within(SOON, trial.unary(late)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    for one in &collector.spans(4).await[2..] {
        match (one.kind(), one.text("rpc.response.status_code")) {
            (_, "DEADLINE_EXCEEDED") => assert!(one.failure().is_some(), "{one:?}"),
            ("server", "CANCELLED") => assert!(one.failure().is_none(), "{one:?}"),
            _ => panic!("{one:?}"),
        }
    }
}
