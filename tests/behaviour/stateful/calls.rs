//! Calls by key: they go to the owner, and go on while keys move.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use skymesh_agent::{Agent, Resolve};
use skymesh_rpc::{Methods, Request, Response, Rpc};
use skymesh_tests::{Mesh, SOON, within};
use skymesh_types::Key;

use super::{SERVICE, shard};

const KEYS: u64 = 30;

/// Answers with its own number.
async fn serve(agent: &Agent, number: u64) {
    let url = shard(number);
    let (instance, inbox) = agent.register(url.as_str()).stateful(number * 1000).await.unwrap();
    let methods = Methods::new()
        .method("who", move |_| async move { Ok(Response::new(number.to_le_bytes().to_vec())) });
    let (_rpc, mut rest) = Rpc::builder(instance, inbox).serve(methods).attach();
    tokio::spawn(async move { while rest.recv().await.is_some() {} });
}

async fn who(rpc: &Rpc, key: u64) -> u64 {
    let request = Request::new("who", "").key(Key::from(key)).timeout(Duration::from_secs(30));
    let answer = rpc.call(SERVICE, request).await.expect("every call is answered");
    u64::from_le_bytes(answer.payload()[..].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_by_key_are_all_answered_while_the_service_grows_and_shrinks() {
    let mesh = Mesh::start().await;
    let mut servers = Vec::new();
    for number in [1, 2] {
        let agent = mesh.agent().await;
        serve(&agent, number).await;
        servers.push(agent);
    }
    let agent = mesh.agent().await;
    let (instance, inbox) = agent.register("app.test.client/1").await.unwrap();
    let (rpc, _rest) = Rpc::attach(instance, inbox);
    let router = agent.router(SERVICE).unwrap();
    let two = |known: &Resolve| known.members().len() == 2;
    router.wait_until(SOON, two).await.unwrap();
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let (rpc, stop, calls) = (rpc.clone(), Arc::clone(&stop), Arc::clone(&calls));
        callers.spawn(async move {
            let mut answered = BTreeSet::new();
            let mut key = caller;
            while !stop.load(SeqCst) {
                answered.insert(who(&rpc, key).await);
                calls.fetch_add(1, SeqCst);
                key = (key + 7) % KEYS;
            }
            answered
        });
    }
    let more = async |count: u64| {
        let goal = calls.load(SeqCst) + count;
        within(SOON, async {
            while calls.load(SeqCst) < goal {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    more(500).await;
    for number in [3, 4] {
        let agent = mesh.agent().await;
        serve(&agent, number).await;
        servers.push(agent);
        more(500).await;
    }
    within(SOON, servers[0].shutdown()).await;
    more(500).await;
    stop.store(true, SeqCst);
    let mut answered = BTreeSet::new();
    for one in within(SOON, callers.join_all()).await {
        answered.extend(one);
    }
    assert_eq!(answered, BTreeSet::from([1, 2, 3, 4]));
    for key in 0..KEYS {
        let owner = router.select(Some(Key::from(key))).unwrap().url.instance.get();
        assert_eq!(who(&rpc, key).await, owner, "key {key}");
    }
}
