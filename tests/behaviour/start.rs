//! Starting: how fast, and what is said when it can't be.

use std::time::{Duration, Instant};

use serde_json::json;
use skymesh_agent::config::{AgentConfig, ServicesConfig, Unreachable};
use skymesh_agent::{Agent, RegisterError, SendError};
use skymesh_nameserver::Nameserver;
use skymesh_tests::{LONG, Mesh, SOON, agent_config as config, fast_nameserver, services, within};
use tokio::net::TcpListener;

#[tokio::test]
async fn an_agent_registers_and_sends_its_first_message_in_under_fifty_milliseconds() {
    let mesh = Mesh::start().await;
    let (_server, mut inbox) = mesh.agent().await.register("app.test.server/1").await.unwrap();
    // A busy machine may be late with single ones, so that one of many is in time is enough.
    let mut late = Vec::new();
    for instance in 1..=100u64 {
        let started = Instant::now();
        let agent = mesh.agent().await;
        let url = format!("app.test.client/{instance}");
        let (client, _inbox) = agent.register(url.as_str()).await.unwrap();
        client.send("app.test.server", b"hello").await.unwrap();
        skymesh_tests::next_message(&mut inbox).await;
        late.push(started.elapsed());
        if late.last() < Some(&Duration::from_millis(50)) {
            return;
        }
    }
    panic!("{late:?}");
}

/// A port where nobody listens: one that was free just now.
fn nobody() -> String {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn an_unreachable_nameserver_fails_the_start_where_that_is_configured() {
    let nowhere = nobody();
    let config = AgentConfig { unreachable: Unreachable::Fail, ..config(&nowhere) };
    let error = Agent::builder().config(config).connect().await.unwrap_err().to_string();
    assert!(error.contains(&nowhere) && error.contains("nobody listens"), "{error}");
    assert!(error.contains("agent.unreachable"), "{error}");
}

#[tokio::test]
async fn an_agent_waits_for_its_nameserver_where_that_is_configured() {
    // Somebody who takes connections and hangs up, so that its tries can be seen.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let later = nobody.local_addr().unwrap().to_string();
    let connecting = tokio::spawn(Agent::builder().config(config(&later)).connect());
    for _ in 0..2 {
        within(SOON, nobody.accept()).await.unwrap();
    }
    // The second try says that the first has failed.
    assert!(!connecting.is_finished(), "there is no nameserver yet");
    drop(nobody);
    let mut nameserver = fast_nameserver();
    nameserver.listen = later;
    tokio::spawn(Nameserver::bind(nameserver).await.unwrap().run());
    within(SOON, connecting).await.unwrap().unwrap();
}

#[tokio::test]
async fn wrong_starts_say_what_is_wrong() {
    let mesh = Mesh::start().await;
    let address = mesh.address().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = taken.local_addr().unwrap();
    let strategy = |table: serde_json::Value| services(table);
    let cases: Vec<(AgentConfig, ServicesConfig, &[&str])> = vec![
        (
            AgentConfig { app: None, ..config(&address) },
            ServicesConfig::default(),
            &["agent.app is missing"],
        ),
        (
            AgentConfig { listen: in_use, ..config(&address) },
            ServicesConfig::default(),
            &["agent.listen", "is in use", "another port"],
        ),
        (
            AgentConfig { max_frame_bytes: 7, ..config(&address) },
            ServicesConfig::default(),
            &["agent.max_frame_bytes = 7 is out of range", "65536"],
        ),
        (
            config(&address),
            strategy(json!({ "app.*.*": { "selector": { "use": "round_robbin" } } })),
            &["services.\"app.*.*\".selector: selector `round_robbin` not found", "round_robin"],
        ),
        (
            config(&address),
            strategy(json!({ "app.*.*": { "codec": { "use": "nothing_like_it" } } })),
            &["services.\"app.*.*\".codec: codec `nothing_like_it` not found"],
        ),
        (
            config(&address),
            strategy(json!({ "app.*.*": { "selector": {
                "use": "consistent_hash", "config": { "virtul_nodes": 3 } } } })),
            &["services.\"app.*.*\".selector: selector `consistent_hash` of", "virtul_nodes"],
        ),
    ];
    for (config, services, expected) in cases {
        let builder = Agent::builder().config(config).services(services);
        let error = builder.connect().await.unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
        assert_eq!(error.lines().count(), 1, "one line: {error}");
    }
}

#[tokio::test]
async fn wrong_names_say_what_is_wrong() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let urls = [
        ("app.test/1", "has 2 parts;"),
        ("app.test.server/0", "must not be 0"),
        ("app.test.server", "names no instance"),
        ("http://app.test.server/1", "foreign scheme"),
        ("other.test.server/1", "not in this process's app `app`"),
    ];
    for (url, expected) in urls {
        let Err(error) = agent.register(url).await else { panic!("{url} was registered") };
        assert!(error.to_string().contains(expected), "{url}: {error}");
        let Err(error) = client.send(url, b"x").await else { continue };
        let unspecific = matches!(error, SendError::NoInstance(_));
        assert!(unspecific || error.to_string().contains(expected), "{url}: {error}");
    }
    let foreign = agent.router("other.test.server").unwrap_err();
    assert!(matches!(foreign, SendError::ForeignApp { .. }), "{foreign}");
    let large = client.send("app.test.client/1", vec![0; 17 << 20]).await.unwrap_err();
    assert!(large.to_string().contains("over agent.max_frame_bytes"), "{large}");
    let Err(error) =
        agent.register("app.test.many/1").attributes([("k", "v".repeat(70_000))]).await
    else {
        panic!("attributes over the limit were taken")
    };
    assert!(matches!(error, RegisterError::Attributes(_)), "{error}");
}

/// A graceful stop waits for what is unread or on its way, and for nothing else.
#[tokio::test]
async fn a_graceful_stop_with_nothing_open_is_quick() {
    let mesh = Mesh::start().await;
    let agent = async || {
        let config = AgentConfig { drain_timeout: LONG, ..mesh.config() };
        Agent::builder().config(config).connect().await.unwrap()
    };
    let servers = agent().await;
    let (server, mut server_inbox) = servers.register("app.test.server/1").await.unwrap();
    let clients = agent().await;
    let (client, mut inbox) = clients.register("app.test.client/1").await.unwrap();
    client.send("app.test.server/1", b"hello").await.unwrap();
    let asked = skymesh_tests::next_message(&mut server_inbox).await;
    server.send(asked.source(), b"you too").await.unwrap();
    skymesh_tests::next_message(&mut inbox).await;
    // The inboxes are read and still held.
    within(SOON, clients.shutdown()).await;
    within(SOON, servers.shutdown()).await;
}
