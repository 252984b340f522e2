//! What happens to a service's instances before any selector sees them, and how a pick is explained.

mod selectors;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, Inbox, Instance, Resolve, Router, Stage};
use skymesh_tests::{Mesh, SOON, Stock, both_ways, services};

both_ways! {
    the_own_zone_is_preferred_while_it_has_enough,
    agents_have_subsets_of_their_own_and_draining_instances_are_in_none,
    who_answers_errors_is_left_out_and_has_another_chance,
    who_comes_later_starts_slowly_and_keys_go_where_they_belong,
}

type Held = Vec<(Instance, Inbox)>;

/// An agent of a zone, by this table of stages.
async fn agent(mesh: &Mesh, zone: Option<&str>, stages: Value) -> Agent {
    let config = AgentConfig { zone: zone.map(str::to_owned), ..mesh.config() };
    let table = json!({ "app.*.*": { "selector": { "use": "round_robin" }, "stages": stages } });
    mesh.builder().config(config).services(services(table)).connect().await.unwrap()
}

/// Registers instances of `app.stage.server`.
async fn register(agent: &Agent, instances: std::ops::RangeInclusive<u64>) -> Held {
    let mut held = Vec::new();
    for instance in instances {
        let url = format!("app.stage.server/{instance}");
        held.push(agent.register(url.as_str()).await.unwrap());
    }
    held
}

async fn router(agent: &Agent, count: usize) -> Router {
    let router = agent.router("app.stage.server").unwrap();
    let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == count);
    router.wait_until(SOON, all).await.unwrap();
    router
}

fn picks(router: &Router, times: usize) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        *counts.entry(router.select(None).unwrap().url.instance.get()).or_default() += 1;
    }
    counts
}

fn dropped(router: &Router) -> Vec<Option<Stage>> {
    router.explain(None).instances.iter().map(|one| one.dropped).collect()
}

async fn the_own_zone_is_preferred_while_it_has_enough(stock: Stock) {
    let mesh = Mesh::start().await.with(stock);
    let (east, west) =
        (agent(&mesh, Some("east"), json!({})).await, agent(&mesh, Some("west"), json!({})).await);
    let mut here = register(&east, 1..=2).await;
    let _there = register(&west, 3..=4).await;
    let client = agent(&mesh, Some("east"), json!({ "zone_min_instances": 2 })).await;
    let router = router(&client, 4).await;
    assert_eq!(picks(&router, 100), BTreeMap::from([(1, 50), (2, 50)]));
    let text = router.explain(None).text();
    assert!(text.contains("left out  app.stage.server/3: it is in another zone"), "{text}");
    assert!(text.contains("chose     from 2:") && text.contains("zone east"), "{text}");
    // One leaves: there are too few here, so all serve.
    here.pop().unwrap().0.unregister().await.unwrap();
    let three = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 3);
    router.wait_until(SOON, three).await.unwrap();
    assert_eq!(picks(&router, 90), BTreeMap::from([(1, 30), (3, 30), (4, 30)]));
}

async fn agents_have_subsets_of_their_own_and_draining_instances_are_in_none(stock: Stock) {
    let mesh = Mesh::start().await.with(stock);
    let server = mesh.agent().await;
    let held = register(&server, 1..=20).await;
    let mut subsets = Vec::new();
    for _ in 0..4 {
        let client = agent(&mesh, None, json!({ "subset_size": 5 })).await;
        let router = router(&client, 20).await;
        let subset = picks(&router, 100);
        assert_eq!(subset.values().collect::<Vec<_>>(), [&20; 5]);
        subsets.push(subset.into_keys().collect::<Vec<_>>());
        if subsets.len() < 4 {
            continue;
        }
        // One of them drains: another one takes its place, the others stay.
        let last = subsets.last().unwrap().clone();
        let draining = held.iter().find(|(one, _)| one.url().instance.get() == last[0]).unwrap();
        mesh.nameserver().drain(draining.0.url().clone()).await.unwrap();
        let drained = |_: &Resolve| dropped(&router).contains(&Some(Stage::Draining));
        router.wait_until(SOON, drained).await.unwrap();
        let after = picks(&router, 100);
        assert_eq!(after.len(), 5);
        assert!(!after.contains_key(&last[0]));
        assert!(last[1..].iter().all(|one| after.contains_key(one)), "{last:?} {after:?}");
    }
    subsets.dedup();
    assert!(subsets.len() > 1, "all agents have the subset {subsets:?}");
}

async fn who_answers_errors_is_left_out_and_has_another_chance(stock: Stock) {
    let mesh = Mesh::start().await.with(stock);
    let server = mesh.agent().await;
    let _held = register(&server, 1..=3).await;
    let stages = json!({ "outliers": { "errors_percent": 50, "hold": "1s", "max_percent": 50 } });
    let client = agent(&mesh, None, stages).await;
    let router = router(&client, 3).await;
    // As calls would have measured it.
    router.stats(2u64.try_into().unwrap()).unwrap().set_error_ppm(600_000);
    let ejected = |_: &Resolve| dropped(&router) == [None, Some(Stage::Outlier), None];
    router.wait_until(SOON, ejected).await.unwrap();
    assert_eq!(picks(&router, 100), BTreeMap::from([(1, 50), (3, 50)]));
    let back = |_: &Resolve| dropped(&router) == [None; 3];
    router.wait_until(SOON, back).await.unwrap();
    assert_eq!(router.stats(2u64.try_into().unwrap()).unwrap().error_ppm(), 0);
}

async fn who_comes_later_starts_slowly_and_keys_go_where_they_belong(stock: Stock) {
    let mesh = Mesh::start().await.with(stock);
    let server = mesh.agent().await;
    let _held = register(&server, 1..=3).await;
    let client = agent(&mesh, None, json!({ "slow_start": "1h" })).await;
    let router = router(&client, 3).await;
    assert_eq!(picks(&router, 99).values().collect::<Vec<_>>(), [&33; 3], "nobody is new at first");
    let _fourth = register(&server, 4..=4).await;
    let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 4);
    router.wait_until(SOON, all).await.unwrap();
    let counts = picks(&router, 8000);
    // A twentieth of its quarter is 100, with a deviation of 10.
    assert!((40..180).contains(&counts[&4]), "{counts:?}");
    assert_eq!(router.explain(None).instances[3].slow_start_percent, 5);
    let keyed = (0..100u64).filter(|key| {
        router.select(Some((*key).into())).is_some_and(|one| one.url.instance.get() == 4)
    });
    assert_eq!(keyed.count(), 25, "round robin by turns, whatever the key");
    // Slow start is hot.
    let off = json!({ "app.*.*": { "selector": { "use": "round_robin" } } });
    let plain = skymesh_agent::FreshConfig::new(
        AgentConfig::default(),
        services(off),
        skymesh_plugin_host::PluginsConfig::default(),
    );
    let reload = client.reload_with(plain).await;
    assert!(reload.changed.iter().any(|change| change.what.contains("slow_start")), "{reload}");
    let over = |_: &Resolve| router.explain(None).instances[3].slow_start_percent == 100;
    router.wait_until(SOON, over).await.unwrap();
}
