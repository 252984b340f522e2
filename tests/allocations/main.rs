//! Invariant 8 of ARCHITECTURE.md: once warm, nothing on the message path allocates per message. A
//! program of its own, since its allocator counts for all of the process.

// As in a test: what can't be read fails it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use skymesh_agent::config::{AgentConfig, InboxConfig};
use skymesh_agent::{Agent, Inbox, Instance, Router, SendError};
use skymesh_fixture_tally::Tally;
use skymesh_tests::{Mesh, next_message, services};
use skymesh_types::Attributes;

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

/// How many allocations each message took that was refused because an inbox is full of those who said
/// hello: what its sender says of itself is not written down each time.
async fn allocations_per_refusal() -> f64 {
    let mesh = Mesh::start().await;
    let inbox = InboxConfig { window_bytes: 65_536, limit_bytes: 65_536 };
    let config = AgentConfig { ping_interval: Duration::ZERO, inbox, ..mesh.config() };
    let agent = mesh.builder().config(config).connect().await.unwrap();
    let (server, _unread) = agent.register("app.test.server/1").await.unwrap();
    let wordy = async |url: &str| {
        let said = Attributes::from([("said", "so ".repeat(21_700))]);
        agent.register(url).attributes(said).await.unwrap()
    };
    let (first, _first_inbox) = wordy("app.test.client/1").await;
    // Its place in the receiver's table fills the inbox, and not its lane's window.
    let _ = first.try_send(server.handle(), []);
    let (second, _second_inbox) = wordy("app.test.client/2").await;
    let refuse = || {
        assert_eq!(second.try_send(server.handle(), []), Err(SendError::InboxFull));
    };
    refuse();
    let before = Tally::allocations();
    (0..MESSAGES).for_each(|_| refuse());
    (Tally::allocations() - before) as f64 / MESSAGES as f64
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
        // The message itself, which was copied before it is known.
        let each = allocations_per_refusal().await;
        assert!(each < 1.5, "{each} for each that an inbox has no room for");
    });
}
