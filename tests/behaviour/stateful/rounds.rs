//! Rounds of agreement, as those who register and those who route see them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skymesh_agent::{RegisterError, Resolve};
use skymesh_nameserver::{NameserverConfig, StoreConfig};
use skymesh_proto::ListServices;
use skymesh_proto::msg::Body;
use skymesh_tests::keyed::{Log, Sent};
use skymesh_tests::raw::{asked_to_prepare, prepared, raw_peer, raw_watcher};
use skymesh_tests::v1::info;
use skymesh_tests::{
    Mesh, SOON, agent_at, fast_nameserver, hasty_nameserver, next_message, within,
};
use skymesh_types::{Key, Share};
use skymesh_wire::{KeyTrailer, Kind};

use super::crowd::Crowd;
use super::{SERVICE, shard};

const KEYS: u64 = 40;

async fn voter(mesh: &Mesh) -> skymesh_tests::v1::V1Socket {
    raw_watcher(&mesh.address().to_string(), 7, SERVICE).await
}

/// How many instances the nameserver lists.
async fn listed(socket: &mut skymesh_tests::v1::V1Socket) -> usize {
    socket.send(ListServices::default()).await;
    let listed = |body| match body {
        Body::ListServicesReply(said) => Some(said.instances.len()),
        _ => None,
    };
    socket.hears(listed).await
}

#[tokio::test]
async fn several_registrants_share_a_round() {
    let mesh = Mesh::patient_rounds().await;
    let mut voter = voter(&mesh).await;
    let log = Arc::new(Log::default());
    let mut joining = tokio::task::JoinSet::new();
    let agent = mesh.agent().await;
    let mut register = |number: u64| {
        let (agent, log) = (agent.clone(), Arc::clone(&log));
        joining.spawn(async move { log.serve(&agent, &shard(number), number).await });
    };
    register(1);
    let first = asked_to_prepare(&mut voter).await;
    assert_eq!(first.joining.len(), 1);
    for number in 2..=5 {
        register(number);
    }
    // They have to be known before the first round ends; operators see the pending ones.
    within(SOON, async { while listed(&mut voter).await < 5 {} }).await;
    prepared(&mut voter, &first).await;
    let mut joined = 0;
    while joined < 4 {
        let next = asked_to_prepare(&mut voter).await;
        joined += next.joining.len();
        prepared(&mut voter, &next).await;
    }
    assert_eq!(within(SOON, joining.join_all()).await.len(), 5);
}

#[tokio::test]
async fn a_router_that_is_killed_in_mid_round_is_not_waited_for() {
    let mesh = Mesh::patient_rounds().await;
    let log = Arc::new(Log::default());
    let server = mesh.agent().await;
    let _first = log.serve(&server, &shard(1), 1).await;
    let mut crowd = Crowd::gather(&mesh, 0, 1, KEYS).await;
    let (_, dying) = crowd.nodes.pop().unwrap();
    let mut voter = voter(&mesh).await;
    dying.signal("STOP").await;
    let registering = tokio::spawn({
        let (server, log) = (server.clone(), Arc::clone(&log));
        async move { log.serve(&server, &shard(2), 2).await }
    });
    let asked = asked_to_prepare(&mut voter).await;
    prepared(&mut voter, &asked).await;
    // The stopped one can't say anything, and time alone would take a minute.
    dying.kill().await;
    within(SOON, registering).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_is_only_slow_is_left_out_and_misroutes_nothing_when_it_is_back() {
    let round = Duration::from_millis(300);
    // Its session outlives its sleep.
    let mesh = Mesh::start_with(NameserverConfig { round, ..fast_nameserver() }).await;
    let log = Arc::new(Log::default());
    let server = mesh.agent().await;
    let mut servers = vec![log.serve(&server, &shard(1), 1).await];
    let crowd = Crowd::gather(&mesh, 1, 1, KEYS).await;
    log.reaches(1_000).await;
    crowd.nodes[0].1.signal("STOP").await;
    let started = Instant::now();
    for number in [2, 3] {
        servers.push(within(SOON, log.serve(&server, &shard(number), number)).await);
    }
    assert!(started.elapsed() >= round, "it was waited for");
    // The awake one goes on by the new placement.
    log.reaches(log.len() + 1_000).await;
    crowd.nodes[0].1.signal("CONT").await;
    log.reaches(log.len() + 1_000).await;
    crowd.finish(&log).await;
    assert_eq!(log.by_instance().len(), 3);
}

#[tokio::test]
async fn a_registrant_that_gives_up_frees_the_round_at_once() {
    let mesh = Mesh::patient_rounds().await;
    let mut voter = voter(&mesh).await;
    let server = mesh.agent().await;
    let registering = tokio::spawn({
        let server = server.clone();
        async move { server.register(shard(1).as_str()).stateful(1).await.map(drop) }
    });
    let asked = asked_to_prepare(&mut voter).await;
    registering.abort();
    let ended = voter.hears(|body| match body {
        Body::PlacementRoundEnded(said) => Some((said.round, said.epoch)),
        other => panic!("{other:?} before the end of the round"),
    });
    assert_eq!(ended.await, (asked.round, 0), "nothing came of it");
    // The same URL again, at once.
    let log = Arc::new(Log::default());
    let again = tokio::spawn(async move { log.serve(&server, &shard(1), 1).await });
    let asked = asked_to_prepare(&mut voter).await;
    prepared(&mut voter, &asked).await;
    within(SOON, again).await.unwrap();
}

#[tokio::test]
async fn a_share_of_zero_is_refused_by_name() {
    let mesh = Mesh::start().await;
    let server = mesh.agent().await;
    let refused = server.register(shard(1).as_str()).stateful(0).await.unwrap_err();
    assert_eq!(refused, RegisterError::NoShare { url: shard(1).parse().unwrap() });
}

#[tokio::test]
async fn explicit_shares_own_the_keys_that_they_say() {
    let mesh = Mesh::start().await;
    let log = Arc::new(Log::default());
    let server = mesh.agent().await;
    let mut servers = Vec::new();
    for (number, bound) in [(1, 999), (2, 1999)] {
        servers.push(log.serve(&server, &shard(number), Share::up_to(bound)).await);
    }
    let agent = mesh.agent().await;
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let router = agent.router(SERVICE).unwrap();
    let two = |known: &Resolve| known.members().len() == 2;
    router.wait_until(SOON, two).await.unwrap();
    let owners = [(0, 1), (999, 1), (1000, 2), (1999, 2), (2000, 1)];
    for (key, owner) in owners {
        client.send(router.key(key), Sent { client: 1, key, number: 0 }.to_bytes()).await.unwrap();
        assert_eq!(router.select(Some(Key::from(key))).unwrap().url.instance.get(), owner);
    }
    log.reaches(owners.len()).await;
    for (key, owner) in owners {
        assert_eq!(log.owners(key), [owner], "key {key}");
    }
}

#[tokio::test]
async fn a_message_of_another_epoch_comes_back_whole() {
    use skymesh_proto::{Info, Message};

    let mesh = Mesh::start().await;
    let server = mesh.agent().await;
    let (instance, mut inbox) = server.register(shard(1).as_str()).stateful(1).await.unwrap();
    let source = info("app.test.peer", 1, 99);
    let mut peer = raw_peer(server.address(), 9, source.clone()).await;
    let message = |destination: u64, epoch: u64, correlation: u64| Message {
        source: Some(source.clone()),
        destination,
        payload: "payload".into(),
        kind: Kind::NOTIFY.keyed().0.into(),
        correlation,
        flags: 7,
        epoch,
        metadata: [b"metadata", &KeyTrailer { key: 5, epoch, tag: 3 }.to_bytes()[..]]
            .concat()
            .into(),
    };
    let bounced = |body| match body {
        Body::Bounced(said) => Some(said),
        _ => None,
    };
    // Of an epoch that is past.
    let handle = instance.handle().get();
    peer.send(message(handle, 1, 4)).await;
    let back = peer.hears(bounced).await;
    let anonymous = Info { handle: 99, ..Info::default() };
    let same = |number, epoch, correlation| {
        let message = message(number, epoch, correlation);
        Message { source: Some(anonymous.clone()), ..message }
    };
    assert_eq!(back.message, Some(same(handle, 1, 4)));
    assert!(back.known > 1);
    // For an incarnation that is not there.
    peer.send(message(77, back.known, 5)).await;
    let gone = peer.hears(bounced).await;
    assert_eq!((gone.known, gone.message), (0, Some(same(77, back.known, 5))));
    // Of an epoch that never comes.
    peer.send(message(handle, u64::MAX, 6)).await;
    let ahead = peer.hears(bounced).await;
    assert_eq!((ahead.known, ahead.message), (back.known, Some(same(handle, u64::MAX, 6))));
    // Of the right one.
    peer.send(message(handle, back.known, 8)).await;
    let heard = next_message(&mut inbox).await;
    assert_eq!(
        (heard.payload(), heard.metadata()),
        (&b"payload"[..].into(), &b"metadata"[..].into())
    );
    let rest = (heard.kind(), heard.flags(), heard.correlation(), heard.epoch());
    assert_eq!(rest, (Kind::NOTIFY.0, 7, 8, back.known));
    assert_eq!(server.counters().keyed_turned_back.get(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_grow_on_across_a_restart_of_the_nameserver_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let config = |listen: String| NameserverConfig {
        listen,
        store: StoreConfig::file(folder.path()),
        recovery: Some(Duration::from_secs(1)),
        ..hasty_nameserver()
    };
    let mesh = Mesh::start_with(config("127.0.0.1:0".to_owned())).await;
    let address = mesh.address().to_string();
    let log = Arc::new(Log::default());
    let server = agent_at(&address).await;
    let mut servers = vec![log.serve(&server, &shard(1), 1).await];
    let crowd = Crowd::gather(&mesh, 2, 0, KEYS).await;
    log.reaches(1_000).await;
    let before = log.newest_epoch();
    mesh.stop().await;
    let mesh = Mesh::start_with(config(address.clone())).await;
    log.reaches(log.len() + 1_000).await;
    // Agreed on by the second life.
    servers.push(within(SOON, log.serve(&server, &shard(2), 2)).await);
    log.reaches(log.len() + 1_000).await;
    crowd.finish(&log).await;
    assert!(log.newest_epoch() > before, "epochs begin anew");
    assert_eq!(log.by_instance().len(), 2);
    drop(mesh);
}
