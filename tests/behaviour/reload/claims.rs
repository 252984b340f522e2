//! Selectors of which there can be but one: every router has one of its own, so what is had for one of
//! them may be refused to the next.

use serde_json::{Value, json};
use skymesh_agent::{Agent, Reload, ReloadOutcome, Router};
use skymesh_plugin_host::SlotHealth;
use skymesh_tests::{Mesh, SOON, within};

use super::stage::Shop;

/// A selector for `pattern` that claims a file of the shop's.
fn claiming(shop: &Shop, pattern: &str, required: bool) -> Value {
    let config = json!({ "claim": shop.plugins().dirs[0].join("claim") });
    let selector = json!({
        "use": "skymesh_fixture_unruly/unruly", "config": config, "required": required });
    json!({ pattern: { "selector": selector } })
}

fn routers(agent: &Agent) -> [Router; 2] {
    ["app.shop.till", "app.shop.safe"].map(|name| agent.router(name).unwrap())
}

async fn reload(agent: &Agent, shop: &Shop, table: Value) -> std::sync::Arc<Reload> {
    within(SOON, agent.reload_with(shop.config(table))).await
}

const TAKEN: &str = "services.\"app.shop.*\".selector: ";

#[tokio::test]
async fn what_one_router_is_refused_no_router_gets() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let agent = shop.agent(&mesh, json!({})).await;
    let both = routers(&agent);
    let refused = reload(&agent, &shop, claiming(&shop, "app.shop.*", true)).await;
    assert_eq!((refused.version, refused.outcome), (0, ReloadOutcome::Refused), "{refused}");
    let [fault] = refused.faults.as_slice() else { panic!("told once: {refused}") };
    assert!(fault.starts_with(TAKEN) && fault.contains("its claim is taken"), "{fault}");
    for router in &both {
        assert_eq!(router.health(), SlotHealth::Builtin, "{refused}");
    }
    // What was made for the other one is let go: a service of its own gets it.
    let applied = reload(&agent, &shop, claiming(&shop, "app.shop.till", true)).await;
    assert_eq!((applied.version, applied.outcome), (1, ReloadOutcome::Applied), "{applied}");
    assert!(matches!(both[0].health(), SlotHealth::Healthy { .. }), "{:?}", both[0].health());
}

#[tokio::test]
async fn what_is_optional_and_refused_to_one_router_is_told_once() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let agent = shop.agent(&mesh, json!({})).await;
    let both = routers(&agent);
    let third = agent.router("app.shop.shelf").unwrap();
    let applied = reload(&agent, &shop, claiming(&shop, "app.shop.*", false)).await;
    assert_eq!((applied.version, applied.outcome), (1, ReloadOutcome::Applied), "{applied}");
    let [fault] = applied.faults.as_slice() else { panic!("told once: {applied}") };
    assert!(fault.starts_with(TAKEN) && fault.contains("its claim is taken"), "{fault}");
    let health = both.iter().chain([&third]).map(Router::health);
    let missing = health.filter(|one| matches!(one, SlotHealth::Missing { .. })).count();
    assert_eq!(missing, 2, "one has it: {applied}");
}

/// One that serves as it is configured is left alone: no other is made, not even to be tried.
#[tokio::test]
async fn what_has_its_claim_already_stands_in_no_reloads_way() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let table = || claiming(&shop, "app.shop.till", true);
    let agent = shop.agent(&mesh, table()).await;
    let router = shop.router(&agent).await;
    let same = reload(&agent, &shop, table()).await;
    assert_eq!((same.version, same.outcome), (0, ReloadOutcome::Unchanged), "{same}");
    let mut other = table();
    other["app.else.*"] = json!({ "inbox_limit_bytes": 2_000_000 });
    let applied = reload(&agent, &shop, other).await;
    assert_eq!((applied.version, applied.outcome), (1, ReloadOutcome::Applied), "{applied}");
    assert!(matches!(router.health(), SlotHealth::Healthy { .. }), "{:?}", router.health());
}
