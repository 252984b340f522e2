//! All stages before every stock selector, by what arrives over sockets. At the level of views there are
//! more cases: core/stages/tests.

use std::collections::BTreeMap;

use serde_json::json;
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, Delivery, Inbox, Instance, Resolve, Router, Stage};
use skymesh_plugin_host::{PluginHost, PluginKind, PluginReport, PluginsConfig};
use skymesh_tests::{Mesh, SOON, Stock, both_ways, services, within};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

both_ways! { every_selector_sends_only_to_whom_the_stages_leave }

/// Those that go by what they measure: of two they may give all to one.
const ADAPTIVE: [&str; 2] = ["quality", "p2c"];
/// So many that each of two gets one, but for once in 10^18.
const MESSAGES: u64 = 60;

/// Those of the stock, and the one of the host.
fn selectors() -> Vec<String> {
    let config = PluginsConfig { linked_only: true, ..PluginsConfig::default() };
    let host = PluginHost::with_linked(config, skymesh_stock::plugins()).unwrap();
    let is_stock = |row: &PluginReport| {
        row.kind == Some(PluginKind::Selector) && row.library.starts_with("skymesh_selector_")
    };
    let ids = host.report().into_iter().filter(is_stock).filter_map(|row| row.id);
    let all: Vec<String> = ids.chain(["builtin".to_owned()]).collect();
    assert!(all.len() > 8, "{all:?}");
    all
}

/// An agent of a zone; each selector serves the environment of its name.
async fn agent(mesh: &Mesh, zone: &str) -> Agent {
    let config = AgentConfig { zone: Some(zone.to_owned()), ..mesh.config() };
    let stages = json!({
        "zone_min_instances": 2,
        "outliers": { "errors_percent": 50, "hold": "1h", "max_percent": 20 },
    });
    let table = selectors().into_iter().map(|id| {
        let service = json!({ "selector": { "use": id }, "stages": stages });
        (format!("app.{id}.*"), service)
    });
    let table = serde_json::Map::from_iter(table);
    mesh.builder().config(config).services(services(table.into())).connect().await.unwrap()
}

/// Registers an instance, and has all that it gets told as its number.
async fn register(agent: &Agent, id: &str, instance: u64, got: &UnboundedSender<u64>) -> Instance {
    let url = format!("app.{id}.server/{instance}");
    let (registered, inbox) = agent.register(url.as_str()).await.unwrap();
    tokio::spawn(tell(inbox, instance, got.clone()));
    registered
}

async fn tell(mut inbox: Inbox, instance: u64, got: UnboundedSender<u64>) {
    while let Some(delivery) = inbox.recv().await {
        if let Delivery::Message(_) = delivery
            && got.send(instance).is_err()
        {
            return;
        }
    }
}

/// Who gets how many of some messages with a key each, and of as many without.
async fn arrivals(
    me: &Instance,
    router: &Router,
    got: &mut UnboundedReceiver<u64>,
) -> [BTreeMap<u64, u64>; 2] {
    let mut counts = [BTreeMap::new(), BTreeMap::new()];
    for (turn, counts) in counts.iter_mut().enumerate() {
        for key in 0..MESSAGES {
            // Numbers in a row fall on even remainders evenly.
            match turn {
                0 => me.send(router.key(key), "by key").await.unwrap(),
                _ => me.send(router, "to anybody").await.unwrap(),
            }
        }
        for _ in 0..MESSAGES {
            let instance = within(SOON, got.recv()).await.unwrap();
            *counts.entry(instance).or_default() += 1;
        }
    }
    counts
}

fn check(id: &str, counts: &BTreeMap<u64, u64>, able: [u64; 2]) {
    assert_eq!(counts.values().sum::<u64>(), MESSAGES, "{id}");
    assert!(counts.keys().all(|one| able.contains(one)), "{id}: {counts:?}, not {able:?}");
    assert!(ADAPTIVE.contains(&id) || counts.len() == able.len(), "{id}: {counts:?}");
}

async fn wait_for(router: &Router, expected: &[Option<Stage>]) {
    let dropped =
        || router.explain(None).instances.iter().map(|one| one.dropped).collect::<Vec<_>>();
    let waited = router.wait_until(SOON, |_: &Resolve| dropped() == expected).await;
    waited.unwrap_or_else(|error| panic!("{}: {error}: {:?}", router.name(), dropped()));
}

async fn every_selector_sends_only_to_whom_the_stages_leave(stock: Stock) {
    use Stage::{Draining, Outlier, Zone};
    let mesh = Mesh::start().await.with(stock);
    let (east, west) = (agent(&mesh, "east").await, agent(&mesh, "west").await);
    let client = agent(&mesh, "east").await;
    let (me, _inbox) = client.register("app.client.client/1").await.unwrap();
    for id in &selectors() {
        let (told, mut got) = unbounded_channel();
        let mut held = Vec::new();
        for instance in 1..=4 {
            held.push(register(&east, id, instance, &told).await);
        }
        held.push(register(&west, id, 5, &told).await);
        mesh.nameserver().drain(held[0].url().clone()).await.unwrap();
        let router = client.router(format!("app.{id}.server").as_str()).unwrap();
        wait_for(&router, &[Some(Draining), None, None, None, Some(Zone)]).await;
        router.stats(2u64.try_into().unwrap()).unwrap().set_error_ppm(600_000);
        wait_for(&router, &[Some(Draining), Some(Outlier), None, None, Some(Zone)]).await;
        for counts in arrivals(&me, &router, &mut got).await {
            check(id, &counts, [3, 4]);
        }

        // Too few are left in this zone: the other one serves as well, and who drains still does not.
        held.remove(3).unregister().await.unwrap();
        wait_for(&router, &[Some(Draining), Some(Outlier), None, None]).await;
        for counts in arrivals(&me, &router, &mut got).await {
            check(id, &counts, [3, 5]);
        }
    }
}
