//! What waits shows: in inboxes, for a peer to read it, calls for their answer.

use std::sync::Arc;
use std::time::Duration;

use skymesh_agent::config::{AgentConfig, InboxConfig};
use skymesh_agent::{Agent, Resolve, SendError};
use skymesh_rpc::{Methods, Request, Response, Rpc, Status};
use skymesh_tests::exposition::endpoint;
use skymesh_tests::scraping::{scraped, shown_at};
use skymesh_tests::{Cable, Mesh, SOON, next_message, within};
use tokio::sync::Semaphore;

use super::{SERVER, read_all};

#[tokio::test]
async fn what_waits_in_an_inbox_shows() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let server = shown_at(mesh.builder(), endpoint).connect().await.unwrap();
    let (_server, mut inbox) = server.register(SERVER).await.unwrap();
    let (client, _inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    for _ in 0..5 {
        client.send(SERVER, [1; 36]).await.unwrap();
    }
    let labels = [("service", "app.test.server"), ("instance", "1")];
    scraped(endpoint, |read| read.value("skymesh_inbox_bytes", &labels) == Some(500.0)).await;
    read_all(&mut inbox, 5).await;
    // The inbox notes what was read when it looks for more.
    let reader = tokio::spawn(async move { inbox.recv().await });
    scraped(endpoint, |read| read.value("skymesh_inbox_bytes", &labels) == Some(0.0)).await;
    reader.abort();
}

#[tokio::test]
async fn what_waits_for_a_peer_that_does_not_read_shows() {
    const WINDOW: u64 = 256 << 20;
    let mesh = Mesh::start().await;
    let (listen, at_client) = (endpoint(), endpoint());
    let cable = Cable::to(listen).await;
    // A window that the sockets' buffers can't hold.
    let config = AgentConfig {
        listen,
        advertise: Some(cable.address()),
        inbox: InboxConfig { window_bytes: WINDOW, limit_bytes: WINDOW },
        ..mesh.config()
    };
    let server = Agent::builder().config(config).connect().await.unwrap();
    let (_server, mut inbox) = server.register(SERVER).await.unwrap();
    // Without pings, so that nobody takes the peer for dead.
    let config = AgentConfig { ping_interval: Duration::ZERO, ..mesh.config() };
    let client = shown_at(Agent::builder().config(config), at_client).connect().await.unwrap();
    let (me, _inbox) = client.register("app.test.client/1").await.unwrap();
    me.send(SERVER, "reaches it").await.unwrap();
    next_message(&mut inbox).await;
    let peer = cable.address();
    let labels = [("peer", peer.as_str())];
    scraped(at_client, |read| read.value("skymesh_outbox_bytes", &labels) == Some(0.0)).await;

    cable.hold();
    let payload = vec![7; 60_000];
    let fills = async {
        let mut sent = 0;
        loop {
            match me.try_send(SERVER, &payload) {
                Ok(()) => sent += 1,
                Err(SendError::Full) => return sent,
                Err(error) => panic!("{error}"),
            }
            // The sockets' buffers are filled by another task.
            tokio::task::yield_now().await;
        }
    };
    let sent = within(SOON, fills).await;
    let seen = scraped(at_client, |read| {
        read.value("skymesh_outbox_bytes", &labels).is_some_and(|bytes| bytes > 60_000.0)
    });
    seen.await;
    cable.release();
    read_all(&mut inbox, sent).await;
    scraped(at_client, |read| read.value("skymesh_outbox_bytes", &labels) == Some(0.0)).await;
}

#[tokio::test]
async fn a_call_shows_while_it_waits_wherever_its_callee_is() {
    let mesh = Mesh::start().await;
    let at_client = endpoint();
    let client = shown_at(mesh.builder(), at_client).connect().await.unwrap();
    let (me, rest) = client.register("app.test.client/1").await.unwrap();
    let (me, _rest) = Rpc::attach(me, rest);
    let router = client.router("app.test.server").unwrap();
    let elsewhere = mesh.agent().await;
    for agent in [&client, &elsewhere] {
        let answers = Arc::new(Semaphore::new(0));
        let of_server = Arc::clone(&answers);
        let methods = Methods::new().method("wait", move |_: Request| {
            let answers = Arc::clone(&of_server);
            async move {
                answers.acquire().await.unwrap().forget();
                Ok::<_, Status>(Response::default())
            }
        });
        let (server, rest) = agent.register(SERVER).await.unwrap();
        let (server, rest) = Rpc::builder(server, rest).serve(methods).attach();
        let handle = server.instance().handle();
        let is_there = |resolve: &Resolve| {
            let Resolve::Ready(known) = resolve else { return false };
            known.members[..].iter().any(|one| one.record.handle == handle)
        };
        router.wait_until(SOON, is_there).await.unwrap();
        let labels = [("service", "app.test.server"), ("instance", "1")];
        let calls: Vec<_> = (1..=2)
            .map(|_| tokio::spawn(me.call("app.test.server", Request::new("wait", ""))))
            .collect();
        let shows = |count: f64| {
            scraped(at_client, move |read| {
                read.value("skymesh_calls_in_flight", &labels) == Some(count)
            })
        };
        shows(2.0).await;
        answers.add_permits(1);
        shows(1.0).await;
        answers.add_permits(1);
        shows(0.0).await;
        for call in calls {
            within(SOON, call).await.unwrap().unwrap();
        }
        within(SOON, server.instance().unregister()).await.unwrap();
        drop((server, rest));
    }
}
