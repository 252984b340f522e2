//! Faults of earlier days, each kept from coming back: memory behind refusals, answers to who has
//! left, partitions from the nameserver alone, records that are odd, waits for the dead.

use std::time::Duration;

use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, Delivery, Event, RegisterError, Resolve, SendError};
use skymesh_nameserver::Nameserver;
use skymesh_tests::{
    Cable, LONG, Mesh, Node, SOON, agent_config, fast_nameserver, next_event, next_message, within,
};
use skymesh_types::{AttributeChange, Attributes};
use tokio::task::JoinSet;

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");
const SERVER: &str = "app.test.server/1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_inbox_refuses_takes_no_memory() {
    let mesh = Mesh::start().await;
    // Its memory is its own.
    let mut server = Node::start(NODE, &["full", &mesh.address().to_string(), SERVER]);
    server.says().await;
    let mut floods = JoinSet::new();
    for client in 1..=3u64 {
        let agent = mesh.agent().await;
        let url = format!("app.test.client/{client}");
        let (client, inbox) = agent.register(url.as_str()).await.unwrap();
        floods.spawn(async move {
            while client.send(SERVER, [0; 1000]).await.is_ok() {}
            drop(inbox);
        });
    }
    let before = server.says().await["peak_kib"].as_u64().unwrap();
    let after = server.says_within(Duration::from_secs(60)).await["peak_kib"].as_u64().unwrap();
    let grown = (after - before) >> 10;
    assert!(grown < 64, "{grown} MiB for 180 000 messages of a kilobyte that were refused");
}

#[tokio::test]
async fn who_has_left_cannot_be_answered_into_the_void() {
    let mesh = Mesh::start().await;
    let (server, mut inbox) = mesh.agent().await.register(SERVER).await.unwrap();
    let guests = mesh.agent().await;
    let (guest, _guest_inbox) = guests.register("app.test.guest/1").await.unwrap();
    guest.send(SERVER, b"bye").await.unwrap();
    let last = next_message(&mut inbox).await;
    guests.shutdown().await;
    // Nobody watches the guest, so its connection's end is all there is to hear.
    let refused = async {
        loop {
            match server.send(last.source(), b"see you").await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    let refused = within(SOON, refused).await;
    assert!(matches!(refused, SendError::UnknownHandle(_) | SendError::Gone), "{refused}");
}

/// Sender and watcher still reach each other, so the sender introduces itself while it is offline.
#[tokio::test]
async fn a_sender_cut_off_from_the_nameserver_alone_is_heard_again_after_healing() {
    let mesh = Mesh::start().await;
    let cable = Cable::to(mesh.address()).await;
    let builder = Agent::builder().app("app").nameserver(cable.address());
    let senders = builder.connect().await.unwrap();
    let (sender, mut answers) = senders.register("app.test.sender/1").await.unwrap();
    let (watcher, mut inbox) = mesh.agent().await.register(SERVER).await.unwrap();
    watcher.watch("app.test.sender").unwrap();
    let known = |resolve: &Resolve| matches!(resolve, Resolve::Ready(_));
    senders.router("app.test.server").unwrap().wait_until(SOON, known).await.unwrap();
    next_event(&mut inbox, |e| matches!(e, Event::Online(_)).then_some(())).await;

    cable.cut();
    next_event(&mut inbox, |e| matches!(e, Event::Offline { .. }).then_some(())).await;
    sender.send(SERVER, b"while it is held offline").await.unwrap();
    next_event(&mut answers, |e| matches!(e, Event::Undeliverable { .. }).then_some(())).await;
    cable.mend();
    next_event(&mut inbox, |e| matches!(e, Event::Online(_)).then_some(())).await;
    sender.send(SERVER, b"healed").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), &b"healed"[..]);
}

#[tokio::test]
async fn a_record_with_more_attributes_than_one_layer_may_have_harms_nobody() {
    let mesh = Mesh::start().await;
    let attributes: Attributes = (0..60).map(|n| (format!("own{n}"), n)).collect();
    let (_server, _inbox) =
        mesh.agent().await.register(SERVER).attributes(attributes).await.unwrap();
    let watcher = mesh.agent().await;
    let router = watcher.router("app.test.server").unwrap();
    router.ready(SOON).await.unwrap();
    let set = (0..10).map(|n| (format!("operator{n}"), 1.into())).collect();
    let change = AttributeChange { set, unset: Vec::new() };
    let url = SERVER.parse().unwrap();
    mesh.nameserver().override_attributes(url, change, None).await.unwrap();
    let all = |resolve: &Resolve| {
        matches!(resolve, Resolve::Ready(_))
            && resolve.members().iter().all(|member| member.record.attributes.len() == 70)
    };
    router.wait_until(SOON, all).await.unwrap();
    assert_eq!(watcher.counters().uplinks_lost.get(), 0);
}

/// It waits for whoever has no room, and no longer than that one is there.
#[tokio::test]
async fn a_broadcast_does_not_wait_for_the_dead() {
    let mesh = Mesh::hasty().await;
    let (client, mut inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let router = client.watch("app.test.server").unwrap();
    let nameserver = mesh.address().to_string();
    let mut node = Node::start(NODE, &["echo", &nameserver, SERVER]);
    node.says().await;
    next_event(&mut inbox, |e| matches!(e, Event::Online(_)).then_some(())).await;
    client.send(SERVER, b"hello").await.unwrap();
    next_message(&mut inbox).await;
    node.signal("STOP").await;
    let payload = vec![0; 64 * 1024];
    loop {
        match client.try_send(SERVER, &payload) {
            Ok(()) => {}
            Err(SendError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let broadcast = within(SOON, client.broadcast(router.name(), &payload));
    let broadcast = broadcast.await.unwrap();
    assert_eq!((broadcast.accepted, broadcast.refused.len()), (0, 1), "{broadcast:?}");
    node.signal("CONT").await;
}

#[tokio::test]
async fn a_kick_is_heard_as_an_event_and_ends_the_inbox() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (server, mut inbox) = agent.register(SERVER).await.unwrap();
    let (watcher, mut watching) = mesh.agent().await.register("app.test.watcher/1").await.unwrap();
    watcher.watch("app.test.server").unwrap();
    next_event(&mut watching, |e| matches!(e, Event::Online(_)).then_some(())).await;
    let target = skymesh_nameserver::KickTarget::Instance(server.handle());
    mesh.nameserver().kick(target, "maintenance").await.unwrap();
    let reason = next_event(&mut inbox, |event| match event {
        Event::KickedOff { reason } => Some(reason.clone()),
        _ => None,
    })
    .await;
    assert_eq!(&*reason, "maintenance");
    assert!(within(SOON, inbox.recv()).await.is_none(), "nothing follows");
    next_event(&mut watching, |e| matches!(e, Event::Offline { .. }).then_some(())).await;
    assert_eq!(server.send("app.test.watcher/1", b"x").await, Err(SendError::NotRegistered));
    // The agent itself goes on.
    let again: Result<_, RegisterError> = agent.register("app.test.server/2").await;
    again.unwrap();
}

#[tokio::test]
async fn a_reader_that_is_always_behind_lets_others_run() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (client, mut inbox) = agent.register("app.test.client/1").await.unwrap();
    // More than can be read before others must have run, sent by the reader itself.
    let turns = tokio::spawn(async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    });
    let url = client.url().clone();
    client.send(&url, b"again").await.unwrap();
    let mut read = 0u32;
    while !turns.is_finished() {
        if let Some(Delivery::Message(_)) = inbox.recv().await {
            client.try_send(&url, b"again").unwrap();
            read += 1;
        }
        assert!(read < 100_000, "the other task never ran");
    }
}

#[tokio::test]
async fn a_stop_without_a_nameserver_is_quick() {
    let nameserver = Nameserver::bind(fast_nameserver()).await.unwrap();
    let address = nameserver.local_addr().to_string();
    let running = tokio::spawn(nameserver.run());
    // Nothing may wait until what it has for a drain is over.
    let config = AgentConfig { drain_timeout: LONG, ..agent_config(&address) };
    let agent = Agent::builder().config(config).connect().await.unwrap();
    let (_server, _inbox) = agent.register(SERVER).await.unwrap();
    let router = agent.router("app.test.server").unwrap();
    router.ready(SOON).await.unwrap();
    running.abort();
    let stale = |resolve: &Resolve| matches!(resolve, Resolve::Stale(..));
    router.wait_until(SOON, stale).await.unwrap();
    within(SOON, agent.shutdown()).await;
}
