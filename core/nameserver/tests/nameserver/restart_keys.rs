//! Keys that need a restart: a reload names each that differs, at each reload, and none takes effect.

use std::time::Duration;

use serde_json::Value;
use skymesh_nameserver::{
    AdminConfig, ElectionsConfig, FreshNameserver, LimitsConfig, MassLossConfig, NameserverConfig,
    ReloadOutcome, StoreConfig,
};
use skymesh_plugin_host::PluginsConfig;
use skymesh_reload::keys::{Role, When, when};

use crate::client::{Server, config, soon, start};

/// Reloads with that configuration, which must change nothing; answers what it names.
async fn named(server: &Server, config: NameserverConfig) -> Vec<String> {
    let fresh = FreshNameserver::new(config, ElectionsConfig::default(), PluginsConfig::default());
    let reload = soon("reload", server.handle.reload_with(fresh)).await;
    assert_eq!(reload.outcome, ReloadOutcome::Unchanged, "{reload}");
    reload.needs_restart.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named_again_and_again() {
    let server = start(config()).await;
    let other = NameserverConfig { lease: Duration::from_secs(9), history: 5, ..config() };
    for _ in 0..2 {
        let named = named(&server, other.clone()).await;
        assert_eq!(named, ["nameserver.history: 1024 -> 5", "nameserver.lease: \"6s\" -> \"9s\""]);
    }
}

/// Every key has another value than [`config`].
fn other() -> NameserverConfig {
    NameserverConfig {
        listen: "127.0.0.1:7".to_owned(),
        lease: Duration::from_secs(11),
        lease_v1: Duration::from_secs(12),
        session_grace: Duration::from_secs(13),
        recovery: Some(Duration::from_secs(14)),
        coalesce: Duration::from_millis(15),
        round: Duration::from_secs(16),
        history: 17,
        introduce_within: Duration::from_secs(18),
        close_within: Duration::from_secs(19),
        watch_files: Duration::from_secs(20),
        store: StoreConfig::file("elsewhere"),
        admin: AdminConfig { token_file: Some("token".into()) },
        mass_loss: MassLossConfig {
            percent: 21,
            within: Duration::from_secs(22),
            min_instances: 23,
            hold: Duration::from_secs(24),
        },
        limits: LimitsConfig {
            connections: 25,
            sessions: 26,
            instances_per_app: 27,
            instances_per_session: 28,
            watches_per_session: 29,
            overrides: 30,
            max_frame_bytes: 1 << 21,
            outbox_bytes: 1 << 22,
            reply_bytes: 1 << 23,
            queue: 31,
        },
    }
}

/// The pointers to all values of a table.
fn pointers(at: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(table) => {
            let all = table.iter().flat_map(|(key, value)| pointers(&format!("{at}/{key}"), value));
            all.collect()
        }
        _ => vec![at.to_owned()],
    }
}

#[tokio::test]
async fn each_key_of_a_nameserver_is_named_as_the_table_says() {
    let server = start(config()).await;
    let [started, other] = [config(), other()].map(|one| serde_json::to_value(one).unwrap());
    for pointer in pointers("", &other) {
        let mut fresh = started.clone();
        let value = other.pointer(&pointer).unwrap();
        assert_ne!(started.pointer(&pointer), Some(value), "{pointer} is as it was");
        *fresh.pointer_mut(&pointer).unwrap() = value.clone();
        let key = format!("nameserver{}", pointer.replace('/', "."));
        assert_eq!(when(Role::Nameserver, &key), Some(When::Restart), "{key}");
        let named = named(&server, serde_json::from_value(fresh).unwrap()).await;
        let [line] = &named[..] else { panic!("{key}: {named:?}") };
        assert!(line.starts_with(&format!("{key}: ")), "{line}");
    }
}
