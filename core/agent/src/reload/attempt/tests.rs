//! The table of keys against what a reload does with each of them.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::bare;
use crate::config::{AdminSocket, HoldConfig, InboxConfig, Unreachable};

/// Every key has another value than by default.
fn other() -> AgentConfig {
    AgentConfig {
        app: "other".parse().ok(),
        nameserver: "127.0.0.1:7".into(),
        nameserver_protocol: 1,
        listen: "127.0.0.1:8".parse().unwrap(),
        advertise: Some("127.0.0.1:9".into()),
        zone: Some("z".into()),
        unreachable: Unreachable::Fail,
        dial_timeout: Duration::from_secs(31),
        resolve_timeout: Duration::from_secs(32),
        ping_interval: Duration::from_secs(33),
        drain_timeout: Duration::from_secs(34),
        max_frame_bytes: 1 << 21,
        outbox_bytes: 1 << 22,
        max_connections: 35,
        watch_files: Duration::from_secs(36),
        admin: AdminSocket::Off,
        inbox: InboxConfig { window_bytes: 1 << 23, limit_bytes: 1 << 27 },
        hold: HoldConfig { messages: 37, limit_bytes: 1 << 19, time: Duration::from_secs(38) },
    }
}

fn keys(value: &Value) -> usize {
    value.as_object().map_or(1, |table| table.values().map(keys).sum())
}

/// The defaults, but for that key.
fn with(key: &str, other: &Value) -> AgentConfig {
    let pointer = key.replacen("agent", "", 1).replace('.', "/");
    let mut config = serde_json::to_value(AgentConfig::default()).unwrap();
    *config.pointer_mut(&pointer).unwrap() = other.pointer(&pointer).unwrap().clone();
    serde_json::from_value(config).unwrap()
}

#[test]
fn every_key_takes_effect_or_is_told_to_need_a_restart_as_the_table_says() {
    let started = AgentConfig::default();
    let every = between("agent", &started, &other());
    let other = serde_json::to_value(other()).unwrap();
    assert_eq!(every.len(), keys(&other), "one has its default: {every:?}");
    for Change { what: key, .. } in every {
        let (runtime, _commands) = bare::runtime();
        let agent = with(&key, &other);
        let (services, plugins) = (ServicesConfig::default(), PluginsConfig::default());
        let holding = Holding {
            agent: started.clone(),
            services: services.clone(),
            plugins: plugins.clone(),
            metrics: MetricsConfig::default(),
            trace: TraceConfig::default(),
        };
        let fresh = FreshConfig::new(agent.clone(), services, plugins);
        let (holds, applied) = take_effect(&runtime, &holding, fresh, Ready::default());
        let [changed, needs_restart] = [applied.changed, applied.needs_restart]
            .map(|told| told.into_iter().map(|change| change.what).collect::<Vec<_>>());
        let in_effect = &runtime.hot.load().agent;
        assert_eq!(*in_effect, holds.agent, "{key}");
        match when(Role::Agent, &key) {
            Some(When::Hot) => {
                assert_eq!((changed, needs_restart), (vec![key.clone()], vec![]));
                assert_eq!(*in_effect, agent, "{key}");
            }
            Some(When::Restart) => {
                assert_eq!((changed, needs_restart), (vec![], vec![key.clone()]));
                assert_eq!(*in_effect, started, "{key}");
            }
            None => panic!("the table does not have {key}"),
        }
    }
}
