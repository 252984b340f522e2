//! Processes of the mesh that show metrics at an endpoint, and do a known amount of everything.

use std::time::Duration;

use serde_json::json;
use skymesh_agent::{Agent, AgentBuilder, Delivery};
use skymesh_plugin_host::{PluginHost, PluginsConfig};
use skymesh_rpc::{Methods, Request, Response, Rpc, Status};
use skymesh_telemetry::{Metrics, MetricsConfig};
use tokio::time::sleep;

use crate::{Mesh, services};

/// What goes wrong in a role.
pub type Failure = Box<dyn std::error::Error>;

/// Messages that [`client`] sends, and the size of each.
pub const MESSAGES: usize = 500;
/// See [`MESSAGES`].
pub const MESSAGE_BYTES: usize = 10;
/// Calls of the client to the fast service.
pub const CALLS: usize = 40;
/// Calls to the slow one.
pub const SLOW_CALLS: usize = 8;
/// How long each of these takes at least: more than the bound of the bucket below it.
pub const SLOW: Duration = Duration::from_millis(60);

fn config(listen: &str) -> MetricsConfig {
    let table = json!({ "listen": listen });
    MetricsConfig {
        plugin: Some("prometheus".to_owned()),
        interval: Duration::from_millis(200),
        config: table.as_object().cloned().unwrap_or_default(),
        ..MetricsConfig::default()
    }
}

fn agent(nameserver: &str, listen: &str) -> AgentBuilder {
    let services = services(json!({ "app.*.*": { "selector": { "use": "round_robin" } } }));
    let builder = Agent::builder().app("app").nameserver(nameserver).services(services);
    builder.metrics(config(listen))
}

/// A nameserver, until it is killed.
///
/// # Errors
/// If it can't start.
pub async fn nameserver(listen: &str) -> Result<(), Failure> {
    let mesh = Mesh::start().await;
    let host = PluginHost::new(PluginsConfig::default())?;
    let metrics = Metrics::start(&host, &config(listen), Vec::new())?;
    mesh.nameserver().show_on(&metrics);
    println!("{}", json!({ "listens": mesh.address().to_string() }));
    std::future::pending().await
}

/// Two instances that take messages, a fast and a slow one that answer calls, a leader and a stateful
/// instance, until it is killed.
///
/// # Errors
/// If it can't start.
pub async fn server(nameserver: &str, listen: &str) -> Result<(), Failure> {
    let agent = agent(nameserver, listen).connect().await?;
    for url in ["app.test.server/1", "app.test.server/2"] {
        let (instance, mut inbox) = agent.register(url).await?;
        tokio::spawn(async move {
            let _kept = instance;
            while let Some(Delivery::Message(_) | Delivery::Event(_)) = inbox.recv().await {}
        });
    }
    let echo =
        |request: Request| async move { Ok::<_, Status>(Response::new(request.into_payload())) };
    let late = |request: Request| async move {
        sleep(SLOW).await;
        Ok::<_, Status>(Response::new(request.into_payload()))
    };
    let (fast, inbox) = agent.register("app.test.fast/1").await?;
    let _fast = Rpc::builder(fast, inbox).serve(Methods::new().method("echo", echo)).attach();
    let (slow, inbox) = agent.register("app.test.slow/1").await?;
    let _slow = Rpc::builder(slow, inbox).serve(Methods::new().method("echo", late)).attach();
    let (leader, _leader_inbox) = agent.register("app.test.leader/1").await?;
    leader.run_for_leader().await?;
    let _shard = agent.register("app.test.shard/1").stateful(1000).await?;
    println!("{}", json!({ "ready": true }));
    std::future::pending().await
}

/// Sends and calls as often as the constants say, and then stays until it is killed.
///
/// # Errors
/// If something is not taken or answered.
pub async fn client(nameserver: &str, listen: &str) -> Result<(), Failure> {
    let agent = agent(nameserver, listen).connect().await?;
    let (instance, inbox) = agent.register("app.test.client/1").await?;
    let (rpc, _rest) = Rpc::attach(instance, inbox);
    let router = agent.router("app.test.server")?;
    router.ready(Duration::from_secs(60)).await?;
    for _ in 0..MESSAGES {
        rpc.instance().send(&router, [7; MESSAGE_BYTES]).await?;
    }
    for (to, calls) in [("app.test.fast", CALLS), ("app.test.slow", SLOW_CALLS)] {
        for _ in 0..calls {
            rpc.call(to, Request::new("echo", "abc")).await?;
        }
    }
    println!("{}", json!({ "done": true }));
    std::future::pending().await
}
