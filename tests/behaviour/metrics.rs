//! What skymesh counts of itself, as a scraper sees it.

mod catalogue;
mod grpc;
mod mishaps;
mod prometheus;
mod queues;
mod reload;
mod services;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use skymesh_agent::{Agent, Inbox, Resolve};
use skymesh_nameserver::NameserverHandle;
use skymesh_plugin_host::{PluginHost, PluginsConfig};
use skymesh_rpc::{Methods, Request, Response, Rpc, Status};
use skymesh_telemetry::{Metrics, MetricsConfig};
use skymesh_tests::exposition::{endpoint, scrape};
use skymesh_tests::scraping::{prometheus_at, scraped, shown_at};
use skymesh_tests::{Mesh, SOON, next_message, services, within};

const SERVER: &str = "app.test.server/1";

fn config(plugin: &str, table: &Value) -> MetricsConfig {
    MetricsConfig {
        plugin: Some(plugin.to_owned()),
        interval: Duration::from_millis(100),
        config: table.as_object().unwrap().clone(),
        ..MetricsConfig::default()
    }
}

async fn read_all(inbox: &mut Inbox, count: usize) {
    for _ in 0..count {
        next_message(inbox).await;
    }
}

#[tokio::test]
async fn an_endpoint_shows_what_two_agents_exchanged() {
    const MESSAGES: usize = 300;
    const CALLS: usize = 20;
    let mesh = Mesh::start().await;
    let (at_server, at_client) = (endpoint(), endpoint());
    let server = shown_at(mesh.builder(), at_server).connect().await.unwrap();
    let (_server, mut inbox) = server.register(SERVER).await.unwrap();
    let (geometry, rest) = server.register("app.test.geometry/7").await.unwrap();
    let methods = Methods::new().method("echo", |request: Request| async move {
        Ok::<_, Status>(Response::new(request.into_payload()))
    });
    let _calls = Rpc::builder(geometry, rest).serve(methods).attach();

    let table = json!({ "app.*.*": { "selector": { "use": "p2c" } } });
    let builder = mesh.builder().services(services(table));
    let client = shown_at(builder, at_client).connect().await.unwrap();
    let (me, rest) = client.register("app.test.client/1").await.unwrap();
    let (rpc, _rest) = Rpc::attach(me, rest);
    let router = client.router("app.test.server").unwrap();
    router.wait_until(SOON, |resolve| matches!(resolve, Resolve::Ready(_))).await.unwrap();
    for _ in 0..MESSAGES {
        rpc.instance().send(&router, [7; 10]).await.unwrap();
    }
    read_all(&mut inbox, MESSAGES).await;
    for _ in 0..CALLS {
        let call = rpc.call("app.test.geometry", Request::new("echo", "abc"));
        within(SOON, call).await.unwrap();
    }

    let of = |service, direction| [("service", service), ("direction", direction)];
    let geometry = [("service", "app.test.geometry")];
    let seen = scraped(at_client, |read| {
        read.value("skymesh_call_duration_seconds_count", &geometry) == Some(CALLS as f64)
            && read.value("skymesh_rtt_seconds_count", &geometry).is_some()
            && read.value("skymesh_calls_in_flight", &geometry) == Some(0.0)
    })
    .await;
    let sent = of("app.test.server", "sent");
    assert_eq!(seen.value("skymesh_messages_total", &sent), Some(MESSAGES as f64));
    assert_eq!(seen.value("skymesh_message_bytes_total", &sent), Some(10.0 * MESSAGES as f64));
    let picked = [("service", "app.test.server"), ("instance", "1")];
    assert_eq!(seen.value("skymesh_picks_total", &picked), Some(MESSAGES as f64));
    let online = [("service", "app.test.server"), ("state", "online")];
    assert_eq!(seen.value("skymesh_instances", &online), Some(1.0));
    let p2c = [("id", "p2c"), ("kind", "selector"), ("state", "active")];
    assert_eq!(seen.value("skymesh_plugin_state", &p2c), Some(1.0));
    assert_eq!(seen.value("skymesh_router_degraded", &geometry), Some(0.0));
    let agent = [("app", "app"), ("address", client.address())];
    assert_eq!(seen.value("target_info", &agent), Some(1.0));
    assert_eq!(seen.kinds["skymesh_rtt_seconds"], "histogram");
    // The answers of the calls are messages to the client.
    let answers = of("app.test.client", "received");
    assert_eq!(seen.value("skymesh_messages_total", &answers), Some(CALLS as f64));

    let received = of("app.test.server", "received");
    let seen = scraped(at_server, |read| {
        read.value("skymesh_messages_total", &received) == Some(MESSAGES as f64)
            && read.value("skymesh_inbox_bytes", &picked) == Some(0.0)
    })
    .await;
    assert_eq!(seen.value("skymesh_message_bytes_total", &received), Some(10.0 * MESSAGES as f64));
    assert_eq!(
        seen.value("skymesh_messages_total", &of("app.test.client", "sent")),
        Some(CALLS as f64)
    );
    for reason in ["unknown_handle", "inbox_full", "malformed"] {
        assert_eq!(seen.value("skymesh_messages_refused_total", &[("reason", reason)]), Some(0.0));
    }
    within(SOON, client.shutdown()).await;
    assert_eq!(scrape(at_client).await, None, "the endpoint goes with the agent");
}

/// Has the mesh's nameserver show what it counts, as long as what is answered lives.
fn show_nameserver(mesh: &Mesh, endpoint: SocketAddr) -> Metrics {
    show(mesh.nameserver(), endpoint)
}

fn show(nameserver: &NameserverHandle, endpoint: SocketAddr) -> Metrics {
    let host = PluginHost::new(PluginsConfig::default()).unwrap();
    let metrics =
        Metrics::start(&host, &prometheus_at(endpoint), vec![("role".into(), "nameserver".into())]);
    let metrics = metrics.unwrap();
    nameserver.show_on(&metrics);
    metrics
}

#[tokio::test]
async fn a_sink_that_panics_costs_no_message() {
    let mesh = Mesh::start().await;
    let unruly = config("skymesh_fixture_unruly/unruly", &json!({ "mischief": "panic_in_call" }));
    let agent = mesh.builder().metrics(unruly).connect().await.unwrap();
    let (server, mut inbox) = agent.register(SERVER).await.unwrap();
    let quarantined = |agent: &Agent| {
        let is_it = |state: &str| state == "quarantined";
        agent.plugins().iter().any(|one| is_it(one.state.as_str()))
    };
    let sends = async {
        let mut sent = 0;
        while !quarantined(&agent) {
            server.send(SERVER, "still there").await.unwrap();
            next_message(&mut inbox).await;
            sent += 1;
        }
        sent
    };
    assert!(within(SOON, sends).await > 0);
    server.send(SERVER, "and after it").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), &b"and after it"[..]);
}

#[tokio::test]
async fn an_endpoint_that_can_not_be_had_fails_the_start_unless_it_is_optional() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let _first = shown_at(mesh.builder(), endpoint).connect().await.unwrap();
    let error = shown_at(mesh.builder(), endpoint).connect().await.unwrap_err().to_string();
    assert!(
        error.starts_with("metrics `prometheus` ") && error.contains("can't listen at 127."),
        "{error}"
    );
    let optional = MetricsConfig { required: false, ..prometheus_at(endpoint) };
    mesh.builder().metrics(optional).connect().await.unwrap();
}

#[tokio::test]
async fn picks_are_counted_once_for_each_message_that_is_taken() {
    let mesh = Mesh::start().await;
    let server = mesh.agent().await;
    let (_server, _unread) = server.register(SERVER).await.unwrap();
    let at_client = endpoint();
    let client = shown_at(mesh.builder(), at_client).connect().await.unwrap();
    let (me, _rest) = client.register("app.test.client/1").await.unwrap();
    let router = client.router("app.test.server").unwrap();
    router.wait_until(SOON, |resolve| matches!(resolve, Resolve::Ready(_))).await.unwrap();
    let payload = vec![7; 100_000];
    // Far more than the window has room for.
    let taken = (0..100).filter(|_| me.try_send(&router, &payload).is_ok()).count();
    assert!((1..100).contains(&taken), "{taken}");
    let sent = [("service", "app.test.server"), ("direction", "sent")];
    let seen = scraped(at_client, |read| {
        read.value("skymesh_messages_total", &sent) == Some(taken as f64)
    })
    .await;
    let picked = [("service", "app.test.server"), ("instance", "1")];
    assert_eq!(seen.value("skymesh_picks_total", &picked), Some(taken as f64));
}
