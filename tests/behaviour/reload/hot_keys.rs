//! Hot keys hold at once, for what begins after the reload.

use std::time::Duration;

use serde_json::json;
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, FreshConfig, ReloadOutcome, SendError};
use skymesh_plugin_host::PluginsConfig;
use skymesh_proto::msg::Body;
use skymesh_tests::raw::raw_peer;
use skymesh_tests::v1::info;
use skymesh_tests::{LONG, Mesh, SOON, services, within};

#[tokio::test]
async fn another_limit_of_connections_holds_for_the_next_one() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let reload = async |most| {
        let config = AgentConfig { max_connections: most, ..mesh.config() };
        let fresh = FreshConfig::new(config, services(json!({})), PluginsConfig::default());
        let reload = within(SOON, agent.reload_with(fresh)).await;
        assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    };
    let dial = async |number| {
        let source = info("app.test.guest", number, number);
        let mut peer = raw_peer(agent.address(), number, source).await;
        match peer.next().await {
            Body::PeerWelcome(_) => Ok(peer),
            Body::Refusal(refusal) => Err(refusal.reason),
            other => panic!("{other:?}"),
        }
    };
    let _first = dial(1).await.unwrap();
    let _second = dial(2).await.unwrap();
    reload(2).await;
    assert_eq!(dial(3).await.unwrap_err(), "agent.max_connections = 2 is reached");
    reload(3).await;
    let _third = dial(3).await.unwrap();
    assert_eq!(dial(4).await.unwrap_err(), "agent.max_connections = 3 is reached");
}

#[tokio::test]
async fn another_time_to_resolve_holds_at_once() {
    let mesh = Mesh::start().await;
    let start = AgentConfig { resolve_timeout: LONG, ..mesh.config() };
    let agent = Agent::builder().config(start).connect().await.unwrap();
    let (me, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let config = AgentConfig { resolve_timeout: Duration::from_millis(7), ..mesh.config() };
    mesh.stop().await;
    let fresh = FreshConfig::new(config, services(json!({})), PluginsConfig::default());
    let reload = within(SOON, agent.reload_with(fresh)).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    // Nobody is there to say anything of it.
    let error = within(SOON, me.send("app.test.unheard", "of")).await.unwrap_err();
    assert!(matches!(error, SendError::Unresolved(_)), "{error}");
}
