//! A nameserver starts again on its data folder, after a stop and after `kill -9`: what it knew is
//! there at once, before any agent is back.

use std::path::Path;

use skymesh_agent::{Agent, InstanceState, Resolve};
use skymesh_nameserver::{AdminClient, Token};
use skymesh_tests::{Node, SOON, agent_at, next_message};
use skymesh_types::AttributeChange;

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");
const SERVER: &str = "app.test.server/1";

async fn start_nameserver(listen: &str, folder: &Path) -> (Node, String) {
    Node::nameserver(NODE, listen, &[folder.to_str().unwrap()]).await
}

/// A newcomer looks: the one server's handle, once it is in that state, with its attribute `load`.
async fn seen(newcomer: &Agent, state: InstanceState, load: Option<u64>) -> u64 {
    let router = newcomer.router("app.test.server").unwrap();
    let mut handle = 0;
    let is_so = |resolve: &Resolve| {
        let Resolve::Ready(known) = resolve else { return false };
        let [server] = &known.members[..] else { return false };
        handle = server.record.handle.get();
        let said = server.record.attributes.get("load").and_then(serde_json::Value::as_u64);
        server.record.state == state && said == load
    };
    router.wait_until(SOON, is_so).await.unwrap();
    handle
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_and_overrides_are_there_before_the_agents_are_back() {
    let folder = tempfile::tempdir().unwrap();
    let (first, address) = start_nameserver("127.0.0.1:0", folder.path()).await;
    let mut server = Node::start(NODE, &["echo", &address, SERVER]);
    let handle = server.says().await["handle"].as_u64().unwrap();
    first.signal("TERM").await;
    assert!(first.ends_well().await);
    // From here on its agent can't say anything.
    server.signal("STOP").await;

    let (second, _) = start_nameserver(&address, folder.path()).await;
    let newcomer = agent_at(&address).await;
    assert_eq!(seen(&newcomer, InstanceState::Suspect, None).await, handle);
    let token = Token::read(&folder.path().join("admin.token")).unwrap();
    let mut operator = AdminClient::connect(&address, &token, SOON).await.unwrap();
    let set = [("load".to_owned(), 9.into())].into();
    let change = AttributeChange { set, unset: Vec::new() };
    operator.override_attributes(&SERVER.parse().unwrap(), change, None).await.unwrap();
    second.kill().await;

    let (_third, _) = start_nameserver(&address, folder.path()).await;
    let newcomer = agent_at(&address).await;
    assert_eq!(seen(&newcomer, InstanceState::Suspect, Some(9)).await, handle);
    // Back again, it is the incarnation that it was, and serves.
    server.signal("CONT").await;
    assert_eq!(seen(&newcomer, InstanceState::Online, Some(9)).await, handle);
    let (client, mut inbox) = newcomer.register("app.test.client/1").await.unwrap();
    client.send("app.test.server", "still there").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), "still there");
}
