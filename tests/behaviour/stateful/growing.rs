//! Scale-out: keys stay, or move once, and no message is lost or goes astray.

use std::sync::Arc;

use skymesh_agent::{Agent, Resolve};
use skymesh_tests::keyed::{Log, Sent};
use skymesh_tests::{Mesh, SOON};
use skymesh_types::Key;
use tokio::task::JoinSet;

use super::crowd::{Crowd, sum};
use super::{SERVICE, shard};

const KEYS: u64 = 60;

async fn all_see(agents: &[Agent], count: usize) {
    for agent in agents {
        let all = |known: &Resolve| known.members().len() == count;
        agent.router(SERVICE).unwrap().wait_until(SOON, all).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_has_one_owner_in_every_process_and_keeps_it() {
    let mesh = Mesh::start().await;
    let log = Arc::new(Log::default());
    let mut servers = Vec::new();
    for number in [3, 1, 2] {
        let agent = mesh.agent().await;
        servers.push(log.serve(&agent, &shard(number), number * 1000).await);
    }
    let agents = [mesh.agent().await, mesh.agent().await, mesh.agent().await];
    all_see(&agents, 3).await;
    let mut counts = super::crowd::Counts::new();
    for (client, agent) in (1..).zip(&agents) {
        let url = format!("app.test.client/{client}");
        let (instance, _inbox) = agent.register(url.as_str()).await.unwrap();
        let router = agent.router(SERVICE).unwrap();
        for number in 0..5 {
            for key in 0..KEYS {
                let sent = Sent { client, key, number };
                instance.send(router.key(key), sent.to_bytes()).await.unwrap();
                counts.insert((client, key), number + 1);
            }
        }
    }
    log.reaches(sum(&counts)).await;
    log.check(&counts);
    assert_eq!(log.by_instance().len(), 3, "each of them owns some");
    for key in 0..KEYS {
        let owners = log.owners(key);
        assert_eq!(owners.len(), 1, "key {key} came to {owners:?}");
        // What a router says in advance is what happens.
        for agent in &agents {
            let router = agent.router(SERVICE).unwrap();
            let picked = router.select(Some(Key::from(key)));
            assert_eq!(picked.unwrap().url.instance.get(), owners[0]);
            assert_eq!(router.explain(Some(Key::from(key))).picked, Some(shard(owners[0])));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scale_out_under_load_misroutes_and_loses_nothing() {
    let mesh = Mesh::start().await;
    let log = Arc::new(Log::default());
    let mut servers = Vec::new();
    for number in [1, 2] {
        let agent = mesh.agent().await;
        servers.push(log.serve(&agent, &shard(number), number * 1000).await);
    }
    let crowd = Crowd::gather(&mesh, 3, 2, KEYS).await;
    all_see(&crowd.agents, 2).await;
    log.reaches(2_000).await;
    // One by one, then several at once.
    for number in [3, 4] {
        let agent = mesh.agent().await;
        servers.push(log.serve(&agent, &shard(number), number * 1000).await);
        log.reaches(log.len() + 2_000).await;
    }
    let mut joining = JoinSet::new();
    for number in 5..=8 {
        let (agent, log) = (mesh.agent().await, Arc::clone(&log));
        joining.spawn(async move { log.serve(&agent, &shard(number), number * 1000).await });
    }
    servers.extend(joining.join_all().await);
    log.reaches(log.len() + 2_000).await;
    crowd.finish(&log).await;
    assert_eq!(log.by_instance().len(), 8, "each of them owns some in the end");
}
