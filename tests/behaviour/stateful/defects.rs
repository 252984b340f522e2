//! The origin's defects of stateful services by their numbers in the design, each as a test that the
//! origin fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use skymesh_agent::{Resolve, SendError};
use skymesh_proto::msg::Body;
use skymesh_proto::{RegisterRouter, UnregisterService, Watch};
use skymesh_tests::keyed::{Log, Sent};
use skymesh_tests::raw::{asked_to_prepare, prepared, raw_agent, raw_watcher};
use skymesh_tests::v1::{V1Agent, V1Socket, info};
use skymesh_tests::{Mesh, SOON, within};
use skymesh_types::Key;

use super::{SERVICE, shard};

/// Which of two handles a v1 agent is told of, up to the word that `marker` is online.
async fn told_of(agent: &mut V1Socket, handle: u64, marker: u64) -> Vec<bool> {
    let mut told = Vec::new();
    loop {
        if let Body::ServicePresence(said) = agent.next().await {
            let of = said.info.map_or(0, |info| info.handle);
            if of == marker {
                return told;
            }
            if of == handle {
                told.push(said.online);
            }
        }
    }
}

#[tokio::test]
async fn defect_03_keys_are_hashed_and_divided_evenly_also_above_the_largest() {
    let mesh = Mesh::start().await;
    let log = Arc::new(Log::default());
    let server = mesh.agent().await;
    let mut servers = Vec::new();
    // The captured ones of the origin: there, 1000 owns all keys below, and index 0 all above 4000.
    for number in 1..=4 {
        servers.push(log.serve(&server, &shard(number), number * 1000).await);
    }
    let router = mesh.agent().await.router(SERVICE).unwrap();
    let four = |known: &Resolve| known.members().len() == 4;
    router.wait_until(SOON, four).await.unwrap();
    for keys in [0..1000, 1000..2000, 4001..5001, u64::MAX - 1000..u64::MAX] {
        let mut shares: BTreeMap<u64, u64> = BTreeMap::new();
        for key in keys.clone() {
            let owner = router.select(Some(Key::from(key))).unwrap().url.instance.get();
            *shares.entry(owner).or_default() += 1;
        }
        let even = shares.values().all(|count| (170..330).contains(count));
        assert!(shares.len() == 4 && even, "keys {keys:?} are divided as {shares:?}");
    }
}

#[tokio::test]
async fn defect_05_a_pending_instance_is_not_told_to_agents_that_connect_during_the_vote() {
    let mesh = Mesh::patient_rounds().await;
    let nameserver = mesh.address().to_string();
    let mut voter = raw_watcher(&nameserver, 7, SERVICE).await;
    let mut origin = V1Agent::start(&nameserver, "app").await;
    origin.ask_to_register(info(SERVICE, 1, 11), 1000).await;
    let asked = asked_to_prepare(&mut voter).await;
    // Both connect while it is undecided.
    let mut late = V1Agent::start(&nameserver, "app").await;
    let mut watcher = raw_agent(&nameserver, 8).await;
    watcher.send(Watch { service_name: SERVICE.to_owned(), ..Watch::default() }).await;
    let listed = watcher.hears(|body| match body {
        Body::WatchSnapshot(said) => Some(said.instances.len()),
        _ => None,
    });
    assert_eq!(listed.await, 0);
    let mut other = V1Agent::start(&nameserver, "app").await;
    assert_eq!(other.register("app.test.marker", 1, 99).await, 0);
    assert_eq!(told_of(&mut late.nameserver, 11, 99).await, [] as [bool; 0]);
    // Decided, all hear of it.
    let again = asked_to_prepare(&mut watcher).await;
    prepared(&mut watcher, &again).await;
    prepared(&mut voter, &asked).await;
    assert_eq!(origin.registered().await, (11, 0));
    assert_eq!(other.register("app.test.marker", 2, 98).await, 0);
    assert_eq!(told_of(&mut late.nameserver, 11, 98).await, [true]);
}

#[tokio::test]
async fn defect_06_a_stateful_service_that_is_watched_can_grow() {
    // The vote is not lost by time: the answers count.
    let mesh = Mesh::patient_rounds().await;
    let mut router = V1Agent::start(&mesh.address().to_string(), "app").await;
    router.nameserver.send(RegisterRouter { service_name: SERVICE.to_owned() }).await;
    let log = Arc::new(Log::default());
    let agent = mesh.agent().await;
    agent.router(SERVICE).unwrap().ready(SOON).await.unwrap();
    let server = mesh.agent().await;
    let mut servers = Vec::new();
    for number in 1..=3 {
        let registering = tokio::spawn({
            let (server, log) = (server.clone(), Arc::clone(&log));
            async move { log.serve(&server, &shard(number), number * 1000).await }
        });
        router
            .nameserver
            .hears(|body| matches!(body, Body::RouterUpdate(said) if said.cmd == 1).then_some(()))
            .await;
        let (result, service_name) = (2, SERVICE.to_owned());
        router.nameserver.send(skymesh_proto::RouterUpdateReply { result, service_name }).await;
        servers.push(within(SOON, registering).await.unwrap());
    }
    let three = |known: &Resolve| known.members().len() == 3;
    agent.router(SERVICE).unwrap().wait_until(SOON, three).await.unwrap();
}

#[tokio::test]
async fn defect_07_during_the_vote_keys_have_owners_and_nobody_is_in_the_way() {
    let mesh = Mesh::patient_rounds().await;
    let nameserver = mesh.address().to_string();
    let log = Arc::new(Log::default());
    let server = mesh.agent().await;
    let mut servers = vec![log.serve(&server, &shard(1), 1000).await];
    let agent = mesh.agent().await;
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let router = agent.router(SERVICE).unwrap();
    let one = |known: &Resolve| known.members().len() == 1;
    router.wait_until(SOON, one).await.unwrap();
    client.send(router.key(0), Sent { client: 1, key: 0, number: 0 }.to_bytes()).await.unwrap();
    log.reaches(1).await;
    let mut voter = raw_watcher(&nameserver, 7, SERVICE).await;
    let dead = raw_watcher(&nameserver, 8, SERVICE).await;

    // A registrant gives up, which frees the place of the next at once.
    let gives_up = tokio::spawn({
        let server = server.clone();
        async move { server.register(shard(9).as_str()).stateful(9).await.map(drop) }
    });
    asked_to_prepare(&mut voter).await;
    gives_up.abort();
    let register = |number: u64| {
        let (server, log) = (server.clone(), Arc::clone(&log));
        tokio::spawn(async move { log.serve(&server, &shard(number), number * 1000).await })
    };
    let second = register(2);
    let asked = loop {
        let asked = asked_to_prepare(&mut voter).await;
        let joins = |one: &skymesh_proto::Instance| one.info.as_ref().unwrap().instance == 2;
        if asked.joining.iter().any(joins) {
            break asked;
        }
    };
    // Another one meanwhile is not rejected, only later.
    let third = register(3);

    // The vote is open: every key is answered for, and what does not move goes on at once.
    let mut counts = super::crowd::Counts::from([((1, 0), 1)]);
    let mut sent = 1;
    for key in 0..40 {
        assert!(router.select(Some(Key::from(key))).is_some(), "key {key} has no owner");
        let number = counts.entry((1, key)).or_default();
        let message = Sent { client: 1, key, number: *number };
        match client.try_send(router.key(key), message.to_bytes()) {
            Ok(()) => {
                *number += 1;
                sent += 1;
            }
            // The moment in which what is kept is handed back.
            Err(SendError::Full) => {}
            Err(error) => panic!("key {key}: {error}"),
        }
    }
    log.reaches(2).await;
    assert!(log.by_instance().keys().eq([&1]), "nothing goes to who is not agreed on");

    // One voter dies, the other one answers.
    drop(dead);
    prepared(&mut voter, &asked).await;
    servers.push(within(SOON, second).await.unwrap());
    let asked = asked_to_prepare(&mut voter).await;
    prepared(&mut voter, &asked).await;
    servers.push(within(SOON, third).await.unwrap());
    log.reaches(sent).await;
    counts.retain(|_, count| *count > 0);
    log.check(&counts);
}

#[tokio::test]
async fn defect_08_a_pending_instance_that_goes_is_not_told_offline() {
    let mesh = Mesh::patient_rounds().await;
    let nameserver = mesh.address().to_string();
    let mut voter = raw_watcher(&nameserver, 7, SERVICE).await;
    let mut listener = V1Agent::start(&nameserver, "app").await;
    let mut origin = V1Agent::start(&nameserver, "app").await;
    origin.ask_to_register(info(SERVICE, 1, 11), 1000).await;
    asked_to_prepare(&mut voter).await;
    origin.nameserver.send(UnregisterService { handle: 11 }).await;
    let ended = voter.hears(|body| match body {
        Body::PlacementRoundEnded(said) => Some(said.epoch),
        Body::WatchDelta(said) => panic!("watchers hear of {:?}", said.changes),
        _ => None,
    });
    assert_eq!(ended.await, 0);
    let mut other = V1Agent::start(&nameserver, "app").await;
    assert_eq!(other.register("app.test.marker", 1, 99).await, 0);
    assert_eq!(told_of(&mut listener.nameserver, 11, 99).await, [] as [bool; 0]);
}
