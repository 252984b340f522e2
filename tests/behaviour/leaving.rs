//! Who leaves the mesh, and is called off half way: it is gone all the same.

use std::future::Future;
use std::pin::pin;

use futures_util::poll;
use skymesh_agent::{Event, Inbox};
use skymesh_tests::{Mesh, SOON, next_event, within};

const LEAVER: &str = "app.test.leaver/1";

/// Begins with it, and drops it before it can be done.
async fn half(leaving: impl Future) {
    assert!(poll!(pin!(leaving)).is_pending());
}

async fn sees_it_leave(inbox: &mut Inbox) {
    let leaves = |event: &Event| match event {
        Event::Offline { record, .. } => (record.url.to_string() == LEAVER).then_some(()),
        _ => None,
    };
    within(SOON, next_event(inbox, leaves)).await;
}

#[tokio::test]
async fn an_instance_whose_unregistering_is_dropped_leaves() {
    let mesh = Mesh::start().await;
    let (other, mut inbox) = mesh.agent().await.register("app.test.other/1").await.unwrap();
    let _router = other.watch("app.test.leaver").unwrap();
    let agent = mesh.agent().await;
    let (leaver, _inbox) = agent.register(LEAVER).await.unwrap();
    // Nobody has read it yet, so leaving waits until it has arrived.
    leaver.send("app.test.other/1", "the last word").await.unwrap();
    half(leaver.unregister()).await;
    sees_it_leave(&mut inbox).await;
}

#[tokio::test]
async fn an_agent_whose_shutdown_is_dropped_stops() {
    let mesh = Mesh::start().await;
    let (other, mut inbox) = mesh.agent().await.register("app.test.other/1").await.unwrap();
    let _router = other.watch("app.test.leaver").unwrap();
    let agent = mesh.agent().await;
    let (_leaver, _inbox) = agent.register(LEAVER).await.unwrap();
    half(agent.shutdown()).await;
    sees_it_leave(&mut inbox).await;
}
