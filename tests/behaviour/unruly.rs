//! Plugins that panic in each of their entry points, answer nonsense, block, or ask for more than they
//! said, while real messages flow: the process lives, the messages arrive or their sender is told, and
//! the report names the plugin and the reason.

mod codecs;
mod elections;
mod files;
mod selectors;
mod sinks;

use serde_json::{Value, json};
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, FreshConfig, Inbox, Instance, ReloadOutcome, Router};
use skymesh_plugin_host::{PluginKind, PluginReport, PluginState, PluginsConfig};
use skymesh_tests::{Mesh, SOON, next_message, services, within};

/// A plugin of each kind that does what its configuration says.
const UNRULY: &str = "skymesh_fixture_unruly/unruly";

/// A strategy that does `mischief` at every so many calls.
fn unruly(mischief: &str, every: u64) -> Value {
    json!({ "use": UNRULY, "config": { "mischief": mischief, "every": every } })
}

/// As [`unruly`], for a process that can do without it.
fn optional(mischief: &str) -> Value {
    let mut strategy = unruly(mischief, 1);
    strategy["required"] = json!(false);
    strategy
}

/// What is reported of the fixture's plugin of that kind, or of the whole library if there is no such
/// row.
fn row(rows: &[PluginReport], kind: PluginKind) -> Option<&PluginReport> {
    rows.iter().find(|row| row.kind == Some(kind) && row.id.as_deref() == Some("unruly"))
}

/// Waits until the report says so of the plugin: its state, and a part of the reason.
async fn told(report: impl Fn() -> Vec<PluginReport>, kind: PluginKind, said: (PluginState, &str)) {
    let says_it = || {
        let rows = report();
        let row = row(&rows, kind)?;
        let reason = row.reason.as_ref()?;
        (row.state == said.0 && reason.contains(said.1)).then_some(())
    };
    let told = async {
        while says_it().is_none() {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(SOON, told).await.is_err() {
        panic!("{said:?} is not told of the {kind}, but {:?}", row(&report(), kind));
    }
}

/// Servers of one service in an agent of their own, that decode what is sent to them.
struct Servers {
    agent: Agent,
    instances: Vec<(Instance, Inbox)>,
}

impl Servers {
    async fn start(mesh: &Mesh, count: u64, table: Value) -> Self {
        let agent = mesh.builder().services(services(table)).connect().await.unwrap();
        let mut servers = Self { agent, instances: Vec::new() };
        for _ in 0..count {
            servers.add().await;
        }
        servers
    }

    async fn add(&mut self) {
        let url = format!("app.unruly.server/{}", self.instances.len() + 1);
        self.instances.push(self.agent.register(url.as_str()).await.unwrap());
    }

    /// How many messages have arrived until the one that `client` broadcasts now.
    async fn count(&mut self, client: &Instance) -> usize {
        client.broadcast(self.instances[0].0.url().name.clone(), [0xff]).await.unwrap();
        let mut count = 0;
        for (_, inbox) in &mut self.instances {
            while next_message(inbox).await.payload() != &[0xff][..] {
                count += 1;
            }
        }
        count
    }
}

/// An agent with an instance that sends to the servers.
struct Client {
    agent: Agent,
    me: Instance,
    _inbox: Inbox,
}

impl Client {
    async fn start(mesh: &Mesh, table: Value) -> Self {
        let agent = mesh.builder().services(services(table)).connect().await.unwrap();
        let (me, inbox) = agent.register("app.test.client/1").await.unwrap();
        Self { agent, me, _inbox: inbox }
    }

    /// The router to the servers, once it knows so many.
    async fn router(&self, servers: usize) -> Router {
        use skymesh_agent::Resolve;
        let router = self.agent.router("app.unruly.server").unwrap();
        let all =
            |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == servers);
        router.wait_until(SOON, all).await.unwrap();
        router
    }

    async fn send(&self, router: &Router, messages: usize) {
        for number in 0..messages {
            self.me.send(router, number.to_le_bytes()).await.unwrap();
        }
    }

    /// Another configuration of its services.
    async fn reload(&self, table: Value) {
        let fresh =
            FreshConfig::new(AgentConfig::default(), services(table), PluginsConfig::default());
        let reload = within(SOON, self.agent.reload_with(fresh)).await;
        assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
        assert!(reload.faults.is_empty(), "{reload}");
    }
}
