//! tonic's own generated clients and servers over the mesh: all kinds of calls, what travels beside
//! them, who is picked, and what happens when an instance goes.

mod origin;
mod services;
mod v1;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::json;
use skymesh_agent::{Agent, Resolve};
use skymesh_grpc::{ConnectionError, Grpc, GrpcConfig, Incoming, MeshChannel, OpenError};
use skymesh_tests::trial::{Ask, Server, TrialClient, TrialServer};
use skymesh_tests::{Mesh, Node, SOON, services, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::{Code, Request};

const SERVICE: &str = "app.test.trial";
const NODE: &str = env!("CARGO_BIN_EXE_grpc-node");

async fn attach(agent: &Agent, url: &str) -> (Grpc, Incoming) {
    let (instance, inbox) = agent.register(url).await.unwrap();
    Grpc::attach(instance, inbox)
}

/// Serves `Trial` as instance `number` of the service.
async fn serve(agent: &Agent, number: u64) -> Grpc {
    let (grpc, incoming) = attach(agent, &format!("{SERVICE}/{number}")).await;
    let server = tonic::transport::Server::builder().add_service(TrialServer::new(Server(number)));
    tokio::spawn(server.serve_with_incoming(incoming));
    grpc
}

/// A client in an agent of its own, once it knows of `servers` instances.
async fn client(mesh: &Mesh, servers: usize) -> (Grpc, TrialClient<MeshChannel>) {
    let table = json!({ "app.*.*": { "selector": { "use": "round_robin" } } });
    let agent = mesh.builder().services(services(table)).connect().await.unwrap();
    let (grpc, _) = attach(&agent, "app.test.client/1").await;
    let channel = grpc.channel("skymesh:///app.test.trial").unwrap();
    let router = channel.router().unwrap();
    let known = |resolve: &Resolve| match resolve {
        Resolve::Ready(known) => known.members.len() == servers,
        _ => servers == 0,
    };
    router.wait_until(SOON, known).await.unwrap();
    (grpc, TrialClient::new(channel))
}

fn ask(payload: impl Into<Vec<u8>>) -> Ask {
    Ask { payload: payload.into(), ..Ask::default() }
}

#[tokio::test]
async fn calls_of_all_four_kinds() {
    let mesh = Mesh::start().await;
    let _server = serve(&mesh.agent().await, 1).await;
    let (_grpc, mut client) = client(&mesh, 1).await;
    for bytes in [0, 1, 100_000, 3 << 20] {
        let answer = within(SOON, client.unary(ask(vec![3; bytes]))).await.unwrap().into_inner();
        assert_eq!((answer.served_by, answer.payload.len()), (1, bytes));
    }
    let asks = stream::iter((0..100).map(|at| ask(vec![0; at])));
    let answer = within(SOON, client.upload(asks)).await.unwrap().into_inner();
    assert_eq!(answer.bytes, 99 * 100 / 2);

    let wanted = Ask { count: 50, ..ask("each") };
    let answers = within(SOON, client.download(wanted)).await.unwrap().into_inner();
    let answers: Vec<_> = within(SOON, answers.collect()).await;
    assert_eq!(answers.len(), 50);
    assert!(answers.into_iter().all(|answer| answer.unwrap().payload == b"each"));

    // One at a time, each answered before the next is asked.
    let (asks, asked) = tokio::sync::mpsc::channel(1);
    let asked = stream::unfold(asked, |mut asked| async { Some((asked.recv().await?, asked)) });
    let mut answers = within(SOON, client.both(asked)).await.unwrap().into_inner();
    for at in 1..=20u64 {
        asks.send(ask("12345")).await.unwrap();
        let answer = within(SOON, answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.bytes, at * 5);
    }
    drop(asks);
    assert!(within(SOON, answers.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn metadata_deadlines_and_failures_arrive() {
    let mesh = Mesh::start().await;
    let _server = serve(&mesh.agent().await, 1).await;
    let (_grpc, mut client) = client(&mesh, 1).await;
    let mut request = Request::new(ask("x"));
    request.metadata_mut().insert("x-user", "alice".parse().unwrap());
    request.set_timeout(Duration::from_secs(11));
    let response = within(SOON, client.unary(request)).await.unwrap();
    assert_eq!(response.metadata().get("x-server").unwrap(), "here");
    let seen: HashMap<String, String> = response.into_inner().metadata;
    assert_eq!(seen["x-user"], "alice");
    assert!(seen["grpc-timeout"].starts_with("11"), "{seen:?}");

    let failed = within(SOON, client.unary(Ask { code: 5, ..ask("x") })).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::NotFound, "as you wish"));
    assert_eq!(failed.metadata().get("why").unwrap(), "asked");

    let mut slow = Request::new(Ask { takes_ms: 600_000, ..ask("x") });
    slow.set_timeout(Duration::from_millis(100));
    let late = within(SOON, client.unary(slow)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");

    // The deadline is that of the whole call, not of its first answer.
    let asks = stream::once(async { ask("x") }).chain(stream::pending());
    let mut lasting = Request::new(asks);
    lasting.set_timeout(Duration::from_secs(1));
    let mut answers = within(SOON, client.both(lasting)).await.unwrap().into_inner();
    within(SOON, answers.message()).await.unwrap().unwrap();
    let ended = within(SOON, answers.message()).await.unwrap_err();
    assert_eq!(ended.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn each_call_goes_where_the_selector_says_and_instances_come_and_go() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (_first, second) = (serve(&agent, 1).await, serve(&agent, 2).await);
    let (_grpc, mut client) = client(&mesh, 2).await;
    let mut served: HashMap<u64, usize> = HashMap::new();
    for _ in 0..100 {
        let answer = within(SOON, client.unary(ask("x"))).await.unwrap();
        *served.entry(answer.into_inner().served_by).or_default() += 1;
    }
    assert_eq!(served, HashMap::from([(1, 50), (2, 50)]));

    let _third = serve(&mesh.agent().await, 3).await;
    let mut seen = 0;
    within(SOON, async {
        while seen != 3 {
            seen = client.unary(ask("x")).await.unwrap().into_inner().served_by;
        }
    })
    .await;
    second.instance().unregister().await.unwrap();
    // Those that were picked before the news are told so; then nobody goes there.
    let mut in_a_row = 0;
    within(SOON, async {
        while in_a_row < 20 {
            match client.unary(ask("x")).await {
                Ok(answer) if answer.get_ref().served_by != 2 => in_a_row += 1,
                Ok(_) => in_a_row = 0,
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_killed_process_and_an_unregistered_instance_end_their_streams_with_unavailable() {
    let mesh = Mesh::start().await;
    let nameserver = mesh.address().to_string();
    let mut node = Node::start(NODE, &["serve", &nameserver, "app.test.trial/1"]);
    node.says().await;
    let (grpc, mut client) = client(&mesh, 1).await;
    let (asks, asked) = tokio::sync::mpsc::channel(1);
    let asked = stream::unfold(asked, |mut asked| async { Some((asked.recv().await?, asked)) });
    let mut answers = within(SOON, client.both(asked)).await.unwrap().into_inner();
    asks.send(ask("x")).await.unwrap();
    within(SOON, answers.message()).await.unwrap().unwrap();
    node.kill().await;
    let status = within(SOON, answers.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");

    let second = serve(&mesh.agent().await, 2).await;
    let mut client = TrialClient::new(grpc.channel("app.test.trial/2").unwrap());
    let router = grpc.instance().router(SERVICE).unwrap();
    let two = |resolve: &Resolve| match resolve {
        Resolve::Ready(known) => known.members.iter().any(|m| m.record.url.instance.get() == 2),
        _ => false,
    };
    router.wait_until(SOON, two).await.unwrap();
    let mut answers = within(SOON, client.download(ask("x"))).await.unwrap().into_inner();
    within(SOON, answers.message()).await.unwrap().unwrap();
    second.instance().unregister().await.unwrap();
    let status = within(SOON, async {
        loop {
            if let Err(status) = answers.message().await {
                return status;
            }
        }
    });
    assert_eq!(status.await.code(), Code::Unavailable);
}

/// Between two processes; each says how much memory it ever had.
#[tokio::test]
async fn a_gibibyte_goes_through_one_stream_and_little_memory() {
    const MEBIBYTES: u64 = 1024;
    const MOST_KIB: u64 = 96 << 10;
    const UPLOAD: Duration = Duration::from_secs(300);
    let mesh = Mesh::start().await;
    let nameserver = mesh.address().to_string();
    let mut server = Node::start(NODE, &["serve", &nameserver, "app.test.trial/1"]);
    server.says().await;
    let url = "app.test.client/1";
    let upload = ["upload", &nameserver, url, "app.test.trial/1", &MEBIBYTES.to_string()];
    let mut client = Node::start(NODE, &upload);
    let said = client.says_within(UPLOAD).await;
    assert_eq!(said["bytes"], MEBIBYTES << 20);
    assert!(said["peak_kib"].as_u64().unwrap() < MOST_KIB, "{said}");
    server.signal("TERM").await;
    let served = server.says().await;
    println!("{said} {served}");
    assert!(served["peak_kib"].as_u64().unwrap() < MOST_KIB, "{served}");
}

/// Two instances in agents of their own, the first of which accepts.
async fn ends(config: GrpcConfig) -> (Mesh, Grpc, Incoming, Grpc) {
    let mesh = Mesh::start().await;
    let (instance, inbox) = mesh.agent().await.register("app.test.trial/1").await.unwrap();
    let (server, incoming) = Grpc::builder(instance).config(config.clone()).attach(inbox);
    let (instance, inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let (client, _) = Grpc::builder(instance).config(config).attach(inbox);
    (mesh, server, incoming, client)
}

fn cause(error: std::io::Error) -> ConnectionError {
    error.into_inner().unwrap().downcast_ref::<ConnectionError>().unwrap().clone()
}

#[tokio::test]
async fn a_connection_is_closed_by_halves_and_keeps_its_bytes() {
    let (_mesh, _server, mut incoming, client) = ends(GrpcConfig::default()).await;
    let mut near = within(SOON, client.connect("app.test.trial/1")).await.unwrap();
    let mut far = within(SOON, incoming.accept()).await.unwrap();
    assert_eq!(far.peer().handle, client.instance().handle());
    let bytes: Vec<u8> = (0..5_000_000u32).map(|at| (at * 31 % 251) as u8).collect();
    let sent = bytes.clone();
    let writing = tokio::spawn(async move {
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        answer
    });
    let mut received = Vec::new();
    within(SOON, far.read_to_end(&mut received)).await.unwrap();
    assert!(received == bytes, "{} bytes came", received.len());
    far.write_all(b"thanks").await.unwrap();
    drop(far);
    assert_eq!(within(SOON, writing).await.unwrap(), b"thanks");
}

#[tokio::test]
async fn a_writer_waits_for_its_reader() {
    let (_mesh, _server, mut incoming, client) = ends(GrpcConfig::default()).await;
    let mut near = within(SOON, client.connect("app.test.trial/1")).await.unwrap();
    let mut far = within(SOON, incoming.accept()).await.unwrap();
    let chunk = [9; 64 << 10];
    let window = vec![9; 1 << 20];
    within(SOON, near.write_all(&window)).await.unwrap();
    let mut written = window.len();
    // Nothing tells that a write will wait for ever: it had many chances to go on.
    let mut waited = 0;
    while waited < 10_000 {
        match near.write(&chunk).now_or_never() {
            Some(count) => (written, waited) = (written + count.unwrap(), 0),
            None => waited += 1,
        }
        assert!(written < 4 << 20, "nobody ever has to wait");
        tokio::task::yield_now().await;
    }
    let mut received = vec![0; written];
    near.flush().await.unwrap();
    within(SOON, far.read_exact(&mut received)).await.unwrap();
    assert!(received.iter().all(|byte| *byte == 9));
    within(SOON, near.write_all(&chunk)).await.unwrap();
}

#[tokio::test]
async fn who_serves_nobody_and_who_is_not_heard_of_is_told_apart() {
    let (mesh, _server, incoming, client) = ends(GrpcConfig::default()).await;
    drop(incoming);
    let refused = within(SOON, client.connect("app.test.trial/1")).await.unwrap_err();
    let OpenError::Refused(ConnectionError::Reset(reason)) = refused else { panic!("{refused}") };
    assert!(reason.contains("nobody serves"), "{reason}");

    let mut channel = TrialClient::new(client.channel(SERVICE).unwrap());
    let status = within(SOON, channel.unary(ask("x"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let mut channel = TrialClient::new(client.channel("app.test.nobody").unwrap());
    let status = within(SOON, channel.unary(ask("x"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");

    // An instance that reads no gRPC says nothing.
    let (_deaf, _inbox) = mesh.agent().await.register("app.test.deaf/1").await.unwrap();
    let config = GrpcConfig { connect_timeout: Duration::from_millis(100), ..Default::default() };
    let (instance, inbox) = mesh.agent().await.register("app.test.client/2").await.unwrap();
    let (hasty, _) = Grpc::builder(instance).config(config).attach(inbox);
    let silent = within(SOON, hasty.connect("app.test.deaf")).await.unwrap_err();
    assert!(matches!(silent, OpenError::Silent(_)), "{silent}");
}

#[tokio::test]
async fn a_connection_on_which_nothing_happens_is_closed() {
    let config = GrpcConfig { idle: Duration::from_millis(50), ..GrpcConfig::default() };
    let (_mesh, server, mut incoming, client) = ends(config).await;
    let mut near = within(SOON, client.connect("app.test.trial/1")).await.unwrap();
    let mut far = within(SOON, incoming.accept()).await.unwrap();
    let mut nothing = [0; 1];
    assert_eq!(within(SOON, near.read(&mut nothing)).await.unwrap(), 0);
    assert_eq!(within(SOON, far.read(&mut nothing)).await.unwrap(), 0);
    assert_eq!(cause(far.write(b"x").await.unwrap_err()), ConnectionError::Closed);
    let idle = client.counters().idle_closed.get() + server.counters().idle_closed.get();
    assert!(idle >= 1);
}

#[tokio::test]
async fn an_instance_that_leaves_breaks_its_connections() {
    let (_mesh, server, mut incoming, client) = ends(GrpcConfig::default()).await;
    let mut near = within(SOON, client.connect("app.test.trial/1")).await.unwrap();
    let mut far = within(SOON, incoming.accept()).await.unwrap();
    client.instance().unregister().await.unwrap();
    let mut nothing = [0; 1];
    // Each side may hear it from the nameserver, from its connection, or from the other side.
    let own = cause(within(SOON, near.read(&mut nothing)).await.unwrap_err());
    assert!(matches!(own, ConnectionError::OffMesh | ConnectionError::Reset(_)), "{own}");
    let other = cause(within(SOON, far.read(&mut nothing)).await.unwrap_err());
    assert!(matches!(other, ConnectionError::Offline | ConnectionError::Lost), "{other}");
    drop(server);
}
