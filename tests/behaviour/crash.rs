//! kill -9: who notices when, who may come back, and where messages for the dead go.

use std::time::{Duration, Instant};

use skymesh_agent::{Event, SendError};
use skymesh_proto::RefusalReason;
use skymesh_proto::msg::Body;
use skymesh_tests::raw::raw_peer;
use skymesh_tests::v1::{info, message};
use skymesh_tests::{Mesh, Node, fast_nameserver, next_event, next_message};
use skymesh_types::Handle;

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");
const SERVER: &str = "app.test.server/1";

fn offline_of(handle: Handle) -> impl FnMut(&Event) -> Option<()> {
    move |event| match event {
        Event::Offline { record, .. } if record.handle == handle => Some(()),
        _ => None,
    }
}

fn online(event: &Event) -> Option<Handle> {
    match event {
        Event::Online(record) => Some(record.handle),
        _ => None,
    }
}

/// A busy machine may be late with single ones, so that one of several tries is in time is enough.
#[tokio::test]
async fn a_killed_server_is_offline_within_the_grace_and_a_hundred_milliseconds() {
    const TRIES: usize = 20;
    let grace = fast_nameserver().session_grace;
    let mesh = Mesh::start().await;
    let (watcher, mut inbox) = mesh.agent().await.register("app.test.watcher/1").await.unwrap();
    watcher.watch("app.test.server").unwrap();
    let mut late = Vec::new();
    while late.len() < TRIES {
        let mut node = Node::start(NODE, &["echo", &mesh.address().to_string(), SERVER]);
        node.says().await;
        let handle = next_event(&mut inbox, online).await;
        let killed = Instant::now();
        node.kill().await;
        next_event(&mut inbox, offline_of(handle)).await;
        let noticed = killed.elapsed();
        assert!(noticed >= grace - Duration::from_millis(50), "no grace was given: {noticed:?}");
        if noticed <= grace + Duration::from_millis(100) {
            return;
        }
        late.push(noticed);
    }
    panic!("noticed after {late:?}");
}

#[tokio::test]
async fn a_restarted_server_takes_its_url_over_at_once_and_the_old_handle_is_refused() {
    // Nobody knows yet that the first is gone.
    let mesh = Mesh::forgiving().await;
    let nameserver = mesh.address().to_string();
    let agent = mesh.agent().await;
    let (client, mut inbox) = agent.register("app.test.client/1").await.unwrap();
    client.watch("app.test.server").unwrap();
    let mut node = Node::start(NODE, &["echo", &nameserver, SERVER]);
    node.says().await;
    let old = next_event(&mut inbox, online).await;
    client.send(SERVER, b"to the first").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), &b"to the first"[..]);

    node.kill().await;
    let mut node = Node::start(NODE, &["echo", &nameserver, SERVER]);
    let new = Handle::new(node.says().await["handle"].as_u64().unwrap()).unwrap();
    next_event(&mut inbox, offline_of(old)).await;
    assert_eq!(next_event(&mut inbox, online).await, new);

    client.send(SERVER, b"to the second").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), &b"to the second"[..]);
    let refused = client.send(old, b"to the dead").await.unwrap_err();
    assert_eq!(refused, SendError::UnknownHandle(old));
    drop(node);
}

/// A sender that has not heard yet that the instance is gone: the receiver refuses, and says so.
#[tokio::test]
async fn a_message_for_an_old_handle_is_refused_by_the_process_that_had_it() {
    let mesh = Mesh::start().await;
    let servers = mesh.agent().await;
    let (server, mut inbox) = servers.register(SERVER).await.unwrap();
    let source = info("app.test.client", 1, 99);
    let mut sender = raw_peer(servers.address(), 9, source.clone()).await;
    let old = server.handle();
    sender.send(message(source.clone(), old, "while it is there")).await;
    assert_eq!(next_message(&mut inbox).await.payload(), "while it is there");
    server.unregister().await.unwrap();
    let (again, mut inbox) = servers.register(SERVER).await.unwrap();
    sender.send(message(source.clone(), old, "for the dead")).await;
    let refused = sender.hears(|body| match body {
        Body::Refused(said) => Some(said),
        _ => None,
    });
    let refused = refused.await;
    assert_eq!(refused.reason(), RefusalReason::UnknownHandle);
    let (to, from) = (refused.destination, refused.source);
    assert_eq!((to, from, refused.messages), (old.get(), source.handle, 1));
    assert_eq!(servers.counters().refused_unknown_handle.get(), 1);
    sender.send(message(source, again.handle(), "for the new one")).await;
    assert_eq!(next_message(&mut inbox).await.payload(), "for the new one");
}

#[tokio::test]
async fn a_process_that_is_only_paused_comes_back_with_the_same_handle() {
    let mesh = Mesh::hasty().await;
    let (client, mut inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    client.watch("app.test.server").unwrap();
    let mut node = Node::start(NODE, &["echo", &mesh.address().to_string(), SERVER]);
    node.says().await;
    let handle = next_event(&mut inbox, online).await;
    node.signal("STOP").await;
    next_event(&mut inbox, offline_of(handle)).await;
    node.signal("CONT").await;
    assert_eq!(next_event(&mut inbox, online).await, handle);
    client.send(SERVER, b"welcome back").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), &b"welcome back"[..]);
}

#[tokio::test]
async fn a_terminated_process_drains_says_goodbye_and_ends_well() {
    // A goodbye needs no grace.
    let mesh = Mesh::forgiving().await;
    let nameserver = mesh.address().to_string();
    let (client, mut inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    client.watch("app.test.server").unwrap();
    let mut node = Node::start(NODE, &["serve_until_signal", &nameserver, SERVER]);
    node.says().await;
    let handle = next_event(&mut inbox, online).await;
    for _ in 0..1000 {
        client.send(SERVER, [1; 64]).await.unwrap();
    }
    node.signal("TERM").await;
    next_event(&mut inbox, offline_of(handle)).await;
    assert_eq!(node.says().await["received"], 1000);
    assert!(node.ends_well().await);
}
