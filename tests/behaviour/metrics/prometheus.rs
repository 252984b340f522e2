//! What a real Prometheus makes of it: processes of their own, scraped once a second, and asked about in
//! PromQL.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use skymesh_telemetry::catalogue::{ALL, LABELS};
use skymesh_tests::exposition::{endpoint, scrape};
use skymesh_tests::prometheus::{Programs, Prometheus, SEEN_WITHIN};
use skymesh_tests::shown::{CALLS, MESSAGE_BYTES, MESSAGES, SLOW, SLOW_CALLS};
use skymesh_tests::{Node, within};

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");

#[tokio::test]
async fn a_real_prometheus_sees_what_was_sent() {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let programs = Programs::fetch(&tmp.join("prometheus")).await;
    let folder = tempfile::tempdir_in(tmp).unwrap();

    let targets = [("nameserver", endpoint()), ("server", endpoint()), ("client", endpoint())];
    let [at_nameserver, at_server, at_client] = targets.map(|(_, target)| target.to_string());
    let prometheus = Prometheus::start(&programs, folder.path(), &targets).await;
    let mut nameserver = Node::start(NODE, &["shown_nameserver", &at_nameserver]);
    let said = nameserver.says_within(SEEN_WITHIN).await;
    let address = said["listens"].as_str().unwrap();
    let mut server = Node::start(NODE, &["shown_server", address, &at_server]);
    assert_eq!(server.says_within(SEEN_WITHIN).await["ready"], true);
    let mut client = Node::start(NODE, &["shown_client", address, &at_client]);

    prometheus.shows("sum(up)", 3.0).await;
    assert_eq!(client.says_within(SEEN_WITHIN).await["done"], true);
    counts(&prometheus).await;
    latencies(&prometheus).await;
    registry(&prometheus).await;
    metadata(&prometheus).await;
    for (job, target) in targets {
        lint(&programs, job, target).await;
    }
    // One that is gone is seen as that: what was asked above was not of a file.
    client.kill().await;
    prometheus.shows("up{job=\"client\"}", 0.0).await;
}

/// Messages, bytes, picks: at whom they are sent by and at whom they come to.
async fn counts(prometheus: &Prometheus) {
    let of = |metric: &str, direction: &str, job: &str| {
        let service = "service=\"app.test.server\"";
        format!("{metric}{{{service},direction=\"{direction}\",job=\"{job}\"}}")
    };
    let messages = MESSAGES as f64;
    for (direction, job) in [("sent", "client"), ("received", "server")] {
        prometheus.shows(&of("skymesh_messages_total", direction, job), messages).await;
        let bytes = messages * MESSAGE_BYTES as f64;
        prometheus.shows(&of("skymesh_message_bytes_total", direction, job), bytes).await;
    }
    let picks = "skymesh_picks_total{service=\"app.test.server\",job=\"client\"}";
    prometheus.shows(&format!("count({picks} == {})", messages / 2.0), 2.0).await;
    prometheus.shows("sum(skymesh_messages_refused_total)", 0.0).await;
    // Whatever was sent by somebody has come to somebody, in the whole mesh.
    let all = |direction| format!("sum(skymesh_messages_total{{direction=\"{direction}\"}})");
    prometheus.shows(&format!("{} - {}", all("sent"), all("received")), 0.0).await;
    prometheus.shows("sum(skymesh_inbox_bytes{service=\"app.test.server\"})", 0.0).await;
    let selector = "skymesh_plugin_state{id=\"round_robin\",state=\"active\",job=\"client\"}";
    prometheus.shows(selector, 1.0).await;
}

/// Calls, at who makes and at who serves them.
async fn latencies(prometheus: &Prometheus) {
    for metric in ["skymesh_call_duration_seconds", "skymesh_serve_duration_seconds"] {
        for (service, calls) in [("fast", CALLS), ("slow", SLOW_CALLS)] {
            let count = format!("{metric}_count{{service=\"app.test.{service}\"}}");
            prometheus.shows(&count, calls as f64).await;
        }
        // All are in buckets above the one that ends below SLOW, which is at 50 ms.
        let slow = "service=\"app.test.slow\"";
        let sooner = format!("{metric}_bucket{{{slow},le=\"0.05\"}}");
        prometheus.shows(&sooner, 0.0).await;
        let median = format!("histogram_quantile(0.5, {metric}_bucket{{{slow}}})");
        let [median] = &prometheus.query(&median).await[..] else { panic!("one median") };
        assert!(median.value > 0.05 && median.value < 60.0, "{median:?}");
        let mean = format!("{metric}_sum{{{slow}}} / {metric}_count{{{slow}}}");
        let [mean] = &prometheus.query(&mean).await[..] else { panic!("one mean") };
        assert!(mean.value >= SLOW.as_secs_f64(), "{mean:?}");
    }
    prometheus.shows("sum(skymesh_calls_in_flight)", 0.0).await;
    let pings = "count(skymesh_rtt_seconds_count{service=\"app.test.fast\",job=\"client\"} > 0)";
    prometheus.shows(pings, 1.0).await;
}

/// What the nameserver knows.
async fn registry(prometheus: &Prometheus) {
    prometheus.shows("skymesh_registry_sessions", 2.0).await;
    // Two servers, fast, slow, leader, shard and client.
    prometheus.shows("skymesh_registry_instances", 7.0).await;
    prometheus.shows("skymesh_registry_revision >= bool 7", 1.0).await;
    prometheus.shows("skymesh_nameserver_events_total{event=\"elections\"}", 1.0).await;
    prometheus.shows("skymesh_leader_term{service=\"app.test.leader\"} >= bool 1", 1.0).await;
    prometheus.shows("skymesh_service_led{service=\"app.test.leader\"}", 1.0).await;
    prometheus.shows("skymesh_open_rounds", 0.0).await;
    prometheus.shows("skymesh_placement_epoch{service=\"app.test.shard\"} > bool 0", 1.0).await;
    prometheus.shows("sum(skymesh_uplink_connected)", 2.0).await;
    let online = "skymesh_instances{service=\"app.test.server\",state=\"online\",job=\"client\"}";
    prometheus.shows(online, 2.0).await;
}

/// HELP and TYPE, as Prometheus keeps them for those who query; and the labels of what it has stored.
async fn metadata(prometheus: &Prometheus) {
    let known = prometheus.api("/api/v1/targets/metadata").await;
    let mut by_name: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for one in known.as_array().unwrap() {
        let [name, kind, help] = ["metric", "type", "help"].map(|key| one[key].as_str().unwrap());
        by_name.insert(name, (kind, help));
    }
    by_name.retain(|name, _| name.starts_with("skymesh_"));
    let documented = ALL.iter().map(|metric| (metric.name, metric));
    let documented: BTreeMap<&str, _> = documented.collect();
    for (name, (kind, help)) in &by_name {
        let metric = documented.get(name).unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(*kind, format!("{:?}", metric.kind).to_lowercase(), "{name}");
        assert_eq!(*help, metric.help, "{name}");
    }
    // All but those of gRPC, and of routers to stateful services, which nobody here has.
    let missing: Vec<&str> =
        documented.keys().copied().filter(|name| !by_name.contains_key(name)).collect();
    let expected = [
        "skymesh_grpc_events_total",
        "skymesh_held_bytes",
        "skymesh_held_messages",
        "skymesh_router_epoch",
    ];
    assert_eq!(missing, expected);
    let labels = prometheus.api("/api/v1/labels?match[]={__name__=~\"skymesh_.%2B\"}").await;
    for label in labels.as_array().unwrap() {
        let label = label.as_str().unwrap();
        let is_ours =
            LABELS.iter().any(|(ours, _)| *ours == label || format!("exported_{ours}") == label);
        assert!(is_ours || ["__name__", "job", "instance", "le"].contains(&label), "{label}");
    }
}

/// Prometheus's own linter.
async fn lint(programs: &Programs, job: &str, target: SocketAddr) {
    let text = within(SEEN_WITHIN, scrape(target)).await.unwrap();
    assert_eq!(programs.objections(&text).await, "", "{job}");
}
