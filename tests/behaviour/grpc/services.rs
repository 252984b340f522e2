//! tonic's own services over the mesh, and what calls tell the selectors.

use futures_util::{StreamExt, stream};
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, Router};
use skymesh_grpc::{Grpc, MeshChannel};
use skymesh_rpc as rpc;
use skymesh_tests::trial::{Ask, Server, TrialClient, TrialServer};
use skymesh_tests::{Mesh, Node, SOON, within};
use skymesh_types::InstanceId;
use tonic::{Code, Request};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Serving;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::{NODE, SERVICE, ask, attach, serve};

/// A channel to the trial service, and the agent's view of it, once one instance is there.
async fn channel(mesh: &Mesh) -> (Grpc, MeshChannel, Router) {
    // Pings would measure beside the calls.
    let config = AgentConfig { ping_interval: std::time::Duration::ZERO, ..mesh.config() };
    let agent = Agent::builder().config(config).connect().await.unwrap();
    let (grpc, _) = attach(&agent, "app.test.client/1").await;
    let channel = grpc.channel(SERVICE).unwrap();
    let router = channel.router().unwrap().clone();
    router.wait_until(SOON, |known| known.members().len() == 1).await.unwrap();
    (grpc, channel, router)
}

#[tokio::test]
async fn the_health_service_answers_checks_and_watches() {
    let mesh = Mesh::start().await;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<TrialServer<Server>>().await;
    let (_server, incoming) = attach(&mesh.agent().await, "app.test.trial/1").await;
    let server = tonic::transport::Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));
    let (_grpc, channel, _) = channel(&mesh).await;
    let mut client = HealthClient::new(channel);
    let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let name = <TrialServer<Server> as tonic::server::NamedService>::NAME;
    for service in ["", name] {
        let answer = within(SOON, client.check(of(service))).await.unwrap().into_inner();
        assert_eq!(answer.status(), Serving::Serving, "{service:?}");
    }
    let unknown = within(SOON, client.check(of("nobody.Nothing"))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = within(SOON, client.watch(of(name))).await.unwrap().into_inner();
    let first = within(SOON, watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), Serving::Serving);
    reporter.set_service_status(name, ServingStatus::NotServing).await;
    let second = within(SOON, watch.message()).await.unwrap().unwrap();
    assert_eq!(second.status(), Serving::NotServing);
}

#[tokio::test]
async fn the_reflection_service_tells_of_services_and_their_files() {
    let mesh = Mesh::start().await;
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = protox::compile(["trial.proto"], [proto]).unwrap();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(&prost::Message::encode_to_vec(&files))
        .build_v1()
        .unwrap();
    let (_server, incoming) = attach(&mesh.agent().await, "app.test.trial/1").await;
    let server = tonic::transport::Server::builder()
        .add_service(reflection)
        .add_service(TrialServer::new(Server(1)));
    tokio::spawn(server.serve_with_incoming(incoming));
    let (_grpc, channel, _) = channel(&mesh).await;
    let ask =
        |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let name = <TrialServer<Server> as tonic::server::NamedService>::NAME;
    let asks = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(name.to_owned())),
    ];
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(stream::iter(asks));
    let answers = within(SOON, answers).await.unwrap().into_inner();
    let answers: Vec<_> = within(SOON, answers.take(2).collect()).await;
    let mut answers = answers.into_iter().map(|answer: Result<ServerReflectionResponse, _>| {
        answer.unwrap().message_response.unwrap()
    });
    let Some(MessageResponse::ListServicesResponse(listed)) = answers.next() else {
        panic!("a list")
    };
    assert!(listed.service.iter().any(|service| service.name == name), "{listed:?}");
    let Some(MessageResponse::FileDescriptorResponse(found)) = answers.next() else {
        panic!("a file")
    };
    let expected = prost::Message::encode_to_vec(&files.file[0]);
    assert_eq!(found.file_descriptor_proto, [expected]);
}

#[tokio::test]
async fn calls_tell_the_selectors_how_fast_they_were_answered_and_which_failed() {
    let mesh = Mesh::start().await;
    let _server = serve(&mesh.agent().await, 1).await;
    let (_grpc, channel, router) = channel(&mesh).await;
    let stats = router.stats(InstanceId::new(1).unwrap()).unwrap();
    let mut client = TrialClient::new(channel);
    within(SOON, client.unary(ask("x"))).await.unwrap();
    assert!(stats.latency_peak_ns() > 0);
    assert_eq!((stats.error_ppm(), stats.in_flight()), (0, 0));
    // What the caller does wrong is not the instance's fault.
    let fails = |code: Code| Ask { code: code as i32, ..ask("x") };
    within(SOON, client.unary(fails(Code::NotFound))).await.unwrap_err();
    assert_eq!(stats.error_ppm(), 0);
    let mut before = 0;
    for code in [Code::Internal, Code::Unavailable, Code::Unknown, Code::ResourceExhausted] {
        within(SOON, client.unary(fails(code))).await.unwrap_err();
        assert!(stats.error_ppm() > before, "{code:?}");
        before = stats.error_ppm();
    }
    let mut slow = Request::new(Ask { takes_ms: 600_000, ..ask("x") });
    slow.set_timeout(std::time::Duration::from_secs(1));
    within(SOON, client.unary(slow)).await.unwrap_err();
    assert!(stats.error_ppm() > before, "a deadline that passed");
    assert!(stats.latency_peak_ns() >= 100_000_000, "most of that second");
    before = stats.error_ppm();
    // A stream counts as one call, while it lasts and by its end.
    let mut answers =
        within(SOON, client.download(Ask { count: 3, ..ask("x") })).await.unwrap().into_inner();
    within(SOON, answers.message()).await.unwrap().unwrap();
    assert_eq!((stats.in_flight(), stats.error_ppm()), (1, before));
    while within(SOON, answers.message()).await.unwrap().is_some() {}
    assert!(stats.error_ppm() < before, "it ended well");
    drop(answers);
    assert_eq!(stats.in_flight(), 0);
}

#[tokio::test]
async fn a_stream_that_is_lost_counts_as_failed() {
    let mesh = Mesh::start().await;
    let nameserver = mesh.address().to_string();
    let mut node = Node::start(NODE, &["serve", &nameserver, "app.test.trial/1"]);
    node.says().await;
    let (_grpc, channel, router) = channel(&mesh).await;
    let stats = router.stats(InstanceId::new(1).unwrap()).unwrap();
    let mut client = TrialClient::new(channel);
    let mut answers = within(SOON, client.download(ask("x"))).await.unwrap().into_inner();
    within(SOON, answers.message()).await.unwrap().unwrap();
    assert_eq!(stats.error_ppm(), 0);
    node.kill().await;
    let lost = async { while answers.message().await.is_ok() {} };
    within(SOON, lost).await;
    assert!(stats.error_ppm() > 0);
}

#[tokio::test]
async fn one_instance_serves_rpc_and_grpc() {
    let mesh = Mesh::start().await;
    let (instance, inbox) = mesh.agent().await.register("app.test.trial/1").await.unwrap();
    let echo =
        |request: rpc::Request| async move { Ok(rpc::Response::new(request.into_payload())) };
    let methods = rpc::Methods::new().method("echo", echo);
    let (_rpc, rest) = rpc::Rpc::builder(instance.clone(), inbox).serve(methods).attach();
    let (_grpc, incoming) = Grpc::builder(instance).attach_behind(rest);
    let server = tonic::transport::Server::builder().add_service(TrialServer::new(Server(1)));
    tokio::spawn(server.serve_with_incoming(incoming));

    let (instance, inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let (calls, rest) = rpc::Rpc::attach(instance.clone(), inbox);
    let (grpc, _) = Grpc::builder(instance).attach_behind(rest);
    let mut client = TrialClient::new(grpc.channel(SERVICE).unwrap());
    for bytes in [0, 1000, 1 << 20] {
        let call = calls.call(SERVICE, rpc::Request::new("echo", vec![7; bytes]));
        let (echoed, answer) =
            within(SOON, async { tokio::join!(call, client.unary(ask(vec![7; bytes]))) }).await;
        assert_eq!(echoed.unwrap().payload().len(), bytes);
        assert_eq!(answer.unwrap().into_inner().payload.len(), bytes);
    }
    assert!(grpc.counters().all().iter().all(|(_, n)| *n == 0), "{:?}", grpc.counters().all());
}
