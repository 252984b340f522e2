//! What is not as it should be shows: what was refused, who is left out, a lost nameserver, a round that
//! goes on, a bad selector.

use serde_json::json;
use skymesh_agent::config::{AgentConfig, InboxConfig};
use skymesh_agent::{Agent, FreshConfig, ReloadOutcome, Resolve, SendError};
use skymesh_nameserver::{ElectionsConfig, Nameserver};
use skymesh_plugin_host::PluginsConfig;
use skymesh_tests::exposition::{Exposition, endpoint, scrape};
use skymesh_tests::raw::{asked_to_prepare, prepared, raw_watcher};
use skymesh_tests::scraping::{scraped, shown_at};
use skymesh_tests::{Mesh, SOON, fast_nameserver, next_message, services, within};
use tokio::task::yield_now;

use super::{show, show_nameserver};

#[tokio::test]
async fn refused_messages_show_with_their_reason_and_where_they_came_from() {
    const CLIENTS: usize = 4;
    let mesh = Mesh::start().await;
    let (at_server, at_client) = (endpoint(), endpoint());
    let bytes = 64 * 1024;
    let config = AgentConfig {
        inbox: InboxConfig { window_bytes: bytes, limit_bytes: bytes },
        ..mesh.config()
    };
    let builder = shown_at(Agent::builder().config(config), at_server);
    let server = builder.connect().await.unwrap();
    let (_server, _unread) = server.register("app.test.server/1").await.unwrap();
    let full = [("reason", "inbox_full")];
    let received = [("service", "app.test.server"), ("direction", "received")];
    let sum = |read: &Exposition| {
        read.value("skymesh_messages_refused_total", &full).unwrap_or_default()
            + read.value("skymesh_messages_total", &received).unwrap_or_default()
    };
    // Each alone keeps within its window; the first one fills the inbox up to its limit.
    let mut clients = Vec::new();
    let mut accepted = 0;
    let mut seen = None;
    for number in 1..=CLIENTS {
        let builder = match number {
            CLIENTS => shown_at(mesh.builder(), at_client),
            _ => mesh.builder(),
        };
        let agent = builder.connect().await.unwrap();
        let url = format!("app.test.client/{number}");
        let client = agent.register(url.as_str()).await.unwrap();
        client.0.send("app.test.server/1", [0; 1000]).await.unwrap();
        accepted += 1;
        loop {
            match client.0.try_send("app.test.server/1", [0; 1000]) {
                Ok(()) => accepted += 1,
                Err(SendError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        clients.push((agent, client));
        // The next one comes when all of this one's messages have.
        seen = Some(scraped(at_server, |read| sum(read) == f64::from(accepted)).await);
    }
    let seen = seen.unwrap();
    let refused = seen.value("skymesh_messages_refused_total", &full).unwrap();
    assert!(refused > 0.0, "{accepted} messages were to be too many");
    let malformed = [("reason", "malformed")];
    assert_eq!(seen.value("skymesh_messages_refused_total", &malformed), Some(0.0));
    // What the last one is told of, for whom there was no room, is shown there, as it is counted.
    let told = async {
        let of = |agent: &Agent| agent.counters().undeliverable.get();
        while clients.iter().map(|(agent, _)| of(agent)).sum::<u64>() as f64 != refused {
            yield_now().await;
        }
        of(&clients[CLIENTS - 1].0) as f64
    };
    let told = within(SOON, told).await;
    assert!(told > 0.0, "{refused} messages were refused, none of the last one's");
    let shows =
        |read: &Exposition| read.value("skymesh_messages_undeliverable_total", &[]) == Some(told);
    scraped(at_client, shows).await;
}

#[tokio::test]
async fn an_ejected_instance_shows() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let server = mesh.agent().await;
    let mut held = Vec::new();
    for url in ["app.test.server/1", "app.test.server/2"] {
        held.push(server.register(url).await.unwrap());
    }
    let outliers = json!({ "errors_percent": 50, "hold": "60s", "max_percent": 50 });
    let table = json!({ "app.*.*": { "stages": { "outliers": outliers } } });
    let builder = mesh.builder().services(services(table));
    let client = shown_at(builder, endpoint).connect().await.unwrap();
    let router = client.router("app.test.server").unwrap();
    let two = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 2);
    router.wait_until(SOON, two).await.unwrap();
    let labels = [("service", "app.test.server")];
    let ejected = |count: f64| {
        move |read: &Exposition| read.value("skymesh_instances_ejected", &labels) == Some(count)
    };
    scraped(endpoint, ejected(0.0)).await;
    router.stats(2u64.try_into().unwrap()).unwrap().set_error_ppm(600_000);
    scraped(endpoint, ejected(1.0)).await;
}

#[tokio::test]
async fn a_lost_nameserver_shows_at_its_agents() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let agent = shown_at(mesh.builder(), endpoint).connect().await.unwrap();
    let connected = |value: f64, lost: f64| {
        move |read: &Exposition| {
            read.value("skymesh_uplink_connected", &[]) == Some(value)
                && read.value("skymesh_uplinks_lost_total", &[]) == Some(lost)
        }
    };
    scraped(endpoint, connected(1.0, 0.0)).await;
    mesh.stop().await;
    scraped(endpoint, connected(0.0, 1.0)).await;
    drop(agent);
}

#[tokio::test]
async fn a_round_shows_while_it_is_open_with_what_is_held_for_it() {
    const KEYS: u64 = 40;
    let mesh = Mesh::patient_rounds().await;
    let (at_nameserver, at_client) = (endpoint(), endpoint());
    let _shown = show_nameserver(&mesh, at_nameserver);
    let servers = mesh.agent().await;
    let _first = servers.register("app.test.shard/1").stateful(1000).await.unwrap();
    let committed =
        |read: &Exposition| read.value("skymesh_rounds_total", &[("outcome", "committed")]);
    // Its own round is over, and that is flushed.
    scraped(at_nameserver, |read| committed(read) == Some(1.0)).await;
    let client = shown_at(mesh.builder(), at_client).connect().await.unwrap();
    let (me, _inbox) = client.register("app.test.client/1").await.unwrap();
    let router = client.router("app.test.shard").unwrap();
    let one = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 1);
    router.wait_until(SOON, one).await.unwrap();
    // Another router, whose word the round waits for.
    let mut voter = raw_watcher(&mesh.address().to_string(), 7, "app.test.shard").await;
    let joining = tokio::spawn({
        let servers = servers.clone();
        async move { servers.register("app.test.shard/2").stateful(2000).await.unwrap() }
    });
    let asked = asked_to_prepare(&mut voter).await;
    let open =
        |count: f64| move |read: &Exposition| read.value("skymesh_open_rounds", &[]) == Some(count);
    scraped(at_nameserver, open(1.0)).await;
    let labels = [("service", "app.test.shard")];
    let held = |read: &Exposition| {
        // Not shown before the first flush after the service had an owner.
        let [messages, bytes] = ["skymesh_held_messages", "skymesh_held_bytes"]
            .map(|name| read.value(name, &labels).unwrap_or_default());
        assert_eq!(messages > 0.0, bytes > 0.0, "{messages} {bytes}");
        messages > 0.0
    };
    // What is sent before the client has heard of the round is not held.
    let sends = async {
        loop {
            for key in 0..KEYS {
                me.send(router.key(key), [7; 10]).await.unwrap();
            }
            let text = scrape(at_client).await.unwrap_or_else(|| "\n".to_owned());
            if text.len() > 1 && held(&Exposition::read(&text)) {
                return;
            }
        }
    };
    within(SOON, sends).await;
    prepared(&mut voter, &asked).await;
    let _second = within(SOON, joining).await.unwrap();
    scraped(at_client, |read| !held(read)).await;
    let after = scraped(at_nameserver, open(0.0)).await;
    assert_eq!(committed(&after), Some(2.0));
    assert_eq!(after.value("skymesh_rounds_total", &[("outcome", "aborted")]), Some(0.0));
}

#[tokio::test]
async fn a_nameserver_shows_its_election_plugins() {
    let endpoint = endpoint();
    let table = json!({ "app.*.*": { "use": "priority" } });
    let elections: ElectionsConfig = serde_json::from_value(table).unwrap();
    let builder = Nameserver::builder(fast_nameserver()).elections(elections);
    let nameserver = builder.bind().await.unwrap();
    let _shown = show(&nameserver.handle(), endpoint);
    let labels = [("id", "priority"), ("kind", "election"), ("state", "active")];
    scraped(endpoint, |read| read.value("skymesh_plugin_state", &labels) == Some(1.0)).await;
}

#[tokio::test]
async fn a_quarantined_selector_shows_until_a_reload_makes_it_anew() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let server = mesh.agent().await;
    let (_server, mut inbox) = server.register("app.test.server/1").await.unwrap();
    // Less often than in a self-test.
    let panics = json!({ "mischief": "panic_in_call", "every": 100 });
    let selector = json!({ "use": "skymesh_fixture_unruly/unruly", "config": panics });
    let table = || services(json!({ "app.test.server": { "selector": selector } }));
    let client = shown_at(mesh.builder().services(table()), endpoint).connect().await.unwrap();
    let (me, _inbox) = client.register("app.test.client/1").await.unwrap();
    let router = client.router("app.test.server").unwrap();
    let shows = |state: &'static str, degraded: f64| {
        move |read: &Exposition| {
            let of = [("id", "unruly"), ("kind", "selector")];
            let plugin =
                |state| read.value("skymesh_plugin_state", &[of[0], of[1], ("state", state)]);
            let service = [("service", "app.test.server")];
            let others = ["active", "quarantined"].into_iter().filter(|other| *other != state);
            plugin(state) == Some(1.0)
                && others.into_iter().all(|other| plugin(other).is_none())
                && read.value("skymesh_router_degraded", &service) == Some(degraded)
        }
    };
    scraped(endpoint, shows("active", 0.0)).await;
    // Five failures within a minute are too many.
    for _ in 0..500 {
        me.send(&router, "whoever picks").await.unwrap();
        next_message(&mut inbox).await;
    }
    scraped(endpoint, shows("quarantined", 1.0)).await;
    let fresh = FreshConfig::new(mesh.config(), table(), PluginsConfig::default());
    let reload = within(SOON, client.reload_with(fresh)).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    scraped(endpoint, shows("active", 0.0)).await;
}
