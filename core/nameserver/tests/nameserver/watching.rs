//! Watches: snapshots, deltas, resuming, slow readers.

use std::time::Duration;

use skymesh_nameserver::NameserverConfig;
use skymesh_proto as proto;
use skymesh_proto::InstanceState::{Offline, Online};
use skymesh_proto::msg::Body;

use crate::client::{Client, brief, config, crowd, start, until};

const ROOM: &str = "app.env.room";

fn attributes(request: u64, handle: u64, set: &str, unset: &[&str]) -> proto::ChangeAttributes {
    let unset = unset.iter().map(|key| (*key).to_owned()).collect();
    proto::ChangeAttributes { request, handle, set: set.to_owned().into(), unset }
}

#[tokio::test]
async fn a_record_arrives_with_all_that_was_registered() {
    let server = start(config()).await;
    let mut agent = Client::agent(&server, 1).await;
    let mut registration = crate::client::registration(1, "app.env.room/3", 11);
    registration.weight = 7;
    registration.options = Some(proto::Options { consistent_hash_key: 500 });
    registration.declared = "{\"zone\":\"x\"}".into();
    registration.runtime = "{\"load\":1}".into();
    agent.send(registration).await;
    let Body::RegisterInstanceReply(reply) = agent.next().await else { panic!("a reply") };
    let mut watcher = Client::agent(&server, 9).await;
    let snapshot = watcher.snapshot(ROOM).await;
    assert_eq!((snapshot.revision, snapshot.recovering), (reply.revision, false));
    let expected = proto::Instance {
        info: Some(proto::Info { service_name: ROOM.to_owned(), instance: 3, handle: 11 }),
        options: Some(proto::Options { consistent_hash_key: 500 }),
        server_address: "127.0.0.1:1".to_owned(),
        state: Online.into(),
        attributes: "{\"load\":1,\"zone\":\"x\"}".into(),
        weight: 7,
        revision: reply.revision,
        protocol: 2,
        codecs: vec!["protobuf".to_owned()],
        agent: 1,
    };
    assert_eq!(snapshot.instances, [expected]);
}

#[tokio::test]
async fn attributes_change_for_the_setter_and_the_watchers() {
    let server = start(config()).await;
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    agent.send(attributes(2, 11, "{\"load\":1}", &[])).await;
    let set = agent.request_reply().await;
    assert_eq!((set.request, set.result), (2, 0));
    let mut watcher = Client::agent(&server, 9).await;
    let snapshot = watcher.snapshot(ROOM).await;
    assert_eq!(snapshot.instances[0].attributes, "{\"load\":1}");
    assert_eq!(snapshot.revision, set.revision, "the setter's revision has the change");
    agent.send(attributes(3, 11, "", &["load"])).await;
    let delta = watcher.delta().await;
    assert_eq!(delta.previous, set.revision);
    assert_eq!(delta.changes[0].attributes, "");
    assert_eq!(agent.request_reply().await.request, 3);
    for (set, expected) in [("[1]", "must be a JSON object"), ("{\"\":1}", "ATTRIBUTE_KEY_BYTES")] {
        agent.send(attributes(4, 11, set, &[])).await;
        let refused = agent.request_reply().await;
        assert!(refused.result < 0 && refused.reason.contains(expected), "{refused:?}");
    }
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed() {
    let server = start(config()).await;
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    agent.register("app.env.room/2", 12).await;
    let mut watcher = Client::agent(&server, 9).await;
    let known = watcher.snapshot(ROOM).await;
    drop(watcher);
    agent.send(proto::UnregisterInstance { request: 3, handle: 11 }).await;
    agent.request_reply().await;

    let mut watcher = Client::agent(&server, 9).await;
    watcher.watch(ROOM, known.registry, known.revision).await;
    let missed = watcher.delta().await;
    assert_eq!((missed.previous, brief(&missed.changes)), (known.revision, vec![(11, Offline)]));
    watcher.watch(ROOM, known.registry, missed.revision).await;
    let nothing = watcher.delta().await;
    assert_eq!((nothing.previous, nothing.revision), (missed.revision, missed.revision));
    watcher.watch(ROOM, known.registry ^ 1, missed.revision).await;
    assert_eq!(brief(&watcher.next_snapshot().await.instances), [(12, Online)]);
}

#[tokio::test]
async fn an_unwatched_name_is_silent() {
    let server = start(config()).await;
    let mut watcher = Client::agent(&server, 9).await;
    watcher.snapshot(ROOM).await;
    watcher.send(proto::Unwatch { service_name: ROOM.to_owned() }).await;
    watcher.send(proto::KeepAlive { seq: 1 }).await;
    let Body::KeepAliveReply(_) = watcher.next().await else { panic!("a reply") };
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    watcher.send(proto::KeepAlive { seq: 2 }).await;
    let Body::KeepAliveReply(_) = watcher.next().await else { panic!("no delta comes first") };
}

#[tokio::test]
async fn a_foreign_app_is_refused_with_its_name() {
    let server = start(config()).await;
    let mut agent = Client::agent(&server, 1).await;
    let refused = agent.register("other.env.room/1", 11).await;
    assert_eq!(refused.result, -2000);
    assert!(refused.reason.contains("`other.env.room` is not in app `app`"), "{}", refused.reason);
    agent.watch("other.env.room", 0, 0).await;
    let Body::WatchRefused(refused) = agent.next().await else { panic!("refused") };
    assert_eq!((refused.service_name.as_str(), refused.result), ("other.env.room", -2000));
}

/// Attributes that fill a queue fast.
fn bulk(at: u64) -> String {
    format!("{{\"at\":{at},\"bulk\":\"{}\"}}", "x".repeat(60_000))
}

#[tokio::test]
async fn a_slow_watcher_gets_a_snapshot_instead_of_everything_and_slows_nobody() {
    let mut config = NameserverConfig { coalesce: Duration::ZERO, ..config() };
    config.limits.outbox_bytes = 64 * 1024;
    let server = start(config).await;
    let (mut slow, mut quick) = (Client::agent(&server, 8).await, Client::agent(&server, 9).await);
    slow.snapshot(ROOM).await;
    quick.snapshot(ROOM).await;
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    quick.sees(Online, &[11]).await;
    let mut at = 0;
    while server.handle.counters().watchers_lagged.get() == 0 {
        at += 1;
        agent.send(attributes(at, 11, &bulk(at), &[])).await;
        agent.request_reply().await;
        assert_eq!(quick.delta().await.changes[0].attributes, bulk(at));
    }
    // What was queued for it comes first, as a chain; then the snapshot; then deltas follow that.
    let mut last = 0;
    let snapshot = loop {
        match slow.next().await {
            Body::WatchDelta(delta) => {
                assert_eq!(delta.previous, last);
                last = delta.revision;
            }
            Body::WatchSnapshot(snapshot) => break snapshot,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(snapshot.instances[0].attributes, bulk(at), "the newest, and nothing between");
    agent.send(attributes(0, 11, "{}", &["bulk"])).await;
    assert_eq!(slow.delta().await.previous, snapshot.revision);
}

#[tokio::test]
async fn a_slow_router_is_asked_to_prepare_after_its_snapshot() {
    let mut config = NameserverConfig { coalesce: Duration::ZERO, ..config() };
    config.limits.outbox_bytes = 64 * 1024;
    let server = start(config).await;
    let mut slow = Client::agent(&server, 8).await;
    slow.snapshot(ROOM).await;
    slow.snapshot("app.env.hall").await;
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    let mut at = 0;
    while server.handle.counters().watchers_lagged.get() == 0 {
        at += 1;
        agent.send(attributes(at, 11, &bulk(at), &[])).await;
        agent.request_reply().await;
    }
    let mut registration = crate::client::registration(1, "app.env.hall/1", 12);
    registration.options = Some(proto::Options { consistent_hash_key: 500 });
    agent.send(registration).await;
    // Replies have a share of the queue of their own, so the question would overtake the rest.
    until("left out", || server.handle.counters().watchers_lagged.get() == 2).await;
    loop {
        match slow.next().await {
            Body::WatchSnapshot(snapshot) if snapshot.service_name == "app.env.hall" => break,
            Body::WatchSnapshot(_) | Body::WatchDelta(_) => {}
            other => panic!("before the snapshot: {other:?}"),
        }
    }
}

#[tokio::test]
async fn services_are_listed_by_pattern() {
    let server = start(config()).await;
    let mut agent = Client::dial(&server).await;
    let session = agent.introduce(1, 0).await.session;
    agent.register("app.env.room/1", 11).await;
    agent.register("app.env.hall/2", 12).await;
    let mut operator = Client::dial(&server).await;
    for (pattern, expected) in [("", vec![12, 11]), ("*.*.room", vec![11]), ("x.*.*", vec![])] {
        operator.send(proto::ListServices { pattern: pattern.to_owned() }).await;
        let Body::ListServicesReply(reply) = operator.next().await else { panic!("a listing") };
        let listed = reply.instances.iter();
        let handles: Vec<u64> =
            listed.map(|i| i.instance.as_ref().unwrap().info.as_ref().unwrap().handle).collect();
        assert_eq!((handles, reply.sessions, reply.more), (expected, 1, false));
        assert!(reply.instances.iter().all(|listed| listed.session == session));
    }
    operator.send(proto::ListServices { pattern: "half*".to_owned() }).await;
    let Body::Refusal(refusal) = operator.next().await else { panic!("refused") };
    assert!(refusal.reason.contains("no service name pattern"), "{}", refusal.reason);
    until("counted", || server.handle.counters().malformed_requests.get() == 1).await;
}

/// The parts are made one after the other: none is lost or told twice, also where a service is cut.
#[tokio::test]
async fn a_large_listing_comes_whole_in_parts() {
    let server = start(config()).await;
    let mut agent = crowd(&server, 20).await;
    for url in ["app.env.hall/7", "app.env.salon/7"] {
        agent.register(url, 7 + url.len() as u64).await;
    }
    let mut operator = Client::dial(&server).await;
    operator.send(proto::ListServices::default()).await;
    let (mut urls, mut parts) = (Vec::new(), 0);
    loop {
        let Body::ListServicesReply(part) = operator.next().await else { panic!("a listing") };
        parts += 1;
        for listed in part.instances {
            let info = listed.instance.unwrap().info.unwrap();
            urls.push((info.service_name, info.instance));
        }
        if !part.more {
            break;
        }
    }
    assert!(parts >= 4, "{parts} parts");
    let rooms = (1..=20).map(|instance| ("app.env.room".to_owned(), instance));
    let mut expected = vec![("app.env.hall".to_owned(), 7)];
    expected.extend(rooms);
    expected.push(("app.env.salon".to_owned(), 7));
    assert_eq!(urls, expected);
}
