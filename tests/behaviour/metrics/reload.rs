//! Another sink, or the same one made anew, while a process is scraped and messages flow.

use std::time::Duration;

use serde_json::json;
use skymesh_agent::config::{AgentConfig, ServicesConfig};
use skymesh_agent::{Agent, FreshConfig, Instance, Reload, ReloadOutcome};
use skymesh_plugin_host::{PluginKind, PluginState, PluginsConfig};
use skymesh_telemetry::MetricsConfig;
use skymesh_tests::exposition::{Exposition, endpoint, scrape};
use skymesh_tests::scraping::{prometheus_at, scraped, shown_at};
use skymesh_tests::{Mesh, SOON, next_message, within};

use super::{SERVER, config};

/// Of a configuration that differs from that of the start in its metrics, and maybe in its plugins.
fn fresh(metrics: MetricsConfig, plugins: PluginsConfig) -> FreshConfig {
    FreshConfig::new(AgentConfig::default(), ServicesConfig::default(), plugins).metrics(metrics)
}

async fn reload(agent: &Agent, metrics: MetricsConfig) -> Reload {
    let fresh = fresh(metrics, PluginsConfig::default());
    Reload::clone(&*within(SOON, agent.reload_with(fresh)).await)
}

async fn applied(agent: &Agent, metrics: MetricsConfig) -> Vec<String> {
    let reload = reload(agent, metrics).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(reload.faults.is_empty(), "{reload}");
    reload.changed.iter().map(ToString::to_string).collect()
}

async fn sends(instance: &Instance, inbox: &mut skymesh_agent::Inbox, count: usize) {
    for _ in 0..count {
        instance.send(SERVER, "one more").await.unwrap();
        next_message(inbox).await;
    }
}

fn sent(read: &Exposition) -> Option<f64> {
    let labels = [("service", "app.test.server"), ("direction", "sent")];
    read.value("skymesh_messages_total", &labels)
}

#[tokio::test]
async fn a_sink_is_exchanged_and_comes_back_to_its_own_port_with_all_that_was_counted() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let agent = shown_at(mesh.builder(), endpoint).connect().await.unwrap();
    let (server, mut inbox) = agent.register(SERVER).await.unwrap();
    sends(&server, &mut inbox, 3).await;
    let first = scraped(endpoint, |read| sent(read) == Some(3.0)).await;

    let changed = applied(&agent, config("log", &json!({}))).await;
    let told = |part: &str| changed.iter().any(|line| line.contains(part));
    assert!(told("metrics.use: \"prometheus\" -> \"log\""), "{changed:?}");
    assert!(told("metrics sink: skymesh_metrics_prometheus/prometheus "), "{changed:?}");
    assert_eq!(scrape(endpoint).await, None, "the port is free when the reload is told");
    sends(&server, &mut inbox, 4).await;

    applied(&agent, prometheus_at(endpoint)).await;
    // Not even the first scrape finds less than there was: the first batch was the new sink's test.
    let seen = Exposition::read(&scrape(endpoint).await.unwrap());
    assert_eq!(sent(&seen), Some(7.0));
    let since = "process_start_time_seconds";
    assert_eq!(seen.value(since, &[]), first.value(since, &[]));

    // Off, and on again: the sink is nothing to the process.
    applied(&agent, MetricsConfig::default()).await;
    assert_eq!(scrape(endpoint).await, None);
    applied(&agent, prometheus_at(endpoint)).await;
    assert_eq!(sent(&Exposition::read(&scrape(endpoint).await.unwrap())), Some(7.0));
    within(SOON, agent.shutdown()).await;
    assert_eq!(scrape(endpoint).await, None, "the endpoint goes with the agent");
}

#[tokio::test]
async fn a_port_is_handed_over_from_the_old_sink_to_the_new_one() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let agent = shown_at(mesh.builder(), endpoint).connect().await.unwrap();
    let (server, mut inbox) = agent.register(SERVER).await.unwrap();
    // Other limits: the sink is made anew, and listens at the address that the old one has.
    for failures in [7, 8, 9] {
        sends(&server, &mut inbox, 1).await;
        let mut plugins = PluginsConfig::default();
        plugins.quarantine.failures = failures;
        let fresh = fresh(prometheus_at(endpoint), plugins);
        let reload = within(SOON, agent.reload_with(fresh)).await;
        assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
        assert!(reload.faults.is_empty(), "{reload}");
        assert!(reload.changed.iter().any(|one| one.what == "metrics sink"), "{reload}");
        let sent = sent(&Exposition::read(&scrape(endpoint).await.unwrap()));
        assert_eq!(sent, Some(f64::from(failures) - 6.0));
    }
}

#[tokio::test]
async fn what_can_not_be_had_is_named_and_the_old_sink_shows_on() {
    let mesh = Mesh::start().await;
    let (endpoint, taken) = (endpoint(), skymesh_tests::exposition::endpoint());
    let _listener = std::net::TcpListener::bind(taken).unwrap();
    let agent = shown_at(mesh.builder(), endpoint).connect().await.unwrap();
    let (server, mut inbox) = agent.register(SERVER).await.unwrap();
    let panics = json!({ "mischief": "panic_in_call" });
    let out_of_range = MetricsConfig { interval: Duration::ZERO, ..prometheus_at(endpoint) };
    let cases = [
        (prometheus_at(taken), "can't listen at 127."),
        (config("prometheus", &json!({ "listen": 7 })), "listen"),
        (config("nowhere", &json!({})), "metrics `nowhere` not found"),
        (config("skymesh_fixture_unruly/unruly", &panics), "panicked over its first batch"),
        (out_of_range, "metrics: interval: 0ns is out of range"),
    ];
    for (turn, (metrics, said)) in cases.into_iter().enumerate() {
        let reload = reload(&agent, metrics).await;
        assert_eq!((reload.version, reload.outcome), (0, ReloadOutcome::Refused), "{reload}");
        assert!(reload.faults.iter().any(|fault| fault.contains(said)), "{reload}");
        sends(&server, &mut inbox, 1).await;
        scraped(endpoint, |read| sent(read) == Some(turn as f64 + 1.0)).await;
    }
    // What is optional leaves the process without, as a start would; or with what it has.
    let optional = MetricsConfig { required: false, ..config("nowhere", &json!({})) };
    let reload = reload(&agent, optional).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(reload.faults[0].contains("`nowhere` not found"), "{reload}");
    assert_eq!(scrape(endpoint).await, None);
}

#[tokio::test]
async fn a_quarantined_sink_recovers_by_a_reload() {
    let mesh = Mesh::start().await;
    let panics = || {
        config("skymesh_fixture_unruly/unruly", &json!({ "mischief": "panic_in_call", "every": 2 }))
    };
    let agent = mesh.builder().metrics(panics()).connect().await.unwrap();
    let state = || {
        let rows = agent.plugins();
        rows.into_iter().find(|row| row.kind == Some(PluginKind::Metrics)).unwrap().state
    };
    let quarantined = async {
        while state() != PluginState::Quarantined {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, quarantined).await;
    let reload = reload(&agent, panics()).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(reload.changed.iter().any(|one| one.what == "metrics sink"), "{reload}");
    assert_ne!(state(), PluginState::Quarantined);
}

/// It has all that it had to show, and will never show more: better nothing than values that stand still.
#[tokio::test]
async fn a_quarantined_endpoint_closes_and_opens_again_with_a_reload() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let mut plugins = PluginsConfig::default();
    plugins.quarantine.batch_budget = Duration::from_micros(1);
    let agent = mesh.builder().plugins(plugins).metrics(prometheus_at(endpoint));
    let agent = agent.connect().await.unwrap();
    let (server, mut inbox) = agent.register(SERVER).await.unwrap();
    sends(&server, &mut inbox, 2).await;
    let state = || agent.plugins().into_iter().find(|row| row.kind == Some(PluginKind::Metrics));
    let closed = async {
        while state().unwrap().state != PluginState::Quarantined
            || std::net::TcpStream::connect(endpoint).is_ok()
        {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, closed).await;
    applied(&agent, prometheus_at(endpoint)).await;
    let seen = Exposition::read(&scrape(endpoint).await.unwrap());
    assert_eq!(sent(&seen), Some(2.0), "nothing that was counted is lost");
    within(SOON, agent.shutdown()).await;
}

#[tokio::test]
async fn one_that_hangs_is_left_behind_by_a_reload_that_changes_nothing_else() {
    let mesh = Mesh::start().await;
    let hangs = || {
        let table = json!({ "mischief": "hang_in_call", "every": 2 });
        config("skymesh_fixture_unruly/unruly", &table)
    };
    let mut plugins = PluginsConfig::default();
    plugins.quarantine.batch_budget = Duration::from_millis(50);
    let agent = mesh.builder().plugins(plugins.clone()).metrics(hangs()).connect().await.unwrap();
    let hung = || {
        let reason = agent.plugins().into_iter().find_map(|row| row.reason);
        reason.is_some_and(|reason| reason.starts_with("it has had a batch for "))
    };
    let has_hung = async {
        while !hung() {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, has_hung).await;
    let reload = within(SOON, agent.reload_with(fresh(hangs(), plugins))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(reload.changed.iter().any(|one| one.what == "metrics sink"), "{reload}");
    assert!(reload.faults.iter().all(|fault| fault.contains("is left behind")), "{reload}");
    within(SOON, agent.shutdown()).await;
}

#[tokio::test]
async fn another_interval_holds_at_once() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let seldom = MetricsConfig { interval: Duration::from_secs(3600), ..prometheus_at(endpoint) };
    let agent = mesh.builder().metrics(seldom).connect().await.unwrap();
    let (server, mut inbox) = agent.register(SERVER).await.unwrap();
    let changed = applied(&agent, prometheus_at(endpoint)).await;
    assert_eq!(changed, ["metrics.interval: \"1h\" -> \"100ms\""]);
    sends(&server, &mut inbox, 2).await;
    scraped(endpoint, |read| sent(read) == Some(2.0)).await;
}

#[tokio::test]
async fn a_nameserver_hands_its_port_over_too() {
    use skymesh_nameserver::{ElectionsConfig, FreshNameserver, Nameserver};
    let endpoint = endpoint();
    let config = skymesh_tests::fast_nameserver();
    let builder = Nameserver::builder(config.clone()).metrics(prometheus_at(endpoint));
    let nameserver = builder.bind().await.unwrap();
    let handle = nameserver.handle();
    let running = tokio::spawn(nameserver.run());
    let is_shown = |read: &Exposition| read.value("skymesh_registry_sessions", &[]) == Some(0.0);
    scraped(endpoint, is_shown).await;
    let fresh = |metrics, failures| {
        let mut plugins = PluginsConfig::default();
        plugins.quarantine.failures = failures;
        FreshNameserver::new(config.clone(), ElectionsConfig::default(), plugins).metrics(metrics)
    };
    for (metrics, failures, shown) in [
        (prometheus_at(endpoint), 9, true),
        (super::config("log", &json!({})), 9, false),
        (prometheus_at(endpoint), 9, true),
    ] {
        let reload = within(SOON, handle.reload_with(fresh(metrics, failures))).await;
        assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
        assert!(reload.changed.iter().any(|one| one.what == "metrics sink"), "{reload}");
        let text = scrape(endpoint).await;
        assert_eq!(text.is_some_and(|text| is_shown(&Exposition::read(&text))), shown);
    }
    let target = [("role", "nameserver")];
    scraped(endpoint, |read| read.value("target_info", &target) == Some(1.0)).await;
    handle.stop();
    within(SOON, running).await.unwrap();
    assert_eq!(scrape(endpoint).await, None);
}
