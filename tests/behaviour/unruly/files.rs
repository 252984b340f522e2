//! Files of libraries that change under a running process, and constructors that never return.

use std::time::Duration;

use serde_json::json;
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{FreshConfig, ReloadOutcome};
use skymesh_plugin_host::{PluginsConfig, StrategyConfig};
use skymesh_tests::{Mesh, SOON, next_message, services, within};
use skymesh_types::Key;

use super::{UNRULY, unruly};
use crate::reload::stage::{EDITION, Shop, TILLS, keyed_to};

/// Overwritten by zeros, cut short, and overwritten by another version, in place: what is mapped is a
/// private copy.
#[tokio::test]
async fn a_library_that_is_replaced_in_place_while_it_is_mapped_disturbs_nobody() {
    let mesh = Mesh::start().await;
    let mut shop = Shop::open(&mesh).await;
    shop.deploy(1);
    let table = json!({ "app.shop.*": { "selector": { "use": EDITION } } });
    let agent = shop.agent(&mesh, table).await;
    let router = shop.router(&agent).await;
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let zeros: fn(&[u8]) -> Vec<u8> = |bytes| vec![0; bytes.len()];
    let half: fn(&[u8]) -> Vec<u8> = |bytes| bytes[..bytes.len() / 2].to_vec();
    for (spoiled, said) in [(zeros, "not a library"), (half, "truncated")] {
        shop.deploy(1);
        shop.overwrite(spoiled);
        for key in 0..100 {
            client.send(router.key(key), key.to_le_bytes()).await.unwrap();
        }
        let reload = within(SOON, agent.reload()).await;
        assert_eq!(reload.outcome, ReloadOutcome::Refused, "{reload}");
        assert!(reload.faults[0].contains(said), "{reload}");
        let is_told = |reason: &str| reason.contains(said);
        let rows = agent.plugins();
        assert!(rows.iter().any(|row| row.reason.as_deref().is_some_and(is_told)), "{rows:?}");
        for key in 0..100u64 {
            let (_, inbox) = &mut shop.tills[keyed_to(key, 1) as usize - 1];
            assert_eq!(next_message(inbox).await.payload(), &key.to_le_bytes()[..]);
        }
    }
    // By another version: it serves from the next reload on.
    shop.overwrite_with(2);
    client.send(router.key(0), [1]).await.unwrap();
    let reload = within(SOON, agent.reload()).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    client.send(router.key(0), [2]).await.unwrap();
    for edition in [1, 2] {
        let (_, inbox) = &mut shop.tills[keyed_to(0, edition) as usize - 1];
        assert_eq!(next_message(inbox).await.payload(), &[edition as u8][..]);
    }
}

/// It is refused by name in its time, the selector before it serves, and later reloads take effect.
#[tokio::test]
async fn a_constructor_that_hangs_is_refused_and_later_reloads_work() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let mod_hash = || json!({ "app.shop.*": { "selector": { "use": "mod_hash" } } });
    let agent = shop.agent(&mesh, mod_hash()).await;
    let router = shop.router(&agent).await;
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let budget = Duration::from_secs(2);
    let config = |table| {
        let plugins = PluginsConfig { start_budget: budget, ..shop.plugins() };
        FreshConfig::new(AgentConfig::default(), services(table), plugins)
    };
    let hanging = |kind: &str| json!({ "app.shop.*": { kind: unruly("hang_in_new", 1) } });
    for kind in ["selector", "codec"] {
        let reload = agent.reload_with(config(hanging(kind)));
        // Messages go on while it is waited for.
        let (reload, ()) = tokio::join!(within(SOON, reload), async {
            for _ in 0..100 {
                client.send(router.key(1), [1]).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(reload.outcome, ReloadOutcome::Refused, "{reload}");
        let named = |fault: &String| {
            fault.contains(UNRULY) && fault.contains("its constructor: it took longer than 2s")
        };
        assert!(reload.faults.iter().any(named), "{reload}");
        let rows = agent.plugins();
        assert!(rows.iter().any(|row| row.reason.as_ref().is_some_and(named)), "{rows:?}");
        assert_eq!(router.select(Some(Key::from(1))).unwrap().url.instance.get(), 2);
    }
    let reload = within(SOON, agent.reload_with(config(json!({})))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    let reload = within(SOON, agent.reload_with(config(mod_hash()))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    let picked = router.select(Some(Key::from(TILLS + 2))).unwrap();
    assert_eq!(picked.url.instance.get(), 3);
    // At a start there is nobody who could go on, so it is the start's error.
    let plugins = PluginsConfig { start_budget: budget, ..shop.plugins() };
    let start = mesh.builder().services(services(hanging("selector"))).plugins(plugins);
    let error = within(SOON, start.connect()).await.unwrap_err().to_string();
    assert!(error.contains(StrategyConfig::new(UNRULY).id()), "{error}");
}
