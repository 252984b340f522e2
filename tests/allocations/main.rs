//! Invariant 8 of ARCHITECTURE.md: once warm, nothing on the message path allocates per message. A
//! program of its own, since its allocator counts for all of the process.

// As in a test: what can't be read fails it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, Inbox, Instance, Router};
use skymesh_fixture_tally::Tally;
use skymesh_tests::{Mesh, next_message, services};

#[global_allocator]
static TALLY: Tally = Tally;

const MESSAGES: u64 = 10_000;

/// Two agents that are connected, in a codec and with a selector; nothing pings meanwhile.
struct Pair {
    _mesh: Mesh,
    _servers: Agent,
    _clients: Agent,
    _server: Instance,
    server_inbox: Inbox,
    client: Instance,
    _client_inbox: Inbox,
    router: Router,
}

impl Pair {
    async fn meet(codec: &str, selector: &str) -> Self {
        let mesh = Mesh::start().await;
        let agent = async || {
            let config = AgentConfig { ping_interval: Duration::ZERO, ..mesh.config() };
            let table = serde_json::json!({ "app.*.*": {
                "codec": { "use": codec }, "selector": { "use": selector } } });
            mesh.builder().config(config).services(services(table)).connect().await.unwrap()
        };
        let (servers, clients) = (agent().await, agent().await);
        let (server, server_inbox) = servers.register("app.test.server/1").await.unwrap();
        let (client, client_inbox) = clients.register("app.test.client/1").await.unwrap();
        let router = clients.router("app.test.server").unwrap();
        Self {
            _mesh: mesh,
            _servers: servers,
            _clients: clients,
            _server: server,
            server_inbox,
            client,
            _client_inbox: client_inbox,
            router,
        }
    }

    /// Sends `count` messages, `together` of them before any is read, and reads them all.
    async fn pass(&mut self, count: u64, together: u64) {
        for _ in 0..count / together {
            for number in 0..together {
                self.client.send(self.router.key(number), [7; 100]).await.unwrap();
            }
            for _ in 0..together {
                assert_eq!(next_message(&mut self.server_inbox).await.payload().len(), 100);
            }
        }
    }

    /// How many allocations each of so many messages took, once warm.
    async fn allocations_per_message(&mut self, together: u64) -> f64 {
        self.pass(MESSAGES, together).await;
        let before = Tally::allocations();
        self.pass(MESSAGES, together).await;
        (Tally::allocations() - before) as f64 / MESSAGES as f64
    }
}

#[test]
fn a_warm_message_allocates_nothing_of_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (codec, selector) in [("compact", "round_robin"), ("protobuf", "mod_hash")] {
            let mut pair = Pair::meet(codec, selector).await;
            // What is left is the socket's: memory for reads, which many messages share.
            for (together, most) in [(1, 0.5), (100, 0.1)] {
                let each = pair.allocations_per_message(together).await;
                assert!(each < most, "{codec}, {selector}: {each} each, {together} together");
            }
        }
    });
}
