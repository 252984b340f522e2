//! One member that takes nothing, selectors that are configured or fail, and routers that come late.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, Delivery, FreshConfig, ReloadOutcome, Resolve, Router, SendError};
use skymesh_plugin_host::PluginsConfig;
use skymesh_tests::keyed::{Log, Sent};
use skymesh_tests::raw::{asked_to_prepare, prepared, raw_watcher};
use skymesh_tests::{Mesh, SOON, services, within};
use skymesh_types::Key;

use super::crowd::{Counts, sum};
use super::{SERVICE, shard};

const KEYS: u64 = 40;

async fn sees(agent: &Agent, count: usize) -> Router {
    let router = agent.router(SERVICE).unwrap();
    let all = |known: &Resolve| known.members().len() == count;
    router.wait_until(SOON, all).await.unwrap();
    router.settled(SOON).await.unwrap();
    router
}

fn owner(router: &Router, key: u64) -> u64 {
    router.select(Some(Key::from(key))).unwrap().url.instance.get()
}

#[tokio::test]
async fn a_member_that_takes_nothing_holds_up_its_own_keys_alone() {
    let mesh = Mesh::patient_rounds().await;
    let log = Arc::new(Log::default());
    let agent = mesh.agent().await;
    let (_stuck, mut unread) = agent.register(shard(1).as_str()).stateful(1000).await.unwrap();
    let server = mesh.agent().await;
    let mut servers = vec![log.serve(&server, &shard(2), 2000).await];
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let router = sees(&agent, 2).await;
    let mut counts = Counts::new();
    let mut next = |key| {
        let number = counts.entry((1, key)).or_default();
        *number += 1;
        Sent { client: 1, key, number: *number - 1 }
    };
    let stuck: Vec<u64> = (0..KEYS).filter(|key| owner(&router, *key) == 1).collect();
    let mut to_stuck = 0;
    // Its window is used up.
    loop {
        let mut message = next(stuck[0]).to_bytes().to_vec();
        message.resize(16 * 1024, 0);
        match client.try_send(router.key(stuck[0]), message) {
            Ok(()) => to_stuck += 1,
            Err(SendError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // While another one joins, messages to it get in line.
    let mut voter = raw_watcher(&mesh.address().to_string(), 7, SERVICE).await;
    let joining = tokio::spawn({
        let (server, log) = (server.clone(), Arc::clone(&log));
        async move { log.serve(&server, &shard(3), 3000).await }
    });
    let asked = asked_to_prepare(&mut voter).await;
    within(SOON, async {
        while router.settled(Duration::ZERO).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for key in &stuck {
        client.send(router.key(*key), next(*key).to_bytes()).await.unwrap();
    }
    prepared(&mut voter, &asked).await;
    servers.push(within(SOON, joining).await.unwrap());
    // The others are there for everybody.
    let router = within(SOON, sees(&agent, 3)).await;
    for round in 0..3 {
        for key in (0..KEYS).filter(|key| owner(&router, *key) != 1) {
            let sent = client.send(router.key(key), next(key).to_bytes());
            within(SOON, sent).await.unwrap_or_else(|error| panic!("{round}, {key}: {error}"));
        }
    }
    // And what waited for the stuck one comes before what is sent now.
    let last = *stuck.iter().find(|key| owner(&router, **key) == 1).unwrap();
    assert_eq!(client.try_send(router.key(last), next(last).to_bytes()), Err(SendError::Full));
    let in_line = stuck.iter().filter(|key| owner(&router, **key) == 1).count();
    let sending = client.send(router.key(last), [9; 24]);
    let reading = async {
        let mut taken = 0;
        loop {
            match unread.recv().await {
                Some(Delivery::Message(message)) if message.payload()[..] == [9; 24] => break,
                Some(Delivery::Message(_)) => taken += 1,
                Some(_) => {}
                None => panic!("the inbox has ended"),
            }
        }
        taken
    };
    let (sent, taken) = within(SOON, async { tokio::join!(sending, reading) }).await;
    sent.unwrap();
    assert_eq!(taken, to_stuck + in_line);
}

#[tokio::test]
async fn a_router_that_is_opened_in_mid_round_holds_what_moves() {
    let mesh = Mesh::patient_rounds().await;
    let log = Arc::new(Log::default());
    // It hosts a shard and has no router: it prepares at once.
    let agent = mesh.agent().await;
    let mut servers = vec![log.serve(&agent, &shard(1), 1000).await];
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let mut voter = raw_watcher(&mesh.address().to_string(), 7, SERVICE).await;
    let server = mesh.agent().await;
    let joining = tokio::spawn({
        let (server, log) = (server.clone(), Arc::clone(&log));
        async move { log.serve(&server, &shard(2), 2000).await }
    });
    let asked = asked_to_prepare(&mut voter).await;
    // What it is told comes in order, so it has been asked before this is answered.
    let _after = agent.register("app.test.client/2").await.unwrap();
    let router = agent.router(SERVICE).unwrap();
    let mut counts = Counts::new();
    for key in 0..KEYS {
        client.send(router.key(key), Sent { client: 1, key, number: 0 }.to_bytes()).await.unwrap();
        counts.insert((1, key), 1);
    }
    prepared(&mut voter, &asked).await;
    servers.push(within(SOON, joining).await.unwrap());
    log.reaches(sum(&counts)).await;
    log.check(&counts);
    assert_eq!(log.by_instance().len(), 2, "none of the keys that move went the old way");
}

#[tokio::test]
async fn what_is_held_when_time_is_up_is_counted() {
    let mesh = Mesh::patient_rounds().await;
    let log = Arc::new(Log::default());
    let server = mesh.agent().await;
    let _servers = log.serve(&server, &shard(1), 1000).await;
    let config = AgentConfig { drain_timeout: Duration::ZERO, ..mesh.config() };
    let agent = Agent::builder().config(config).connect().await.unwrap();
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let router = agent.router(SERVICE).unwrap();
    let mut voter = raw_watcher(&mesh.address().to_string(), 7, SERVICE).await;
    let joining = tokio::spawn(async move { log.serve(&server, &shard(2), 2000).await });
    // The round goes on for as long as this one does not say that it has prepared.
    asked_to_prepare(&mut voter).await;
    within(SOON, async {
        while router.settled(Duration::ZERO).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for key in 0..KEYS {
        client.send(router.key(key), [7; 24]).await.unwrap();
    }
    within(SOON, agent.shutdown()).await;
    let undelivered = agent.counters().keyed_undelivered.get();
    assert!((1..=KEYS).contains(&undelivered), "{undelivered} of {KEYS}");
    joining.abort();
}

async fn hashing(mesh: &Mesh, selector: serde_json::Value) -> Agent {
    let table = services(json!({ "app.test.*": { "selector": selector } }));
    mesh.builder().services(table).connect().await.unwrap()
}

#[tokio::test]
async fn a_configured_selector_says_who_owns_what_in_every_process() {
    let mesh = Mesh::start().await;
    let log = Arc::new(Log::default());
    let server = mesh.agent().await;
    let mut servers = Vec::new();
    for number in [2, 1] {
        servers.push(log.serve(&server, &shard(number), number * 1000).await);
    }
    let mut agents = Vec::new();
    for _ in 0..3 {
        agents.push(hashing(&mesh, json!({ "use": "consistent_hash" })).await);
    }
    let mut clients = Vec::new();
    for (client, agent) in (1..).zip(&agents) {
        clients.push(agent.register(format!("app.test.client/{client}").as_str()).await.unwrap());
    }
    let mut counts = Counts::new();
    let mut before = Vec::new();
    for members in [2, 3] {
        let mut owners: Vec<Vec<u64>> = Vec::new();
        for ((client, agent), (instance, _)) in (1..).zip(&agents).zip(&clients) {
            let router = sees(agent, members).await;
            assert!(!router.health().is_degraded());
            owners.push((0..KEYS).map(|key| owner(&router, key)).collect());
            for key in 0..KEYS {
                let number = counts.entry((client, key)).or_default();
                let sent = Sent { client, key, number: *number };
                instance.send(router.key(key), sent.to_bytes()).await.unwrap();
                *number += 1;
            }
        }
        assert!(owners.iter().all(|there| *there == owners[0]), "{owners:?}");
        log.reaches(sum(&counts)).await;
        log.check(&counts);
        if members == 2 {
            before.clone_from(&owners[0]);
            servers.push(log.serve(&server, &shard(3), 3000).await);
        } else {
            let moved = before.iter().zip(&owners[0]).filter(|(old, new)| old != new);
            assert!(moved.clone().count() > 0 && moved.clone().all(|(_, new)| *new == 3));
        }
    }
    assert_eq!(log.by_instance().len(), 3);
}

#[tokio::test]
async fn a_selector_that_fails_in_one_process_sends_nothing_astray() {
    let mesh = Mesh::start().await;
    let log = Arc::new(Log::default());
    let server = mesh.agent().await;
    let mut servers = Vec::new();
    for number in [1, 2] {
        servers.push(log.serve(&server, &shard(number), number * 1000).await);
    }
    let missing = json!({ "use": "no_such_selector", "required": false });
    let unruly = |mischief: &str| {
        let config = json!({ "mischief": mischief });
        json!({ "use": "skymesh_fixture_unruly/unruly", "config": config })
    };
    let selectors = [
        (unruly("panic_in_call"), "skymesh_fixture_unruly/unruly"),
        (unruly("out_of_view"), "skymesh_fixture_unruly/unruly"),
        (unruly("panic_in_prepare"), "skymesh_fixture_unruly/unruly"),
        (missing, "no_such_selector"),
    ];
    for (number, (selector, named)) in (1..).zip(selectors) {
        let agent = hashing(&mesh, selector).await;
        let url = format!("app.test.client/{number}");
        let (client, _inbox) = agent.register(url.as_str()).await.unwrap();
        let router = sees(&agent, 2).await;
        for key in 0..KEYS {
            let sent = Sent { client: number, key, number: 0 };
            match client.send(router.key(key), sent.to_bytes()).await {
                Err(SendError::Strategy { reason, .. }) => {
                    assert!(reason.contains(named), "{reason}");
                }
                other => panic!("{named}, key {key}: {other:?}"),
            }
        }
    }
    assert_eq!(log.len(), 0);
}

/// Nothing of its process waits for a selector that does not come back, and it is told by name.
#[tokio::test]
async fn a_selector_that_is_never_ready_has_its_keys_refused_and_holds_nobody_up() {
    let mesh = Mesh::start().await;
    let log = Arc::new(Log::default());
    let server = mesh.agent().await;
    let mut servers = vec![log.serve(&server, &shard(1), 1000).await];
    let hanging = json!({ "mischief": "hang_in_prepare" });
    let named = "skymesh_fixture_unruly/unruly";
    let agent = hashing(&mesh, json!({ "use": named, "config": hanging })).await;
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let router = agent.router(SERVICE).unwrap();
    let refused = async {
        loop {
            match client.send(router.key(7_u64), [0; 24]).await {
                Err(SendError::Strategy { reason, .. }) => return reason,
                // Word of the instances or of their owners is on its way.
                Err(SendError::Unresolved(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let reason = within(SOON, refused).await;
    assert!(reason.contains(named) && reason.contains("within 5s"), "{reason}");
    // What it would be asked next, it is not: rounds go on, and its process with them.
    servers.push(within(SOON, log.serve(&server, &shard(2), 2000)).await);
    let (_other, _inbox) =
        within(SOON, async { agent.register("app.test.client/2").await }).await.unwrap();
    assert_eq!(agent.counters().uplinks_lost.get(), 0);
    // A reload puts another selector in its place.
    let table = services(json!({ "app.test.*": { "selector": { "use": "consistent_hash" } } }));
    let fresh = FreshConfig::new(AgentConfig::default(), table, PluginsConfig::default());
    let reload = within(SOON, agent.reload_with(fresh)).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    let router = sees(&agent, 2).await;
    for key in 0..KEYS {
        let sent = Sent { client: 1, key, number: 0 };
        within(SOON, client.send(router.key(key), sent.to_bytes())).await.unwrap();
    }
    log.reaches(KEYS as usize).await;
}
