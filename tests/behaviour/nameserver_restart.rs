//! The nameserver dies and comes back: messages between live agents do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use skymesh_agent::Resolve;
use skymesh_tests::{Node, SOON, agent_at, next_message, within};
use skymesh_types::InstanceId;

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");

/// How many restarts at most until one is quick: a busy machine may be late with single ones.
const TRIES: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_fails_and_everything_is_back_within_two_seconds() {
    let (mut nameserver, address) = Node::nameserver(NODE, "127.0.0.1:0", &[]).await;
    let servers = agent_at(&address).await;
    let mut readers = Vec::new();
    let received = Arc::new(AtomicU64::new(0));
    for instance in 1..=20u64 {
        let url = format!("app.test.server/{instance}");
        let declared = [("declared", instance)];
        let (server, mut inbox) =
            servers.register(url.as_str()).attributes(declared).await.unwrap();
        server.set_attribute("set", instance * 2).await.unwrap();
        let received = Arc::clone(&received);
        readers.push(tokio::spawn(async move {
            let _server = server;
            loop {
                next_message(&mut inbox).await;
                received.fetch_add(1, SeqCst);
            }
        }));
    }
    let clients = agent_at(&address).await;
    let (client, _inbox) = clients.register("app.test.client/1").await.unwrap();
    let router = clients.router("app.test.server").unwrap();
    let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 20);
    router.wait_until(SOON, all).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn({
        let (stop, router) = (Arc::clone(&stop), router.clone());
        async move {
            let mut sent = 0u64;
            while !stop.load(SeqCst) {
                client.send(&router, [0; 100]).await.expect("no message fails");
                sent += 1;
            }
            sent
        }
    });
    let stale = |resolve: &Resolve| matches!(resolve, Resolve::Stale(..));
    let complete = |resolve: &Resolve| {
        let Resolve::Ready(known) = resolve else { return false };
        known.members.len() == 20
            && known.members.iter().all(|member| {
                let instance = member.record.url.instance.get();
                member.record.attributes.get("declared") == Some(&instance.into())
                    && member.record.attributes.get("set") == Some(&(instance * 2).into())
            })
    };
    let mut late = Vec::new();
    let newcomer = loop {
        nameserver.kill().await;
        within(SOON, async {
            while !stale(&router.instances()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let Resolve::Stale(known, _) = router.instances() else { panic!("stale until it is back") };
        assert_eq!(known.members.len(), 20, "the last view goes on serving");

        (nameserver, _) = Node::nameserver(NODE, &address, &[]).await;
        let back = Instant::now();
        // A newcomer sees it all, and so does the watch that was there before.
        let newcomer = agent_at(&address).await;
        let fresh = newcomer.router("app.test.server").unwrap();
        fresh.wait_until(SOON, complete).await.unwrap();
        router.wait_until(SOON, complete).await.unwrap();
        late.push(back.elapsed());
        if late.last() < Some(&Duration::from_secs(2)) {
            break newcomer;
        }
        assert!(late.len() < TRIES, "all was back after {late:?}");
    };

    // The watch lives: a change made now arrives.
    let (_late, _late_inbox) = newcomer.register("app.test.server/21").await.unwrap();
    let grown = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 21);
    router.wait_until(SOON, grown).await.unwrap();
    assert!(router.attributes(InstanceId::new(21).unwrap()).is_some());

    stop.store(true, SeqCst);
    let sent = traffic.await.expect("no message failed");
    assert_eq!(clients.counters().unconfirmed.get() + clients.counters().undeliverable.get(), 0);
    let late = newcomer.counters();
    within(SOON, async {
        while received.load(SeqCst) + late.messages_received.get() < sent {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(nameserver);
}
