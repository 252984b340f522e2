//! Scale-in: who leaves on purpose gives its keys away first; who crashes loses what was on its way,
//! and nothing after that.

use std::sync::Arc;
use std::time::Duration;

use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, Event, InstanceState, Resolve};
use skymesh_tests::keyed::{Log, Sent};
use skymesh_tests::raw::{raw_agent, register_stateful};
use skymesh_tests::v1::info;
use skymesh_tests::{Mesh, SOON, next_event, within};
use skymesh_types::Key;

use super::crowd::{Counts, Crowd};
use super::{SERVICE, shard};

const KEYS: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unregistering_stopping_and_draining_under_load_lose_nothing() {
    let mesh = Mesh::start().await;
    let log = Arc::new(Log::default());
    let mut servers = Vec::new();
    for number in 1..=5 {
        let agent = mesh.agent().await;
        let instance = log.serve(&agent, &shard(number), number * 1000).await;
        servers.push((agent, instance));
    }
    let crowd = Crowd::gather(&mesh, 3, 2, KEYS).await;
    log.reaches(2_000).await;
    within(SOON, servers[0].1.unregister()).await.unwrap();
    log.reaches(log.len() + 2_000).await;
    within(SOON, servers[1].0.shutdown()).await;
    log.reaches(log.len() + 2_000).await;
    mesh.nameserver().drain(shard(3).parse().unwrap()).await.unwrap();
    let router = crowd.agents[0].router(SERVICE).unwrap();
    let drains = |known: &Resolve| {
        let state = |one: u64| known.members().iter().find(|m| m.record.url.instance.get() == one);
        state(3).is_some_and(|member| member.record.state == InstanceState::Draining)
    };
    router.wait_until(SOON, drains).await.unwrap();
    log.reaches(log.len() + 2_000).await;
    crowd.finish(&log).await;
    for key in 0..KEYS {
        let owner = router.select(Some(Key::from(key))).unwrap().url.instance.get();
        assert!(owner > 3, "{owner} owns key {key}, and has given all away");
        assert_eq!(log.owners(key).last(), Some(&owner));
    }
}

#[tokio::test]
async fn a_crash_moves_the_keys_of_the_dead_and_no_others() {
    // No round: nobody is asked, so nobody can be in the way.
    let mesh = Mesh::patient_rounds().await;
    let log = Arc::new(Log::default());
    let mut servers = Vec::new();
    for number in [1, 2] {
        let agent = mesh.agent().await;
        servers.push(log.serve(&agent, &shard(number), number * 1000).await);
    }
    // Nobody listens at its address.
    let mut mute = raw_agent(&mesh.address().to_string(), 7).await;
    register_stateful(&mut mute, info(SERVICE, 3, 33), 3000).await;
    let agent = mesh.agent().await;
    let (client, mut inbox) = agent.register("app.test.client/1").await.unwrap();
    let router = client.watch(SERVICE).unwrap();
    let three = |known: &Resolve| known.members().len() == 3;
    router.wait_until(SOON, three).await.unwrap();
    let owner = |key| router.select(Some(Key::from(key))).unwrap().url.instance.get();
    let before: Vec<u64> = (0..KEYS).map(owner).collect();
    let lost = before.iter().filter(|owner| **owner == 3).count();
    assert!(lost > 0, "the mute one owns some");
    drop(mute);
    let offline = |event: &Event| matches!(event, Event::Offline { .. }).then_some(());
    next_event(&mut inbox, offline).await;
    let mut counts = Counts::new();
    for key in 0..KEYS {
        let sent = Sent { client: 1, key, number: 0 };
        client.send(router.key(key), sent.to_bytes()).await.unwrap();
        counts.insert((1, key), 1);
    }
    log.reaches(KEYS as usize).await;
    log.check(&counts);
    for (key, before) in (0..).zip(before) {
        let owners = log.owners(key);
        assert!(owners == [before] || before == 3, "key {key} of {before} came to {owners:?}");
    }
}

#[tokio::test]
async fn an_agent_that_has_sent_by_key_stops_as_soon_as_others() {
    let mesh = Mesh::start().await;
    let log = Arc::new(Log::default());
    let _server = log.serve(&mesh.agent().await, &shard(1), 1000).await;
    let config = AgentConfig {
        // Not used up: what holds its connections is let go.
        drain_timeout: Duration::from_secs(3600),
        ..mesh.config()
    };
    let agent = Agent::builder().config(config).connect().await.unwrap();
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let router = agent.router(SERVICE).unwrap();
    router.settled(SOON).await.unwrap();
    let sent = Sent { client: 1, key: 7, number: 0 };
    client.send(router.key(7_u64), sent.to_bytes()).await.unwrap();
    log.reaches(1).await;
    within(SOON, agent.shutdown()).await;
}
