//! Calls by key: they go to the owner, and go on while keys move.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use skymesh_agent::{Agent, Event, Outgoing, Resolve};
use skymesh_rpc::{Methods, Request, Response, Rest, Rpc};
use skymesh_tests::raw::{asked_to_prepare, prepared, raw_watcher};
use skymesh_tests::{Mesh, SOON, next_event, next_message, within};
use skymesh_types::Key;

use super::{SERVICE, shard};
use crate::rpc::fill;

const KEYS: u64 = 30;

/// Which shard ran each call. A call that runs twice is in it twice.
type Ran = Arc<Mutex<Vec<(u64, u64)>>>;

/// Answers with its own number, and notes which calls it ran.
async fn serve(agent: &Agent, number: u64, ran: &Ran) {
    let url = shard(number);
    let (instance, inbox) = agent.register(url.as_str()).stateful(number * 1000).await.unwrap();
    let ran = Arc::clone(ran);
    let who = move |request: Request| {
        ran.lock().unwrap().push((read(request.payload()), number));
        async move { Ok(Response::new(number.to_le_bytes().to_vec())) }
    };
    let methods = Methods::new().method("who", who);
    let (_rpc, mut rest) = Rpc::builder(instance, inbox).serve(methods).attach();
    tokio::spawn(async move { while rest.recv().await.is_some() {} });
}

fn read(number: &[u8]) -> u64 {
    u64::from_le_bytes(number.try_into().unwrap())
}

/// Who answers the call of that number.
async fn who(rpc: &Rpc, key: u64, call: u64) -> u64 {
    let request = Request::new("who", call.to_le_bytes().to_vec()).key(Key::from(key));
    let request = request.timeout(Duration::from_secs(30));
    read(rpc.call(SERVICE, request).await.expect("every call is answered").payload())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_by_key_are_all_answered_while_the_service_grows_and_shrinks() {
    let mesh = Mesh::start().await;
    let (mut servers, ran) = (Vec::new(), Ran::default());
    for number in [1, 2] {
        let agent = mesh.agent().await;
        serve(&agent, number, &ran).await;
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
            let mut answered = Vec::new();
            let mut key = caller;
            while !stop.load(SeqCst) {
                let call = caller << 32 | answered.len() as u64;
                answered.push((call, who(&rpc, key, call).await));
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
        serve(&agent, number, &ran).await;
        servers.push(agent);
        more(500).await;
    }
    within(SOON, servers[0].shutdown()).await;
    more(500).await;
    stop.store(true, SeqCst);
    let answered: Vec<(u64, u64)> =
        within(SOON, callers.join_all()).await.into_iter().flatten().collect();
    let shards: BTreeSet<u64> = answered.iter().map(|(_, shard)| *shard).collect();
    assert_eq!(shards, BTreeSet::from([1, 2, 3, 4]));
    // Each ran once, and who ran it answered.
    let ran = std::mem::take(&mut *ran.lock().unwrap());
    let by_call: HashMap<u64, u64> = ran.iter().copied().collect();
    assert_eq!((ran.len(), by_call.len()), (answered.len(), answered.len()));
    assert!(answered.iter().all(|(call, shard)| by_call.get(call) == Some(shard)));
    for key in 0..KEYS {
        let owner = router.select(Some(Key::from(key))).unwrap().url.instance.get();
        assert_eq!(who(&rpc, key, key).await, owner, "key {key}");
    }
}

/// A shard whose handlers never end by themselves; nothing but calls is read until `Rest` is dropped.
async fn hang(agent: &Agent, number: u64) -> (Rpc, Rest) {
    let url = shard(number);
    let (instance, inbox) = agent.register(url.as_str()).stateful(number * 1000).await.unwrap();
    let hang = |_| async { std::future::pending().await };
    Rpc::builder(instance, inbox).serve(Methods::new().method("hang", hang)).attach()
}

/// Requests that are held while their keys move, and whose callers go meanwhile: a cancel that went
/// straight to somebody would come before the request that it is about.
#[tokio::test]
async fn calls_that_are_taken_back_while_their_keys_move_run_nowhere_in_the_end() {
    let mesh = Mesh::patient_rounds().await;
    let (first, first_rest) = hang(&mesh.agent().await, 1).await;
    let agent = mesh.agent().await;
    let (instance, inbox) = agent.register("app.test.client/1").await.unwrap();
    let (rpc, _rest) = Rpc::attach(instance, inbox);
    let router = agent.router(SERVICE).unwrap();
    let one = |known: &Resolve| known.members().len() == 1;
    router.wait_until(SOON, one).await.unwrap();
    // There is no room towards the first shard, so the calls wait, and are its own all the same.
    within(SOON, fill(rpc.instance(), &shard(1))).await;
    let call = |key| {
        let request = Request::new("hang", "").key(Key::from(key));
        Box::pin(rpc.call(SERVICE, request.timeout(Duration::from_secs(600))))
    };
    let mut calls: Vec<_> = (0..KEYS).map(call).collect();
    assert!(calls.iter_mut().all(|call| call.now_or_never().is_none()));

    let mut voter = raw_watcher(&mesh.address().to_string(), 7, SERVICE).await;
    let joining = mesh.agent().await;
    let joining = tokio::spawn(async move { hang(&joining, 2).await });
    let asked = asked_to_prepare(&mut voter).await;
    let closed = async {
        while rpc.instance().try_resolve(router.key(0)).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, closed).await;
    drop(first_rest);
    let on_their_way = async {
        while calls.iter().any(|call| !format!("{call:?}").contains("sent")) {
            assert!(calls.iter_mut().all(|call| call.now_or_never().is_none()));
            tokio::task::yield_now().await;
        }
    };
    within(SOON, on_their_way).await;
    drop(calls);
    prepared(&mut voter, &asked).await;
    let (second, _second_rest) = within(SOON, joining).await.unwrap();
    // Those whose keys stayed were cancelled at the one, those whose keys moved at the other.
    let cancelled = |rpc: &Rpc| rpc.counters().cancelled.get();
    let all = async {
        while cancelled(&first) + cancelled(&second) < KEYS {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, all).await;
    assert!(cancelled(&first) > 0 && cancelled(&second) > 0);
    within(SOON, async { tokio::join!(first.drain(), second.drain()) }).await;
}

/// Whom a key belonged to is known, and then it moves before anything is sent.
#[tokio::test]
async fn what_is_posted_to_a_former_owner_goes_to_the_new_one_and_the_sender_hears_of_it() {
    let mesh = Mesh::start().await;
    let (_first, _first_inbox) =
        mesh.agent().await.register(shard(1).as_str()).stateful(1000).await.unwrap();
    let agent = mesh.agent().await;
    let (client, mut inbox) = agent.register("app.test.client/1").await.unwrap();
    let router = agent.router(SERVICE).unwrap();
    let mut owners = Vec::new();
    for key in 0..KEYS {
        owners.push(within(SOON, client.resolve(router.key(key))).await.unwrap());
    }
    let (second, mut second_inbox) =
        mesh.agent().await.register(shard(2).as_str()).stateful(2000).await.unwrap();
    let moved = |key: &u64| {
        let owner = router.select(Some(Key::from(*key)));
        owner.is_some_and(|owner| owner.handle == second.handle())
    };
    let two = |known: &Resolve| known.members().len() == 2;
    router.wait_until(SOON, two).await.unwrap();
    router.settled(SOON).await.unwrap();
    let key = (0..KEYS).find(moved).expect("some keys move");
    let former = &owners[key as usize];
    assert_ne!(former.handle, second.handle());
    for (correlation, waits) in [(7, false), (8, true)] {
        let request = Outgoing { kind: 1, correlation, payload: b"hello", ..Outgoing::default() };
        match waits {
            false => client.try_post(former, request).unwrap(),
            true => within(SOON, client.post(former, request)).await.unwrap(),
        }
        let told = |event: &Event| match event {
            Event::Rerouted { correlation, to } => Some((*correlation, *to)),
            _ => None,
        };
        assert_eq!(next_event(&mut inbox, told).await, (correlation, second.handle()));
        let heard = next_message(&mut second_inbox).await;
        assert_eq!((heard.correlation(), &heard.payload()[..]), (correlation, &b"hello"[..]));
    }
}
