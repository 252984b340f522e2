//! Selectors: whatever one does, each message goes to an instance of the view.

use serde_json::{Value, json};
use skymesh_agent::{Resolve, Router};
use skymesh_plugin_host::{PluginKind, PluginState, SlotHealth};
use skymesh_tests::{Mesh, SOON, Stock, both_ways, services, within};

use super::{Client, Servers, optional, told, unruly};

both_ways! {
    one_that_fails_in_its_picks_is_quarantined_and_no_message_is_lost,
    one_that_panics_in_prepare_is_shown_and_the_builtin_picks,
    one_that_panics_in_its_constructor_fails_the_start_unless_it_is_optional,
}

const MESSAGES: usize = 100;

fn table(selector: &Value) -> Value {
    json!({ "app.*.*": { "selector": selector } })
}

/// One that panics, answers an index outside of the view, or blocks for 50 ms.
async fn one_that_fails_in_its_picks_is_quarantined_and_no_message_is_lost(stock: Stock) {
    let cases = [
        ("panic_in_call", 1, "it panicked; quarantined after 5 failures"),
        ("panic_in_call", 3, "it panicked; quarantined after 5 failures"),
        ("out_of_view", 1, "it picked outside of the view; quarantined after 5 failures"),
        ("largest_index", 2, "it picked outside of the view; quarantined after 5 failures"),
        ("stall", 1, "it took longer than 1ms; quarantined after 5 failures"),
    ];
    for (mischief, every, reason) in cases {
        let mesh = Mesh::start().await.with(stock);
        let mut servers = Servers::start(&mesh, 3, json!({})).await;
        let client = Client::start(&mesh, table(&unruly(mischief, every))).await;
        let router = client.router(3).await;
        client.send(&router, MESSAGES).await;
        assert_eq!(servers.count(&client.me).await, MESSAGES, "{mischief}");
        let health = router.health();
        assert!(matches!(health, SlotHealth::Quarantined { .. }), "{mischief}: {health:?}");
        let report = || client.agent.plugins();
        told(report, PluginKind::Selector, (PluginState::Quarantined, reason)).await;
        stock.check(&client.agent);
        let explained = router.explain(None).text();
        assert!(explained.contains("quarantined after "), "{mischief}: {explained}");
    }
}

async fn one_that_panics_in_prepare_is_shown_and_the_builtin_picks(stock: Stock) {
    let mesh = Mesh::start().await.with(stock);
    let mut servers = Servers::start(&mesh, 3, json!({})).await;
    let client = Client::start(&mesh, table(&unruly("panic_in_prepare", 1))).await;
    let router = client.router(3).await;
    client.send(&router, MESSAGES).await;
    assert_eq!(servers.count(&client.me).await, MESSAGES);
    assert!(router.health().is_degraded(), "{:?}", router.health());
    let said = (PluginState::Degraded, "it panicked while it prepared its table");
    told(|| client.agent.plugins(), PluginKind::Selector, said).await;
}

async fn one_that_panics_in_its_constructor_fails_the_start_unless_it_is_optional(stock: Stock) {
    let mesh = Mesh::start().await.with(stock);
    let mut servers = Servers::start(&mesh, 3, json!({})).await;
    let required = mesh.builder().services(services(table(&unruly("panic_in_new", 1))));
    let error = required.connect().await.unwrap_err().to_string();
    assert!(error.contains("the constructor panicked: mischief in new"), "{error}");

    let client = Client::start(&mesh, table(&optional("panic_in_new"))).await;
    let router = client.router(3).await;
    client.send(&router, MESSAGES).await;
    assert_eq!(servers.count(&client.me).await, MESSAGES);
    let SlotHealth::Missing { reason } = router.health() else { panic!("{:?}", router.health()) };
    assert!(reason.contains("the constructor panicked: mischief in new"), "{reason}");
    let said = (PluginState::Checked, "the constructor panicked: mischief in new");
    told(|| client.agent.plugins(), PluginKind::Selector, said).await;
}

/// It hangs at one of its tables, and once made anew it does so no more for a while.
#[tokio::test]
async fn one_that_hangs_recovers_by_a_reload_that_changes_nothing_else() {
    let mesh = Mesh::start().await;
    let mut servers = Servers::start(&mesh, 1, json!({})).await;
    // Two of its tables are the self-test's.
    let hangs = || table(&unruly("hang_in_prepare", 6));
    let client = Client::start(&mesh, hangs()).await;
    let router = client.router(1).await;
    let is_late = || matches!(router.health(), SlotHealth::Late { .. });
    let mut count = 1;
    // Each new instance wants a new table, unless the one before is not there yet.
    while !is_late() {
        servers.add().await;
        count += 1;
        let shown = async {
            while router_size(&router) < count && !is_late() {
                tokio::task::yield_now().await;
            }
        };
        within(SOON, shown).await;
    }
    assert!(router_size(&router) < count);
    client.reload(hangs()).await;
    client.router(count).await;
    assert!(!router.health().is_degraded(), "{:?}", router.health());
    client.send(&router, MESSAGES).await;
    assert_eq!(servers.count(&client.me).await, MESSAGES);
}

fn router_size(router: &Router) -> usize {
    match router.instances() {
        Resolve::Ready(known) => known.members.len(),
        _ => 0,
    }
}

/// Its tables end with each change of the membership, and it ends with a reload.
#[tokio::test]
async fn one_that_panics_when_it_is_dropped_is_named() {
    let mesh = Mesh::start().await;
    let mut servers = Servers::start(&mesh, 3, json!({})).await;
    let client = Client::start(&mesh, table(&unruly("panic_in_drop", 1))).await;
    client.send(&client.router(3).await, MESSAGES).await;
    servers.add().await;
    client.send(&client.router(4).await, MESSAGES).await;
    let report = || client.agent.plugins();
    let said = (PluginState::Degraded, "it panicked when it was dropped; failures so far");
    told(report, PluginKind::Selector, said).await;

    client.reload(json!({})).await;
    let said = (PluginState::Retired, "it panicked when it was dropped");
    told(report, PluginKind::Selector, said).await;
    client.send(&client.router(4).await, MESSAGES).await;
    assert_eq!(servers.count(&client.me).await, 3 * MESSAGES);
}
