//! A nameserver starts again on the folder of an earlier one.

use std::path::Path;
use std::time::Duration;

use skymesh_nameserver::{BindError, Nameserver, NameserverConfig, StoreConfig};
use skymesh_proto as proto;
use skymesh_proto::InstanceState::{Draining, Offline, Online, Suspect};
use skymesh_types::AttributeChange;

use crate::client::{Client, Server, brief, config, registration, serve, soon, start, until};

const ROOM: &str = "app.env.room";

fn on(folder: &Path) -> NameserverConfig {
    let lease = Duration::from_secs(1);
    NameserverConfig { store: StoreConfig::file(folder), lease, recovery: None, ..config() }
}

/// Waits until the store has as many changes of registrations as that.
async fn saved(server: &Server, changes: u64) {
    until("saved", || server.handle.counters().registrations_saved.get() >= changes).await;
}

/// As a crash: nothing is finished, nobody is told. Then the folder is free.
async fn crash(server: Server) {
    server.running.abort();
    assert!(soon("gone", server.running).await.unwrap_err().is_cancelled());
    drop(server.handle);
}

/// Starts again; the store of the earlier life may need a moment to give the folder free.
async fn start_again(folder: &Path) -> Server {
    start_when_free(|| on(folder)).await
}

async fn start_when_free(config: impl Fn() -> NameserverConfig) -> Server {
    soon("the folder is free", async {
        loop {
            match Nameserver::bind(config()).await {
                Ok(nameserver) => return serve(nameserver),
                Err(BindError::Folder(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// Registers an instance with all that can be said of it.
async fn register_in_full(agent: &mut Client, url: &str, handle: u64) {
    let said = proto::RegisterInstance {
        declared: r#"{"a":1,"b":1}"#.into(),
        runtime: r#"{"b":2}"#.into(),
        weight: 7,
        ..registration(handle, url, handle)
    };
    agent.send(said).await;
    let proto::msg::Body::RegisterInstanceReply(reply) = agent.next().await else { panic!() };
    assert_eq!(reply.result, 0, "{reply:?}");
}

#[tokio::test]
async fn watchers_are_told_at_once_of_instances_whose_agents_are_not_back_yet() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(on(folder.path())).await;
    let mut agent = Client::agent(&first, 1).await;
    register_in_full(&mut agent, "app.env.room/1", 11).await;
    agent.register("app.env.room/2", 12).await;
    first.handle.drain("app.env.room/2".parse().unwrap()).await.unwrap();
    saved(&first, 2).await;
    crash(first).await;

    let second = start_again(folder.path()).await;
    let mut watcher = Client::agent(&second, 9).await;
    let snapshot = watcher.snapshot(ROOM).await;
    assert!(snapshot.recovering, "more may come");
    assert_eq!(brief(&snapshot.instances), [(11, Suspect), (12, Draining)]);
    let one = &snapshot.instances[0];
    assert_eq!(one.attributes, r#"{"a":1,"b":2}"#);
    assert_eq!((one.weight, one.server_address.as_str(), one.agent), (7, "127.0.0.1:1", 1));
    assert_eq!((one.protocol, one.codecs.as_slice()), (2, &["protobuf".to_owned()][..]));

    // The agent is back: with the handle that it had, the instance goes on.
    let mut agent = Client::agent(&second, 1).await;
    register_in_full(&mut agent, "app.env.room/1", 11).await;
    watcher.sees(Online, &[11]).await;
    // What it does not register again goes when a lease has passed, and not before.
    let complete = loop {
        agent.send(proto::KeepAlive::default()).await;
        let proto::msg::Body::KeepAliveReply(_) = agent.next().await else { panic!() };
        watcher.send(proto::KeepAlive::default()).await;
        match watcher.next().await {
            proto::msg::Body::KeepAliveReply(_) => {}
            proto::msg::Body::WatchSnapshot(complete) => break complete,
            proto::msg::Body::WatchDelta(delta) => {
                panic!("nobody is offline before a full lease: {delta:?}")
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(!complete.recovering);
    loop {
        match watcher.next().await {
            proto::msg::Body::KeepAliveReply(_) => {}
            proto::msg::Body::WatchDelta(delta) => {
                assert_eq!(brief(&delta.changes), [(12, Offline)]);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_left_before_the_restart_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(on(folder.path())).await;
    let mut agent = Client::agent(&first, 1).await;
    agent.register("app.env.room/1", 11).await;
    agent.register("app.env.room/2", 12).await;
    saved(&first, 2).await;
    agent.send(proto::UnregisterInstance { request: 1, handle: 11 }).await;
    agent.request_reply().await;
    // A graceful stop writes what is left.
    first.handle.stop();
    soon("stop", first.running).await.unwrap();
    drop(first.handle);

    let second = start_again(folder.path()).await;
    let mut watcher = Client::agent(&second, 9).await;
    assert_eq!(brief(&watcher.snapshot(ROOM).await.instances), [(12, Suspect)]);
    // A new process takes the URL at once.
    let mut successor = Client::agent(&second, 2).await;
    assert_eq!(successor.register("app.env.room/2", 22).await.result, 0);
    watcher.sees(Online, &[22]).await;
}

#[tokio::test]
async fn overrides_are_back_and_lie_over_what_is_recalled() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(on(folder.path())).await;
    let mut agent = Client::agent(&first, 1).await;
    register_in_full(&mut agent, "app.env.room/1", 11).await;
    saved(&first, 1).await;
    let set = [("a".to_owned(), 99.into())].into();
    let change = AttributeChange { set, unset: Vec::new() };
    let url = "app.env.room/1".parse().unwrap();
    first.handle.override_attributes(url, change, None).await.unwrap();
    crash(first).await;

    let second = start_again(folder.path()).await;
    let mut watcher = Client::agent(&second, 9).await;
    let snapshot = watcher.snapshot(ROOM).await;
    assert_eq!(snapshot.instances[0].attributes, r#"{"a":99,"b":2}"#);
}

#[tokio::test]
async fn thousands_of_registrations_are_written_behind() {
    let folder = tempfile::tempdir().unwrap();
    // Longer than all of this takes: a lease that ends is a change as well.
    let lease = Duration::from_secs(60);
    let patient = || NameserverConfig { lease, ..on(folder.path()) };
    let first = start(patient()).await;
    let mut agent = Client::agent(&first, 1).await;
    let count = 3000;
    for n in 1..=count {
        agent.ask_register(n, &format!("app.env.room/{n}"), n).await;
    }
    for _ in 0..count {
        agent.next().await;
    }
    saved(&first, count).await;
    crash(first).await;
    let second = start_when_free(patient).await;
    let mut watcher = Client::agent(&second, 9).await;
    assert_eq!(watcher.snapshot(ROOM).await.instances.len(), 3000);
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_the_port_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(on(folder.path())).await;
    let error = Nameserver::bind(on(folder.path())).await.unwrap_err().to_string();
    assert!(error.contains("is in use by another nameserver (process "), "{error}");
    assert!(error.ends_with("(nameserver.store.path)"), "{error}");
    crash(first).await;
}

#[tokio::test]
async fn a_kept_registration_that_can_not_be_read_stops_nothing() {
    use skymesh_store::{FileStore, Store, Table, Write};
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let write = |key: &str, value: &str| Write {
        table: Table::Registrations,
        key: key.to_owned(),
        value: Some(value.as_bytes().to_vec()),
    };
    let no_url = r#"{"url":"x","address":"h:1","protocol":2,"weight":1}"#;
    store.commit(vec![write("1", "{"), write("none", "{}"), write("2", no_url)]).await.unwrap();
    drop(store);
    let server = start(on(folder.path())).await;
    crash(server).await;
    let server = start_again(folder.path()).await;
    crash(server).await;
    let store = loop {
        match FileStore::open(folder.path()) {
            Ok(store) => break store,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(store.read(Table::Registrations).await.unwrap(), Default::default());
}
