//! Our agent at a nameserver of the origin, which a test plays line by line.

use skymesh_agent::config::{AgentConfig, Unreachable};
use skymesh_agent::{Agent, ConnectError, Event, Inbox, Instance, RegisterError, Resolve};
use skymesh_grpc::Grpc;
use skymesh_proto::msg::Body;
use skymesh_proto::{
    AttributesChanged, KickOff, Options, RouterUpdate, RouterUpdateReply, ServicePresence,
};
use skymesh_rpc::{Code, Methods, Request, Response, Rpc};
use skymesh_tests::trial::{Ask, Server, TrialClient, TrialServer};
use skymesh_tests::v1::{V1Agent, V1Nameserver, V1Socket, info};
use skymesh_tests::{Mesh, SOON, agent_config, next_event, next_message, within};

use super::{ORIGIN, THEIRS, dialled_by};

pub(super) fn config(nameserver: &str) -> AgentConfig {
    AgentConfig { nameserver_protocol: 1, ..agent_config(nameserver) }
}

/// An agent, and the connection that it dialled.
pub(super) async fn joined(nameserver: &V1Nameserver) -> (Agent, V1Socket) {
    let config = config(&nameserver.address);
    let (agent, socket) =
        tokio::join!(Agent::builder().config(config).connect(), nameserver.accept());
    (agent.unwrap(), socket)
}

pub(super) async fn registered(agent: &Agent, socket: &mut V1Socket) -> (Instance, Inbox) {
    let registration = async { agent.register("app.test.server/1").await.unwrap() };
    tokio::join!(registration, socket.take_registration(0)).0
}

fn presence(address: &str, handle: u64, online: bool) -> ServicePresence {
    ServicePresence {
        server_address: address.to_owned(),
        info: Some(info(ORIGIN, 101, handle)),
        options: Some(Options::default()),
        online,
        ..ServicePresence::default()
    }
}

#[tokio::test]
async fn our_agent_registers_beats_changes_attributes_and_leaves() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    let registration = async {
        let attributes = skymesh_types::Attributes::from([("zone", "a")]);
        agent.register("app.test.server/1").attributes(attributes).await.unwrap()
    };
    let ((server, mut inbox), said) = tokio::join!(registration, socket.take_registration(0));
    let handle = server.handle().get();
    assert_eq!(said.info, Some(info("app.test.server", 1, handle)));
    assert_eq!(said.options, Some(Options::default()), "always there");
    let set = |body| match body {
        Body::SetAttributes(said) => Some((said.handle, said.attributes)),
        other => panic!("{other:?}"),
    };
    assert_eq!(socket.hears(set).await, (handle, "{\"zone\":\"a\"}".into()));
    server.set_attribute("load", 3).await.unwrap();
    assert_eq!(socket.hears(set).await, (handle, "{\"load\":3,\"zone\":\"a\"}".into()));
    for _ in 0..2 {
        let Body::Heartbeat(beat) = socket.next().await else { panic!("a heartbeat") };
        assert_eq!(beat.handle, handle);
    }
    // Its own routers see it, though such a nameserver tells an agent nothing of itself.
    server.send("app.test.server", "to myself").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), "to myself");
    server.unregister().await.unwrap();
    let left = |body| match body {
        Body::UnregisterService(said) => Some(said.handle),
        _ => None,
    };
    assert_eq!(socket.hears(left).await, handle);
}

#[tokio::test]
async fn presences_and_attributes_feed_the_routers() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    let (server, mut inbox) = registered(&agent, &mut socket).await;
    let router = server.watch(ORIGIN).unwrap();
    let watched = |body| match body {
        Body::RegisterRouter(said) => Some(said.service_name),
        _ => None,
    };
    assert_eq!(socket.hears(watched).await, ORIGIN);
    // Silence after the first listing means that there is nobody.
    let empty = router.wait_until(SOON, |resolve| matches!(resolve, Resolve::Empty)).await;
    assert!(empty.is_ok(), "{empty:?}");
    socket.send(presence("127.0.0.1:1", THEIRS, true)).await;
    let online = |event: &Event| match event {
        Event::Online(record) => Some(record.clone()),
        _ => None,
    };
    let record = next_event(&mut inbox, online).await;
    assert_eq!((record.handle.get(), record.protocol.version), (THEIRS, 1));
    let attributes = "{\"a\":1}".into();
    socket.send(AttributesChanged { info: Some(info(ORIGIN, 101, THEIRS)), attributes }).await;
    let changed = |event: &Event| match event {
        Event::AttributesChanged { record, .. } => Some(record.attributes.get("a").cloned()),
        _ => None,
    };
    assert_eq!(next_event(&mut inbox, changed).await, Some(1.into()));
    // Two-phase as v1 knows it: this agent's routers are always ready.
    let service_name = || ORIGIN.to_owned();
    socket.send(RouterUpdate { cmd: 1, service_name: service_name() }).await;
    let replied = |body| match body {
        Body::RouterUpdateReply(said) => Some(said),
        _ => None,
    };
    let ready = RouterUpdateReply { result: 2, service_name: service_name() };
    assert_eq!(socket.hears(replied).await, ready);
    socket.send(RouterUpdate { cmd: 4, service_name: service_name() }).await;
    socket.send(presence("127.0.0.1:1", THEIRS, false)).await;
    let offline = |event: &Event| match event {
        Event::Offline { record, .. } => Some(record.handle.get()),
        _ => None,
    };
    assert_eq!(next_event(&mut inbox, offline).await, THEIRS);
}

#[tokio::test]
async fn a_kick_off_ends_the_instance_and_a_refusal_the_registration() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    let (server, mut inbox) = registered(&agent, &mut socket).await;
    socket.send(KickOff { handle: server.handle().get() }).await;
    let kicked = |event: &Event| matches!(event, Event::KickedOff { .. }).then_some(());
    next_event(&mut inbox, kicked).await;
    let again = async { agent.register("app.test.server/1").await };
    let (again, _) = tokio::join!(again, socket.take_registration(-1001));
    assert!(matches!(again, Err(RegisterError::AlreadyRegistered { .. })), "{again:?}");
}

#[tokio::test]
async fn after_a_lost_connection_all_is_said_again_and_who_vanished_goes_offline() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    let (server, mut inbox) = registered(&agent, &mut socket).await;
    server.watch(ORIGIN).unwrap();
    socket.send(presence("127.0.0.1:1", THEIRS, true)).await;
    next_event(&mut inbox, |event| matches!(event, Event::Online(_)).then_some(())).await;
    drop(socket);
    let mut socket = nameserver.accept().await;
    let said = socket.take_registration(0).await;
    assert_eq!(said.info, Some(info("app.test.server", 1, server.handle().get())), "same handle");
    let offline = |event: &Event| match event {
        Event::Offline { record, .. } => Some(record.handle.get()),
        _ => None,
    };
    assert_eq!(next_event(&mut inbox, offline).await, THEIRS);
}

/// Our own nameserver serves agents of protocol 1 too, so ours can join it as such and meet others.
#[tokio::test]
async fn two_agents_of_ours_and_one_of_the_origin_meet_at_a_v1_nameserver() {
    let mesh = Mesh::start().await;
    let address = mesh.address().to_string();
    let join = async || Agent::builder().config(config(&address)).connect().await.unwrap();
    let (first, second) = (join().await, join().await);
    let (server, mut inbox) = first.register("app.test.server/1").await.unwrap();
    let (client, mut answers) = second.register("app.test.client/1").await.unwrap();
    let mut origin = V1Agent::start(&address, "app").await;
    assert_eq!(origin.register(ORIGIN, 101, THEIRS).await, 0);
    for payload in ["one", "two"] {
        client.send("app.test.server", payload).await.unwrap();
        let heard = next_message(&mut inbox).await;
        assert_eq!(heard.payload(), payload);
        assert_eq!(heard.source().protocol(), 1, "as such they know each other");
        server.send(heard.source().handle(), "back").await.unwrap();
        assert_eq!(next_message(&mut answers).await.payload(), "back");
    }
    client.send(ORIGIN, "hello").await.unwrap();
    let mut socket = dialled_by(&second, &origin).await;
    assert_eq!(socket.next_message().await.payload, "hello");
    within(SOON, second.shutdown()).await;
}

/// Without protocol 2 between them, calls go in the origin's layouts.
#[tokio::test]
async fn two_agents_of_ours_at_a_v1_nameserver_call_each_other() {
    let mesh = Mesh::start().await;
    let address = mesh.address().to_string();
    let join = async || Agent::builder().config(config(&address)).connect().await.unwrap();
    let (first, second) = (join().await, join().await);
    let (server, inbox) = first.register("app.test.server/1").await.unwrap();
    let echo = |request: Request| async move { Ok(Response::new(request.into_payload())) };
    let methods = Methods::new().method("echo", echo);
    let (_rpc, rest) = Rpc::builder(server.clone(), inbox).serve(methods).attach();
    // Both protocols on one instance: what is no call goes on to the virtual connections.
    let (_grpc, incoming) = Grpc::builder(server).attach_behind(rest);
    let greeter = tonic::transport::Server::builder().add_service(TrialServer::new(Server(1)));
    tokio::spawn(greeter.serve_with_incoming(incoming));

    let (client, inbox) = second.register("app.test.client/1").await.unwrap();
    let (rpc, rest) = Rpc::attach(client.clone(), inbox);
    let (grpc, _incoming) = Grpc::builder(client).attach_behind(rest);
    let call = rpc.call("app.test.server", Request::new("echo", "hello"));
    assert_eq!(within(SOON, call).await.unwrap().payload(), "hello");
    let large = rpc.call("app.test.server", Request::new("echo", vec![0; 5000])).await.unwrap_err();
    assert_eq!(large.code(), Code::InvalidArgument, "{large}");
    let mut greeter = TrialClient::new(grpc.channel("app.test.server").unwrap());
    let ask = Ask { payload: vec![1; 100_000], ..Ask::default() };
    let answer = within(SOON, greeter.unary(ask)).await.unwrap().into_inner();
    assert_eq!((answer.served_by, answer.payload.len()), (1, 100_000));
}

#[tokio::test]
async fn the_protocol_is_never_guessed() {
    let nameserver = V1Nameserver::start().await;
    let config = AgentConfig {
        nameserver_protocol: 2,
        unreachable: Unreachable::Fail,
        ..config(&nameserver.address)
    };
    let play = async {
        let mut socket = nameserver.accept_any().await;
        let _ = (socket.next().await, socket.next().await);
        socket.send(skymesh_proto::RegisterAppReply::default()).await;
        socket
    };
    let (connected, _socket) = tokio::join!(Agent::builder().config(config).connect(), play);
    let Err(ConnectError::Nameserver(error)) = connected else { panic!("it must be told") };
    assert!(error.contains("agent.nameserver_protocol = 1"), "{error}");
}
