//! Reloads, as those see them who send, ask and operate: what takes effect, what stays, what is told.

mod claims;
mod hot_keys;
mod load;
pub(crate) mod stage;
mod told;

use std::time::Duration;

use serde_json::json;
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{FreshConfig, ReloadOutcome, Resolve};
use skymesh_plugin_host::{LoadConfig, PluginsConfig, SlotHealth};
use skymesh_tests::{Mesh, SOON, services, within};
use skymesh_types::Key;

use stage::{EDITION, Shop, keyed_to};

#[tokio::test]
async fn another_selector_takes_effect_with_the_next_message() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let agent = shop.agent(&mesh, json!({})).await;
    let router = shop.router(&agent).await;
    let other = json!({ "app.*.*": { "selector": { "use": "mod_hash" } } });
    let reload = agent.reload_with(shop.config(other)).await;
    assert_eq!((reload.version, reload.outcome), (1, ReloadOutcome::Applied), "{reload}");
    let told: Vec<String> = reload.changed.iter().map(ToString::to_string).collect();
    assert!(
        told.contains(&"services.\"app.*.*\".selector.use: nothing -> \"mod_hash\"".to_owned()),
        "{told:?}"
    );
    let exchanged = |line: &String| {
        line.contains("selector of app.shop.till: builtin -> skymesh_selector_mod_hash/")
    };
    assert!(told.iter().any(exchanged), "{told:?}");
    let picks: Vec<u64> =
        (0..8).map(|key| router.select(Some(Key::from(key))).unwrap().url.instance.get()).collect();
    assert_eq!(picks, [1, 2, 3, 4, 1, 2, 3, 4]);

    // The same once more is no change, and the selector keeps its state.
    let same = json!({ "app.*.*": { "selector": { "use": "mod_hash" } } });
    let reload = agent.reload_with(shop.config(same)).await;
    assert_eq!((reload.version, reload.outcome), (1, ReloadOutcome::Unchanged), "{reload}");
    // A router that is opened later is of the new configuration, too.
    let later = agent.router("app.shop.later").unwrap();
    assert!(format!("{:?}", later.health()).contains("mod_hash"), "{:?}", later.health());
}

#[tokio::test]
async fn another_file_of_the_same_name_takes_effect_and_the_old_content_again() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    shop.deploy(1);
    let agent =
        shop.agent(&mesh, json!({ "app.shop.*": { "selector": { "use": EDITION } } })).await;
    let router = shop.router(&agent).await;
    for edition in [1, 2, 1, 2] {
        shop.deploy(edition);
        let reload = agent.reload().await;
        let picked = router.select(Some(Key::from(2))).unwrap().url.instance.get();
        assert_eq!(picked, keyed_to(2, edition), "{reload}");
    }
    let reload = agent.reload().await;
    assert_eq!((reload.version, reload.outcome), (3, ReloadOutcome::Unchanged), "{reload}");
}

#[tokio::test]
async fn what_is_wrong_is_told_in_full_and_changes_nothing() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    shop.deploy(1);
    let table = json!({ "app.shop.*": { "selector": { "use": EDITION } } });
    let agent = shop.agent(&mesh, table.clone()).await;
    let router = shop.router(&agent).await;
    // (services, what is said)
    let wrong = [
        (
            json!({ "app.shop.*": { "selector": { "use": "nowhere" } } }),
            vec!["services.\"app.shop.*\".selector: selector `nowhere` not found"],
        ),
        (
            json!({ "app.a.*": { "selector": { "use": "nowhere" } }, "app.b.*": { "codec": { "use": "nothing" } } }),
            vec!["app.a.*", "app.b.*"],
        ),
        (
            json!({ "app.a.*": { "inbox_limit_bytes": 1 } }),
            vec!["inbox_limit_bytes = 1 is out of range"],
        ),
    ];
    for (services, said) in wrong {
        let reload = agent.reload_with(shop.config(services)).await;
        assert_eq!((reload.version, reload.outcome), (0, ReloadOutcome::Refused));
        assert_eq!(reload.faults.len(), said.len(), "{reload}");
        for (fault, part) in reload.faults.iter().zip(said) {
            assert!(fault.contains(part), "{fault}");
        }
        assert!(reload.changed.is_empty());
        assert_eq!(router.select(Some(Key::from(2))).unwrap().url.instance.get(), 3);
    }
    // Of every sort at once: a range, declared libraries that are not there, and a strategy that is not.
    let declared =
        |name: &str| LoadConfig { library: Some(name.to_owned()), ..LoadConfig::default() };
    let plugins =
        PluginsConfig { load: vec![declared("here"), declared("there")], ..shop.plugins() };
    let table = json!({
        "app.a.*": { "inbox_limit_bytes": 1, "selector": { "use": "nowhere" } },
    });
    let fresh = FreshConfig::new(AgentConfig::default(), services(table), plugins);
    let reload = agent.reload_with(fresh).await;
    assert_eq!((reload.version, reload.outcome), (0, ReloadOutcome::Refused));
    let said = [
        "services.\"app.a.*\".inbox_limit_bytes = 1 is out of range",
        "library `here` not found",
        "library `there` not found",
        "services.\"app.a.*\".selector: selector `nowhere` not found",
    ];
    assert_eq!(reload.faults.len(), said.len(), "{reload}");
    for (fault, said) in reload.faults.iter().zip(said) {
        assert!(fault.starts_with(said), "{fault}");
    }
    let rows = agent.plugins();
    let row = |library: &str| rows.iter().any(|row| row.library == library);
    assert!(row("here") && row("there"), "{rows:?}");

    // By limits that no plugin could keep, nothing is told of plugins one by one; nor is a start tried.
    let mut plugins = PluginsConfig { start_budget: Duration::ZERO, ..shop.plugins() };
    plugins.quarantine.failures = 0;
    let table = json!({ "app.a.*": { "inbox_limit_bytes": 1, "selector": { "use": EDITION } } });
    let fresh = FreshConfig::new(AgentConfig::default(), services(table), plugins.clone());
    let reload = agent.reload_with(fresh).await;
    assert_eq!((reload.version, reload.outcome), (0, ReloadOutcome::Refused));
    let said = [
        "services.\"app.a.*\".inbox_limit_bytes = 1 is out of range",
        "plugins.quarantine.failures: 0 is out of range: at least 1",
        "plugins.start_budget: 0s is out of range: at least 10ms",
    ];
    assert_eq!(reload.faults.len(), said.len(), "{reload}");
    assert!(
        reload.faults.iter().zip(said).all(|(fault, said)| fault.starts_with(said)),
        "{reload}"
    );
    let start = mesh.builder().plugins(plugins).connect().await;
    assert_eq!(start.unwrap_err().to_string(), said[1]);

    // What is optional is told, and keeps nothing else from taking effect.
    let optional = json!({
        "app.shop.*": { "selector": { "use": EDITION } },
        "app.a.*": { "selector": { "use": "nowhere", "required": false } },
    });
    let reload = agent.reload_with(shop.config(optional)).await;
    assert_eq!((reload.version, reload.outcome), (1, ReloadOutcome::Applied), "{reload}");
    assert!(reload.faults[0].contains("`nowhere` not found"), "{reload}");

    // Replaced in place while it is mapped, by half of itself.
    shop.spoil();
    let reload = agent.reload().await;
    assert_eq!(reload.outcome, ReloadOutcome::Refused);
    assert!(reload.faults[0].contains("truncated"), "{reload}");
    assert!(
        agent
            .plugins()
            .iter()
            .any(|row| row.reason.as_deref().is_some_and(|r| r.contains("truncated")))
    );
    assert_eq!(router.select(Some(Key::from(2))).unwrap().url.instance.get(), 3);
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named_and_hot_ones_are_applied() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let agent = shop.agent(&mesh, json!({})).await;
    let mut config = mesh.config();
    config.outbox_bytes = 2 * 1024 * 1024;
    config.resolve_timeout = std::time::Duration::from_millis(7);
    let fresh = FreshConfig::new(config, services(json!({})), shop.plugins());
    let reload = agent.reload_with(fresh).await;
    let needs: Vec<&str> = reload.needs_restart.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(needs, ["agent.outbox_bytes"], "{reload}");
    let changed: Vec<String> = reload.changed.iter().map(ToString::to_string).collect();
    assert_eq!(changed, ["agent.resolve_timeout: \"5s\" -> \"7ms\""]);
}

/// A quarantined selector serves again after a reload, and so does one whose plugin was missing.
#[tokio::test]
async fn a_reload_ends_a_quarantine() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let config = json!({ "mischief": "panic_in_call", "every": 100 });
    let table = json!({ "app.shop.*": { "selector": { "use": "skymesh_fixture_unruly/unruly", "config": config } } });
    let agent = shop.agent(&mesh, table).await;
    let router = shop.router(&agent).await;
    while !router.health().is_degraded() {
        assert!(router.select(None).is_some(), "the built-in serves in its place");
    }
    let reload = within(SOON, agent.reload()).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(!router.health().is_degraded());
}

/// An optional plugin that is not there is missing after a reload as it is at a start.
#[tokio::test]
async fn the_builtin_serves_for_an_optional_plugin_that_is_missing() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let before = json!({ "app.*.*": { "selector": { "use": "mod_hash" } } });
    let agent = shop.agent(&mesh, before).await;
    let router = shop.router(&agent).await;
    let other = |plugin| json!({ "app.*.*": { "selector": { "use": plugin, "required": false } } });
    let reload = within(SOON, agent.reload_with(shop.config(other("nowhere")))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(reload.faults.iter().any(|fault| fault.contains("nowhere")), "{reload}");
    let told = reload.changed.iter().map(ToString::to_string).find(|line| line.contains("till"));
    assert!(told.unwrap().ends_with("-> builtin"), "{reload}");
    assert!(matches!(router.health(), SlotHealth::Missing { .. }), "{:?}", router.health());
    assert!(router.select(None).is_some());
    let reload = within(SOON, agent.reload_with(shop.config(other("nowhere")))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Unchanged, "{reload}");

    // In place of another one it is the same selector, for another reason.
    let reload = within(SOON, agent.reload_with(shop.config(other("elsewhere")))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(
        !reload.changed.iter().any(|change| change.what.starts_with("selector of ")),
        "{reload}"
    );
    let SlotHealth::Missing { reason } = router.health() else { panic!("{:?}", router.health()) };
    assert!(reason.contains("elsewhere"), "{reason}");
}

/// Elections are the nameserver's, which reads them anew itself; limits of quarantine are those of
/// selectors that run.
#[tokio::test]
async fn elections_are_left_to_the_nameserver_and_limits_take_effect() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let table = || json!({ "app.*.*": { "selector": { "use": "mod_hash" } } });
    let agent = shop.agent(&mesh, table()).await;
    let _router = shop.router(&agent).await;
    let elected = json!({ "app.*.*": {
        "selector": { "use": "mod_hash" }, "election": { "use": "lowest_id" } } });
    let reload = within(SOON, agent.reload_with(shop.config(elected))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Unchanged, "{reload}");
    assert!(!reload.needs_restart.iter().any(|one| one.what.contains("election")), "{reload}");

    let mut plugins = shop.plugins();
    plugins.quarantine.failures = 50;
    let fresh = FreshConfig::new(AgentConfig::default(), services(table()), plugins);
    let reload = within(SOON, agent.reload_with(fresh)).await;
    let told: Vec<String> = reload.changed.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|line| line.starts_with("selector of app.shop.till: ")), "{told:?}");
}

/// A selector whose `prepare` does not come back costs its own service new views, and nobody else.
#[tokio::test]
async fn a_table_that_is_never_ready_holds_nobody_else_up() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let hanging = json!({ "use": "skymesh_fixture_unruly/unruly", "config": { "mischief": "hang_in_prepare" } });
    let agent = shop.agent(&mesh, json!({ "app.shop.*": { "selector": hanging } })).await;
    let router = agent.router("app.shop.till").unwrap();
    let other = mesh.agent().await;
    let (_instance, _inbox) = other.register("app.test.other/1").await.unwrap();
    let beside = agent.router("app.test.other").unwrap();
    beside.wait_until(SOON, |resolve| matches!(resolve, Resolve::Ready(_))).await.unwrap();
    let is_late = || async {
        while !matches!(router.health(), SlotHealth::Late { .. }) {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, is_late()).await;
    let reload = within(SOON, agent.reload_with(shop.config(json!({})))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    router.wait_until(SOON, |resolve| matches!(resolve, Resolve::Ready(_))).await.unwrap();
    // It does not come in by a reload: it fails its self-test.
    let hanging = json!({ "use": "skymesh_fixture_unruly/unruly", "config": { "mischief": "hang_in_prepare" } });
    let hanging = json!({ "app.shop.*": { "selector": hanging } });
    let reload = within(SOON, agent.reload_with(shop.config(hanging))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Refused, "{reload}");
    assert!(reload.faults.iter().any(|fault| fault.contains("took longer than 5s")), "{reload}");
}
