//! Agents of the origin and ours, side by side: messages, pings and naming in both directions.

mod elections;
mod leading;
mod nameserver;
mod pings;
mod registrations;
mod rounds;
mod unsupported;

use bytes::Bytes;
use skymesh_agent::config::{AgentConfig, InboxConfig};
use skymesh_agent::{Agent, Delivery, Event, Instance, Resolve};
use skymesh_nameserver::NameserverConfig;
use skymesh_proto::msg::Body;
use skymesh_proto::{AgentInfo, Heartbeat, Msg, Pong, SetAttributes, UnregisterService};
use skymesh_tests::v1::{V1Agent, V1Socket, captured, info, message};
use skymesh_tests::{Mesh, SOON, fast_nameserver, next_event, next_message, within};
use skymesh_types::Handle;
use skymesh_wire::encode_msg;

const ORIGIN: &str = "app.origin.room";
const THEIRS: u64 = 0x0100_0012_3456_789a;

async fn origin(mesh: &Mesh) -> V1Agent {
    let mut agent = V1Agent::start(&mesh.address().to_string(), "app").await;
    assert_eq!(agent.register(ORIGIN, 101, THEIRS).await, 0);
    agent
}

/// The connection that `ours` dialled, its introduction heard.
async fn dialled_by(ours: &Agent, origin: &V1Agent) -> V1Socket {
    let mut socket = origin.accept().await;
    let (server_address, app) = (ours.address().to_owned(), ours.app().to_string());
    let plain = AgentInfo { server_address, app, ..AgentInfo::default() };
    assert_eq!(socket.next().await, plain.into(), "v1 introduces itself by address and app alone");
    socket
}

fn numbered(number: u64, bytes: usize) -> Bytes {
    let mut payload = vec![number as u8; bytes];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload.into()
}

fn number(payload: &[u8]) -> u64 {
    u64::from_be_bytes(*payload.first_chunk().unwrap())
}

#[tokio::test]
async fn megabytes_go_to_a_v1_peer_that_never_credits_anything() {
    let mesh = Mesh::start().await;
    let origin = origin(&mesh).await;
    let agent = mesh.agent().await;
    let (server, _inbox) = agent.register("app.test.server/1").await.unwrap();
    let ours = server.handle().get();
    let sending = tokio::spawn(async move {
        let to: skymesh_types::ServiceUrl = format!("{ORIGIN}/101").parse().unwrap();
        server.router(ORIGIN).unwrap().ready(SOON).await.unwrap();
        for sent in 0..256 {
            server.send(&to, numbered(sent, 64 * 1024)).await.unwrap();
        }
    });
    let mut socket = dialled_by(&agent, &origin).await;
    for expected in 0..256 {
        let heard = socket.next_message().await;
        let plain = message(
            info("app.test.server", 1, ours),
            Handle::new(THEIRS).unwrap(),
            heard.payload.clone(),
        );
        assert_eq!(heard, plain, "nothing that v1 does not know");
        assert_eq!((number(&heard.payload), heard.payload.len()), (expected, 64 * 1024));
    }
    within(SOON, sending).await.unwrap();
}

#[tokio::test]
async fn megabytes_from_a_v1_peer_wait_for_a_full_inbox_and_none_is_lost() {
    const MESSAGES: u64 = 1024;
    let mesh = Mesh::start().await;
    let inbox = InboxConfig { window_bytes: 64 * 1024, limit_bytes: 256 * 1024 };
    let config = AgentConfig { inbox, ..mesh.config() };
    let agent = Agent::builder().config(config).connect().await.unwrap();
    let (server, mut inbox) = agent.register("app.test.server/1").await.unwrap();
    let (listener, mut other) = agent.register("app.test.other/1").await.unwrap();
    let origin = origin(&mesh).await;
    let mut socket = V1Socket::dial(agent.address()).await;
    socket.send(origin.ping(1, server.handle())).await;
    let to = server.handle();
    let sending = tokio::spawn(async move {
        for sent in 0..MESSAGES {
            let source = info(ORIGIN, 101, THEIRS);
            socket.send(message(source, to, numbered(sent, 32 * 1024))).await;
        }
        socket
    });
    // Another connection is read on meanwhile: only who fills an inbox waits for it.
    let mut second = V1Socket::dial(agent.address()).await;
    let first = next_message(&mut inbox).await;
    assert_eq!(number(first.payload()), 0);
    second.send(message(info(ORIGIN, 101, THEIRS), listener.handle(), "hello")).await;
    assert_eq!(next_message(&mut other).await.payload(), "hello");
    assert!(!sending.is_finished(), "32 MiB do not fit into buffers of the system");
    for expected in 1..MESSAGES {
        assert_eq!(number(next_message(&mut inbox).await.payload()), expected);
    }
    let socket = within(SOON, sending).await.unwrap();
    assert_eq!(agent.counters().refused_inbox_full.get(), 0);
    assert_eq!(socket.heard_in_all().await, 0, "nothing is written to what a v1 peer dialled");
}

#[tokio::test]
async fn a_v1_instances_online_event_precedes_its_first_message() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (server, mut inbox) = agent.register("app.test.server/1").await.unwrap();
    server.watch(ORIGIN).unwrap().ready(SOON).await.unwrap();
    let mut origin = V1Agent::start(&mesh.address().to_string(), "app").await;
    let mut socket = V1Socket::dial(agent.address()).await;
    for instance in 1..=50 {
        let handle = THEIRS + instance;
        assert_eq!(origin.register(ORIGIN, instance, handle).await, 0);
        let source = info(ORIGIN, instance, handle);
        socket.send(message(source, server.handle(), "first")).await;
    }
    let (mut online, mut heard) = (Vec::new(), 0);
    while heard < 50 {
        match within(SOON, inbox.recv()).await.unwrap() {
            Delivery::Event(Event::Online(record)) => online.push(record.handle.get()),
            Delivery::Event(_) => {}
            Delivery::Message(message) => {
                heard += 1;
                assert_eq!(message.source().protocol(), 1);
                let source = message.source().handle().get();
                assert!(online.contains(&source), "message {heard} came first");
            }
        }
    }
}

#[tokio::test]
async fn a_v1_source_can_be_answered_though_nobody_watches_it_and_it_never_pinged() {
    let mesh = Mesh::start().await;
    let origin = origin(&mesh).await;
    let agent = mesh.agent().await;
    let (server, mut inbox) = agent.register("app.test.server/1").await.unwrap();
    let mut socket = V1Socket::dial(agent.address()).await;
    socket.send(message(info(ORIGIN, 101, THEIRS), server.handle(), "who is there?")).await;
    let asked = next_message(&mut inbox).await;
    server.send(asked.source().handle(), "me").await.unwrap();
    let mut answers = dialled_by(&agent, &origin).await;
    assert_eq!(answers.next_message().await.payload, "me");
    // A router that is opened later shows what was heard already.
    let router = server.router(ORIGIN).unwrap();
    let one =
        |resolve: &Resolve| matches!(resolve, Resolve::Ready(known) if known.members.len() == 1);
    within(SOON, router.wait_until(SOON, one)).await.unwrap();
}

#[tokio::test]
async fn a_v1_source_of_another_app_is_refused() {
    let mesh = Mesh::start().await;
    let origin = origin(&mesh).await;
    let agent = mesh.agent().await;
    let (server, mut inbox) = agent.register("app.test.server/1").await.unwrap();
    let mut socket = V1Socket::dial(agent.address()).await;
    socket.send(origin.ping(1, server.handle())).await;
    socket.send(message(info("other.origin.room", 1, 5), server.handle(), "foreign")).await;
    socket.send(message(info(ORIGIN, 101, THEIRS), server.handle(), "own")).await;
    assert_eq!(next_message(&mut inbox).await.payload(), "own");
    assert_eq!(agent.counters().refused_unknown_source.get(), 1);
}

#[tokio::test]
async fn v1_and_v2_see_each_other_come_change_and_go() {
    let mesh = Mesh::start().await;
    let mut origin = V1Agent::start(&mesh.address().to_string(), "app").await;
    let agent = mesh.agent().await;
    let (server, mut inbox) = agent.register("app.test.server/1").await.unwrap();
    let ours = server.handle().get();
    let presence = |body| match body {
        Body::ServicePresence(said) => Some((said.info.unwrap().handle, said.online)),
        _ => None,
    };
    assert_eq!(origin.nameserver.hears(presence).await, (ours, true));
    server.set_attribute("load", 7).await.unwrap();
    let changed = |body| match body {
        Body::AttributesChanged(said) => Some(said),
        _ => None,
    };
    let said = origin.nameserver.hears(changed).await;
    assert_eq!((said.info.unwrap().handle, &said.attributes[..]), (ours, &b"{\"load\":7}"[..]));

    server.watch(ORIGIN).unwrap();
    assert_eq!(origin.register(ORIGIN, 101, THEIRS).await, 0);
    let online = |event: &Event| match event {
        Event::Online(record) => Some(record.clone()),
        _ => None,
    };
    let record = next_event(&mut inbox, online).await;
    assert_eq!((record.handle.get(), &*record.address), (THEIRS, origin.address.as_str()));
    assert_eq!((record.protocol.version, record.agent), (1, None));
    let set = SetAttributes { handle: THEIRS, attributes: "{\"a\":1}".into() };
    origin.nameserver.send(set).await;
    origin.nameserver.send(Heartbeat { handle: THEIRS }).await;
    let changed = |event: &Event| match event {
        Event::AttributesChanged { record, .. } => Some(record.attributes.get("a").cloned()),
        _ => None,
    };
    assert_eq!(next_event(&mut inbox, changed).await, Some(1.into()));
    origin.nameserver.send(UnregisterService { handle: THEIRS }).await;
    let offline = |event: &Event| match event {
        Event::Offline { record, .. } => Some(record.handle.get()),
        _ => None,
    };
    assert_eq!(next_event(&mut inbox, offline).await, THEIRS);
    server.unregister().await.unwrap();
    assert_eq!(origin.nameserver.hears(presence).await, (ours, false));

    // A killed process is gone after the grace.
    let (watcher, mut inbox) = agent.register("app.test.watcher/1").await.unwrap();
    watcher.watch(ORIGIN).unwrap();
    assert_eq!(origin.register(ORIGIN, 102, THEIRS + 1).await, 0);
    assert_eq!(next_event(&mut inbox, online).await.handle.get(), THEIRS + 1);
    drop(origin);
    assert_eq!(next_event(&mut inbox, offline).await, THEIRS + 1);
}

#[tokio::test]
async fn a_v1_agent_that_beats_no_more_goes_offline_and_one_that_beats_stays() {
    let lease_v1 = std::time::Duration::from_secs(1);
    let mesh = Mesh::start_with(NameserverConfig { lease_v1, ..fast_nameserver() }).await;
    let agent = mesh.agent().await;
    let (watcher, mut inbox) = agent.register("app.test.watcher/1").await.unwrap();
    watcher.watch(ORIGIN).unwrap();
    let silent = origin(&mesh).await;
    let mut beating = V1Agent::start(&mesh.address().to_string(), "app").await;
    assert_eq!(beating.register(ORIGIN, 102, THEIRS + 1).await, 0);
    let mut beat = tokio::time::interval(lease_v1 / 5);
    let offline = next_event(&mut inbox, |event| match event {
        Event::Offline { record, .. } => Some(record.handle.get()),
        _ => None,
    });
    tokio::pin!(offline);
    let gone = loop {
        tokio::select! {
            gone = &mut offline => break gone,
            _ = beat.tick() => beating.nameserver.send(Heartbeat { handle: THEIRS + 1 }).await,
        }
    };
    assert_eq!(gone, THEIRS, "its connection still stands");
    let known = watcher.router(ORIGIN).unwrap();
    let one = |resolve: &Resolve| resolve.members().len() == 1;
    known.wait_until(SOON, one).await.unwrap();
    drop(silent);
}

#[tokio::test]
async fn what_a_v1_peer_has_confirmed_by_a_pong_is_not_counted_as_lost() {
    let mesh = Mesh::start().await;
    let origin = origin(&mesh).await;
    let agent = mesh.agent().await;
    let (server, _inbox) = agent.register("app.test.server/1").await.unwrap();
    server.send(ORIGIN, "one").await.unwrap();
    server.send(ORIGIN, "two").await.unwrap();
    let mut socket = dialled_by(&agent, &origin).await;
    // The pings of rounds before the messages confirm nothing, those after them all.
    let (mut messages, mut back) = (0, V1Socket::dial(agent.address()).await);
    let mut confirmed = false;
    while !confirmed {
        match socket.next().await {
            Body::Message(_) => messages += 1,
            Body::Ping(ping) => {
                confirmed = messages == 2;
                back.send(Pong { seq: ping.seq, handle: ping.destination }).await;
            }
            other => panic!("v1 does not know {other:?}"),
        }
    }
    // The pong was taken when the next ping comes, and nothing more is confirmed after that.
    socket.next_ping().await;
    server.send(ORIGIN, "three").await.unwrap();
    assert_eq!(socket.next_message().await.payload, "three");
    drop(socket);
    let _again = dialled_by(&agent, &origin).await;
    assert_eq!(agent.counters().unconfirmed.get(), 1);
}

/// Messages and pings that the origin's programs sent each other, with the handles of the mesh that
/// they are played in.
#[tokio::test]
async fn the_origins_own_frames_are_understood_and_ours_are_like_them() {
    for name in ["helloworld.jsonl", "name_router.jsonl", "inner_service.jsonl", "grpc.jsonl"] {
        play(name).await;
    }
}

async fn play(name: &str) {
    let mesh = Mesh::start().await;
    let frames = captured(name);
    let app = frames.iter().find_map(|frame| match &frame.body {
        Body::AgentInfo(said) => Some(said.app.clone()),
        _ => None,
    });
    let app = app.unwrap();
    let agent = mesh.builder().app(&app).connect().await.unwrap();
    let url = format!("{app}.test.server/1");
    let (server, mut inbox) = agent.register(url.as_str()).await.unwrap();
    let mut origin = V1Agent::start(&mesh.address().to_string(), &app).await;
    let mut socket = V1Socket::dial(agent.address()).await;
    let mut back: Option<V1Socket> = None;
    let mut known = Vec::new();
    for captured in frames.into_iter().filter(|c| c.direction == "agent->agent") {
        match captured.body {
            Body::Message(mut said) => {
                let source = said.source.clone().unwrap();
                if !known.contains(&source.handle) {
                    let result =
                        origin.register(&source.service_name, source.instance, source.handle);
                    assert_eq!(result.await, 0);
                    known.push(source.handle);
                }
                let theirs = Handle::new(said.destination).unwrap();
                said.destination = server.handle().get();
                socket.send(said.clone()).await;
                let heard = next_message(&mut inbox).await;
                assert_eq!(
                    (heard.payload(), heard.source().handle().get()),
                    (&said.payload, source.handle)
                );
                // The same said by ours differs in who says it alone.
                let said = message(source, theirs, said.payload);
                let mut like = Vec::new();
                encode_msg(&Msg::from(said), &mut like);
                assert_eq!(like, captured.frame, "{name}");
                answer(&server, &heard, &agent, &origin, &mut back).await;
            }
            Body::Ping(mut ping) => {
                ping.destination = server.handle().get();
                ping.server_address.clone_from(&origin.address);
                socket.send(ping.clone()).await;
                if back.is_none() {
                    back = Some(dialled_by(&agent, &origin).await);
                }
                let pong = back.as_mut().unwrap().hears(|body| match body {
                    Body::Pong(pong) => Some(pong),
                    _ => None,
                });
                let pong = pong.await;
                assert_eq!((pong.seq, pong.handle), (ping.seq, server.handle().get()));
            }
            _ => {}
        }
    }
    assert_eq!(agent.counters().unknown_commands.get(), 0, "{name}");
}

async fn answer(
    server: &Instance,
    heard: &skymesh_agent::Message,
    agent: &Agent,
    origin: &V1Agent,
    back: &mut Option<V1Socket>,
) {
    server.send(heard.source().handle(), heard.payload()).await.unwrap();
    if back.is_none() {
        *back = Some(dialled_by(agent, origin).await);
    }
    let answer = back.as_mut().unwrap().next_message().await;
    assert_eq!(answer.payload, heard.payload());
    let source = info(server.url().name.as_str(), 1, server.handle().get());
    assert_eq!(answer, message(source, heard.source().handle(), heard.payload().clone()));
}
