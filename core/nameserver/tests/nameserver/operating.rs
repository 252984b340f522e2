//! What operators do through the handle, and what the store keeps of it.

use std::sync::Arc;
use std::time::Duration;

use skymesh_nameserver::{Nameserver, OperatorError};
use skymesh_naming::KickTarget;
use skymesh_proto as proto;
use skymesh_proto::InstanceState::{Draining, Offline};
use skymesh_proto::msg::Body;
use skymesh_store::MemoryStore;
use skymesh_types::{AttributeChange, ServiceUrl};

use crate::client::{Client, config, serve, soon, start};

fn url() -> ServiceUrl {
    "app.env.room/1".parse().unwrap()
}

fn set(key: &str, value: u64) -> AttributeChange {
    AttributeChange { set: [(key.to_owned(), value.into())].into(), unset: Vec::new() }
}

#[tokio::test]
async fn a_kicked_instance_is_told_and_stays_away() {
    let server = start(config()).await;
    let mut watcher = Client::agent(&server, 9).await;
    watcher.snapshot("app.env.room").await;
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    server.handle.drain(url()).await.unwrap();
    watcher.sees(Draining, &[11]).await;
    server.handle.kick(KickTarget::Url(url()), "maintenance").await.unwrap();
    let Body::KickOffInstance(kicked) = agent.next().await else { panic!("kicked") };
    assert_eq!((kicked.handle, kicked.reason.as_str()), (11, "maintenance"));
    watcher.sees(Offline, &[11]).await;
    assert_eq!(agent.register("app.env.room/1", 11).await.result, -2006);
    let again = server.handle.kick(KickTarget::Url(url()), "again").await;
    assert!(matches!(again, Err(OperatorError::Refused(_))), "{again:?}");
}

#[tokio::test]
async fn overrides_outlive_the_nameserver_as_far_as_the_store_does() {
    let store = Arc::new(MemoryStore::new());
    let first = serve(Nameserver::bind_with_store(config(), store.clone()).await.unwrap());
    first.handle.override_attributes(url(), set("load", 9), None).await.unwrap();
    let expired = Some(Duration::ZERO);
    first.handle.override_attributes(url(), set("gone", 1), expired).await.unwrap();
    let large = set(&"k".repeat(200), 1);
    let refused = first.handle.override_attributes(url(), large, None).await.unwrap_err();
    assert!(refused.to_string().contains("1 to 128"), "{refused}");
    first.handle.stop();
    soon("stop", first.running).await.unwrap();
    let stopped = first.handle.drain(url()).await.unwrap_err();
    assert!(matches!(stopped, OperatorError::Stopped));

    let second = serve(Nameserver::bind_with_store(config(), store).await.unwrap());
    assert_ne!(first.handle.registry(), second.handle.registry());
    let mut agent = Client::agent(&second, 1).await;
    agent.register("app.env.room/1", 11).await;
    let snapshot = agent.snapshot("app.env.room").await;
    assert_eq!(snapshot.instances[0].attributes, "{\"load\":9}");
    let none = AttributeChange { set: Default::default(), unset: vec!["load".to_owned()] };
    second.handle.override_attributes(url(), none, None).await.unwrap();
    assert_eq!(agent.delta().await.changes[0].attributes, "");
}

#[tokio::test]
async fn a_kicked_session_is_closed() {
    let server = start(config()).await;
    let mut agent = Client::dial(&server).await;
    let session = agent.introduce(1, 0).await.session;
    agent.send(proto::KeepAlive::default()).await;
    let target = KickTarget::Session(skymesh_types::SessionId::new(session).unwrap());
    server.handle.kick(target, "bye").await.unwrap();
    assert!(agent.last_word().await.unwrap().contains("an operator kicked the session off"));
    assert_eq!(server.handle.counters().sessions_kicked.get(), 1);
}

#[tokio::test]
async fn expired_overrides_leave_the_store() {
    use skymesh_store::{Store, Table};
    let store = Arc::new(MemoryStore::new());
    let server = serve(Nameserver::bind_with_store(config(), store.clone()).await.unwrap());
    let moment = Some(Duration::ZERO);
    server.handle.override_attributes(url(), set("gone", 1), moment).await.unwrap();
    assert_eq!(store.read(Table::Overrides).await.unwrap().len(), 1);
    let other = "app.env.room/2".parse().unwrap();
    server.handle.override_attributes(other, set("gone", 1), moment).await.unwrap();
    let kept = store.read(Table::Overrides).await.unwrap();
    assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["app.env.room/2"], "with the next one");
    server.handle.stop();
    soon("stop", server.running).await.unwrap();
    serve(Nameserver::bind_with_store(config(), store.clone()).await.unwrap());
    assert_eq!(store.read(Table::Overrides).await.unwrap().len(), 0, "at the next start");
}
