//! Who leaves the mesh: it is gone even if nobody waits for that, and who waits on it hears of it.

use std::future::Future;
use std::pin::pin;

use futures_util::{StreamExt, poll};
use skymesh_agent::{Event, Inbox, NotLeading};
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

#[tokio::test]
async fn a_watch_ends_when_its_agent_has_stopped() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (_instance, _inbox) = agent.register(LEAVER).await.unwrap();
    let router = agent.router("app.test.leaver").unwrap();
    let mut events = router.watch();
    assert!(matches!(within(SOON, events.next()).await, Some(Event::Online(_))));
    agent.shutdown().await;
    while within(SOON, events.next()).await.is_some() {}
    assert!(within(SOON, router.watch().next()).await.is_none(), "one that was opened afterwards");
}

#[tokio::test]
async fn who_waits_to_be_elected_hears_that_the_instance_is_gone() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (leaver, _inbox) = agent.register(LEAVER).await.unwrap();
    let mut elected = pin!(leaver.elected());
    assert!(poll!(elected.as_mut()).is_pending());
    leaver.unregister().await.unwrap();
    assert_eq!(within(SOON, elected).await.unwrap_err(), NotLeading::NotLeading);
}
