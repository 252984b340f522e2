//! Sessions begin, break, are resumed, fall silent and end.

use std::time::Duration;

use skymesh_proto as proto;
use skymesh_proto::InstanceState::{Draining, Offline, Online, Suspect};
use skymesh_proto::msg::Body;
use tokio::time::Instant;

use crate::client::{Client, brief, config, start};

const ROOM: &str = "app.env.room";

#[tokio::test]
async fn an_agent_is_welcomed_with_its_session_lease_and_registry() {
    let server = start(config()).await;
    let mut client = Client::dial(&server).await;
    let welcome = client.introduce(1, 0).await;
    assert_eq!((welcome.lease_ms, welcome.resumed), (6000, false));
    assert_eq!(welcome.registry, server.handle.registry().get());
    assert_ne!(welcome.session, 0);
    client.send(proto::KeepAlive { seq: 42 }).await;
    let Body::KeepAliveReply(reply) = client.next().await else { panic!("a reply") };
    assert_eq!(reply.seq, 42);
}

#[tokio::test]
async fn a_killed_process_is_suspect_at_once_and_offline_after_the_grace() {
    let grace = Duration::from_millis(300);
    let server = start(config_with_grace(grace)).await;
    let mut watcher = Client::agent(&server, 9).await;
    watcher.snapshot(ROOM).await;
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    watcher.sees(Online, &[11]).await;

    let killed = Instant::now();
    drop(agent);
    watcher.sees(Suspect, &[11]).await;
    watcher.sees(Offline, &[11]).await;
    let took = killed.elapsed();
    assert!(took >= grace, "it had its grace: {took:?}");
    assert_eq!(server.handle.counters().sessions_lost.get(), 1);
}

fn config_with_grace(session_grace: Duration) -> skymesh_nameserver::NameserverConfig {
    skymesh_nameserver::NameserverConfig { session_grace, ..config() }
}

#[tokio::test]
async fn a_restarted_process_takes_its_url_over_at_once() {
    let server = start(config_with_grace(Duration::from_secs(60))).await;
    let mut watcher = Client::agent(&server, 9).await;
    watcher.snapshot(ROOM).await;
    let mut old = Client::agent(&server, 1).await;
    old.register("app.env.room/1", 11).await;
    watcher.sees(Online, &[11]).await;

    let mut early = Client::agent(&server, 2).await;
    let refused = early.register("app.env.room/1", 12).await;
    assert_eq!(refused.result, -1001);
    assert!(refused.reason.starts_with("the living agent at 127.0.0.1:1 has this URL; stop"));

    drop(old);
    watcher.sees(Suspect, &[11]).await;
    let granted = early.register("app.env.room/1", 13).await;
    assert_eq!((granted.result, granted.handle), (0, 13));
    assert_eq!(brief(&watcher.delta().await.changes), [(11, Offline), (13, Online)]);
    assert_eq!(server.handle.counters().takeovers.get(), 1);
}

#[tokio::test]
async fn a_session_is_resumed_with_its_instances() {
    let server = start(config_with_grace(Duration::from_secs(60))).await;
    let mut watcher = Client::agent(&server, 9).await;
    watcher.snapshot(ROOM).await;
    let mut agent = Client::dial(&server).await;
    let session = agent.introduce(1, 0).await.session;
    agent.register("app.env.room/1", 11).await;
    watcher.sees(Online, &[11]).await;
    drop(agent);
    watcher.sees(Suspect, &[11]).await;

    let mut again = Client::dial(&server).await;
    let welcome = again.introduce(1, session).await;
    assert_eq!((welcome.resumed, welcome.session), (true, session));
    watcher.sees(Online, &[11]).await;
    assert_eq!(again.register("app.env.room/1", 11).await.result, 0, "a replay is no collision");
}

#[tokio::test]
async fn a_resumed_session_closes_the_connection_that_it_had() {
    let server = start(config()).await;
    let mut agent = Client::dial(&server).await;
    let session = agent.introduce(1, 0).await.session;
    let mut again = Client::dial(&server).await;
    assert!(again.introduce(1, session).await.resumed);
    let word = agent.last_word().await.unwrap();
    assert!(word.contains("has connected anew"), "{word}");
}

#[tokio::test]
async fn silence_for_a_lease_ends_a_session_and_keepalives_hold_it() {
    let lease = Duration::from_secs(1);
    let server = start(skymesh_nameserver::NameserverConfig { lease, ..config() }).await;
    let mut agent = Client::agent(&server, 1).await;
    let heard = Instant::now();
    agent.register("app.env.room/1", 11).await;
    let mut watcher = Client::agent(&server, 9).await;
    assert_eq!(brief(&watcher.snapshot(ROOM).await.instances), [(11, Online)]);

    // The watcher keeps alive whenever a third of the lease has passed; the agent is silent.
    let mut seq = 0;
    let offline = loop {
        match tokio::time::timeout(lease / 3, watcher.next_frame()).await {
            Ok(frame) => {
                let body = skymesh_wire::decode_msg(frame.expect("it kept alive")).unwrap().body;
                match body.unwrap() {
                    Body::KeepAliveReply(_) => {}
                    Body::WatchDelta(delta) => break delta,
                    other => panic!("{other:?}"),
                }
            }
            Err(_) => {
                seq += 1;
                watcher.send(proto::KeepAlive { seq }).await;
            }
        }
    };
    assert_eq!(brief(&offline.changes), [(11, Offline)]);
    assert!(heard.elapsed() >= lease);
    let word = agent.last_word().await.unwrap();
    assert!(word.contains("nothing was heard for a whole lease"), "{word}");
    assert!(seq > 0);
}

#[tokio::test]
async fn goodbye_is_offline_at_once_and_drain_is_announced() {
    let server = start(config_with_grace(Duration::from_secs(60))).await;
    let mut watcher = Client::agent(&server, 9).await;
    watcher.snapshot(ROOM).await;
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    agent.send(proto::DrainInstance { request: 5, handle: 11 }).await;
    let reply = agent.request_reply().await;
    assert_eq!((reply.request, reply.result), (5, 0));
    watcher.sees(Draining, &[11]).await;
    agent.send(proto::Goodbye { reason: "done".to_owned() }).await;
    watcher.sees(Offline, &[11]).await;
    assert_eq!(agent.last_word().await, None, "a goodbye is not refused");
    assert_eq!(server.handle.counters().sessions_left.get(), 1);
}

#[tokio::test]
async fn a_stopping_nameserver_says_so_and_frees_its_port() {
    let server = start(config()).await;
    let mut agent = Client::agent(&server, 1).await;
    let local = server.handle.local_addr().to_string();
    server.handle.stop();
    assert!(agent.last_word().await.unwrap().contains("the nameserver stops"));
    crate::client::soon("stop", server.running).await.unwrap();
    let again = skymesh_nameserver::NameserverConfig { listen: local, ..config() };
    start(again).await;
}

#[tokio::test]
async fn after_a_restart_absent_is_unknown_until_a_lease_has_passed() {
    let lease = Duration::from_secs(1);
    let recovering = skymesh_nameserver::NameserverConfig { lease, recovery: None, ..config() };
    let server = start(recovering).await;
    let mut watcher = Client::agent(&server, 9).await;
    assert!(watcher.snapshot(ROOM).await.recovering);
    let complete = watcher.next_snapshot().await;
    assert!(!complete.recovering && complete.instances.is_empty());
}
