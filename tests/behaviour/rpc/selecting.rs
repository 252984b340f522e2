//! What calls tell the selectors: how many are under way, how long they take, and which fail.

use std::sync::Arc;

use serde_json::json;
use skymesh_agent::Resolve;
use skymesh_tests::{Stock, both_ways};
use tokio::sync::Notify;

use super::*;

both_ways! { p2c_leaves_the_instance_whose_answers_take_long, least_request_evens_out_what_is_under_way }

const SERVICE: &str = "app.test.server";

/// A client whose calls to the service are picked by `selector`, and who knows both servers.
async fn client(mesh: &Mesh, selector: &str) -> (Agent, Rpc, Rest) {
    let table = json!({ SERVICE: { "selector": { "use": selector } } });
    let agent = mesh.builder().services(services(table)).connect().await.unwrap();
    let (rpc, rest) = caller(&agent, CLIENT).await;
    let router = agent.router(SERVICE).unwrap();
    let both = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 2);
    router.wait_until(SOON, both).await.unwrap();
    (agent, rpc, rest)
}

/// A service that says who it is; "held" answers when `gate` opens.
fn named(name: &'static str, gate: &Arc<Notify>) -> Methods {
    let gate = Arc::clone(gate);
    let who = move |_: Request| async move { Ok::<_, Status>(Response::new(name)) };
    let held = move |_: Request| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            Ok::<_, Status>(Response::new(name))
        }
    };
    Methods::new().method("who", who).method("held", held)
}

async fn p2c_leaves_the_instance_whose_answers_take_long(stock: Stock) {
    const SLOW: &str = "app.test.server/1";
    const FAST: &str = "app.test.server/2";
    let mesh = Mesh::start().await.with(stock);
    let gate = Arc::new(Notify::new());
    let _slow = serve(&mesh.agent().await, SLOW, named("slow", &gate)).await;
    let _fast = serve(&mesh.agent().await, FAST, named("fast", &gate)).await;
    let (agent, rpc, _rest) = client(&mesh, "p2c").await;

    // One call takes as long as two thousand others together.
    let held = tokio::spawn(rpc.call(SLOW, Request::new("held", "")));
    for _ in 0..2000 {
        within(SOON, rpc.call(FAST, Request::new("who", ""))).await.unwrap();
    }
    gate.notify_one();
    within(SOON, held).await.unwrap().unwrap();

    let router = agent.router(SERVICE).unwrap();
    let latency_ns = |instance: u64| {
        let stats = router.stats(instance.try_into().unwrap()).unwrap();
        assert_eq!(stats.in_flight(), 0, "{instance}");
        stats.latency_peak_ns()
    };
    assert!(latency_ns(1) > latency_ns(2) && latency_ns(2) > 0);

    let mut fast = 0;
    for _ in 0..100 {
        let answer = within(SOON, rpc.call(SERVICE, Request::new("who", ""))).await.unwrap();
        fast += u32::from(answer.payload().as_ref() == b"fast".as_slice());
    }
    // A machine that stands still for so long may let the fast one look slow.
    assert!(fast >= 90, "{fast} of 100 went to the fast one; any of both would be 50");
    assert!(!router.health().is_degraded(), "{:?}", router.health());
}

async fn least_request_evens_out_what_is_under_way(stock: Stock) {
    const CALLS: u32 = 40;
    let mesh = Mesh::start().await.with(stock);
    let gate = Arc::new(Notify::new());
    let _one = serve(&mesh.agent().await, "app.test.server/1", named("one", &gate)).await;
    let _two = serve(&mesh.agent().await, "app.test.server/2", named("two", &gate)).await;
    let (agent, rpc, _rest) = client(&mesh, "least_request").await;
    let router = agent.router(SERVICE).unwrap();
    let in_flight = |instance: u64| router.stats(instance.try_into().unwrap()).unwrap().in_flight();
    let mut calls = Vec::new();
    for call in 1..=CALLS {
        calls.push(tokio::spawn(rpc.call(SERVICE, Request::new("held", ""))));
        while in_flight(1) + in_flight(2) < call {
            tokio::task::yield_now().await;
        }
    }
    // Random picks end up so in one run of eight.
    assert_eq!((in_flight(1), in_flight(2)), (CALLS / 2, CALLS / 2));
    while calls.iter().any(|call| !call.is_finished()) {
        gate.notify_waiters();
        tokio::task::yield_now().await;
    }
    for call in calls {
        within(SOON, call).await.unwrap().unwrap();
    }
    assert_eq!((in_flight(1), in_flight(2)), (0, 0));
}
