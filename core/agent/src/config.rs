//! The agent's part of the configuration file. Every key documents its default and whether it is
//! *hot* (applies at run time) or needs a restart; unknown keys are errors.

mod addresses;
mod admin_socket;
mod hold;
mod inbox;
mod services;
mod stages;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skymesh_types::{AppId, limits};

pub use admin_socket::AdminSocket;
pub use inbox::InboxConfig;
pub(crate) use inbox::MIN_WINDOW_BYTES;
pub use services::{ServiceConfig, ServicesConfig};
pub use skymesh_stages::{OutliersConfig, StagesConfig};

pub use hold::HoldConfig;

/// `[agent]`: one per process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// The app that this process belongs to; every service name it registers or watches lies in
    /// it. No default. Restart.
    pub app: Option<AppId>,
    /// Where the nameserver listens, `host:port`. Default `127.0.0.1:9100`. Restart.
    pub nameserver: String,
    /// The protocol that the nameserver speaks: 2, or 1 for one of the origin. Such a one knows no
    /// weights, terms, draining and revisions (what needs them is answered with "not supported by
    /// this nameserver", or warned of where nobody waits for an answer), and tells this agent of the whole app; other agents see
    /// this one as one of protocol 1. Default 2. Restart.
    pub nameserver_protocol: u32,
    /// Where this agent listens for its peers, `ip:port`; port 0 takes any free one. Default
    /// `127.0.0.1:0`, which is reached from this host only: with a nameserver on another host, or
    /// with `0.0.0.0`, `advertise` is needed, or an address of this host here. Restart.
    #[serde(deserialize_with = "addresses::ip_and_port")]
    pub listen: SocketAddr,
    /// The address told to peers, if it differs from where the agent listens (several networks,
    /// address translation). Default: the listening address. Restart.
    pub advertise: Option<String>,
    /// Where this process runs: a text that instances of the same place share, such as a data centre
    /// or rack. Its instances tell it as their attribute `zone`, unless they declare one; a service's
    /// `stages.zone_min_instances` goes by it. Default: none. Restart.
    pub zone: Option<String>,
    /// What `connect` does while the nameserver can't be reached. Default `retry`. Restart.
    pub unreachable: Unreachable,
    /// How long one attempt to reach the nameserver or a peer may take. Default 3 s, from 10 ms.
    /// Hot.
    #[serde(with = "humantime_serde")]
    pub dial_timeout: Duration,
    /// How long `send` to a service name waits for the first word on that name. Default 5 s, from
    /// 1 ms. Hot.
    #[serde(with = "humantime_serde")]
    pub resolve_timeout: Duration,
    /// How often each watched peer is pinged for its round-trip time; 0 s pings nobody. Default
    /// 1 s; less than 10 ms is refused. Restart.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Duration,
    /// How long a graceful stop may take to let messages in flight arrive and be read. Default
    /// 5 s. Hot.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Largest frame that is sent or taken, in bytes. Default 16 MiB, from 64 KiB to 1 GiB. All
    /// agents of an app should agree on it. Restart.
    pub max_frame_bytes: usize,
    /// Bytes that may wait for one peer's socket before `send` waits too. Default 1 MiB, from
    /// 64 KiB. Restart.
    pub outbox_bytes: usize,
    /// Connections that peers may hold to this agent; one more is closed with a reason. Default
    /// 16384. Hot.
    pub max_connections: usize,
    /// How often the configuration file and the plugins' files are looked at for changes, which
    /// then take effect by themselves; 0 s never looks. Takes effect at the second glance that
    /// finds the files the same, so that what is being written is not read. Default 0 s, from
    /// 10 ms. Restart.
    #[serde(with = "humantime_serde")]
    pub watch_files: Duration,
    /// The socket by which `skymesh reload`, `skymesh explain` and `skymesh plugin list --agent`
    /// reach this agent. Default `auto`. Restart.
    pub admin: AdminSocket,
    /// The inboxes of all instances, unless a service says otherwise.
    pub inbox: InboxConfig,
    /// What is kept of messages by key while keys move.
    pub hold: HoldConfig,
}

/// What `connect` does while the nameserver can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreachable {
    /// Says so in the log and keeps trying until it is there.
    Retry,
    /// Fails after one attempt.
    Fail,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            app: None,
            nameserver: "127.0.0.1:9100".to_owned(),
            nameserver_protocol: 2,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: None,
            zone: None,
            unreachable: Unreachable::Retry,
            dial_timeout: Duration::from_secs(3),
            resolve_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(5),
            max_frame_bytes: limits::FRAME_BYTES,
            outbox_bytes: 1024 * 1024,
            max_connections: 16_384,
            watch_files: Duration::ZERO,
            admin: AdminSocket::Auto,
            inbox: InboxConfig::default(),
            hold: HoldConfig::default(),
        }
    }
}

/// A value that a key can't take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value} {fault}: {expected}")]
pub struct RangeError {
    /// The key, with the tables it lies in.
    pub key: String,
    /// The value as given.
    pub value: String,
    /// What is wrong with it, as a part of a sentence.
    pub fault: &'static str,
    /// What it may be, or the remedy.
    pub expected: &'static str,
}

impl RangeError {
    fn range(key: impl Into<String>, value: &impl ToString, expected: &'static str) -> Self {
        let fault = "is out of range";
        Self { key: key.into(), value: value.to_string(), fault, expected }
    }
}

impl AgentConfig {
    /// This configuration with the hot keys of another.
    pub(crate) fn with_hot(&self, other: &Self) -> Self {
        Self {
            dial_timeout: other.dial_timeout,
            drain_timeout: other.drain_timeout,
            max_connections: other.max_connections,
            resolve_timeout: other.resolve_timeout,
            ..self.clone()
        }
    }

    /// Checks what serde can't: ranges and relations between keys.
    ///
    /// # Errors
    /// [`RangeError`] names the first of [`faults`](Self::faults).
    pub fn validate(&self) -> Result<(), RangeError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is out of its range, or that can't work together with another key.
    pub fn faults(&self) -> Vec<RangeError> {
        let mut faults = self.out_of_range();
        faults.extend(self.wrong_addresses());
        faults.extend(self.inbox.faults());
        faults.extend(self.hold.faults());
        faults
    }

    fn out_of_range(&self) -> Vec<RangeError> {
        let secs = |d: Duration| humantime_serde::re::humantime::format_duration(d).to_string();
        let zero_or_10_ms = self.ping_interval.is_zero() || self.ping_interval.as_millis() >= 10;
        let checks = [
            (
                (1..=2).contains(&self.nameserver_protocol),
                "agent.nameserver_protocol",
                self.nameserver_protocol.to_string(),
                "1 or 2",
            ),
            (
                self.dial_timeout.as_millis() >= 10,
                "agent.dial_timeout",
                secs(self.dial_timeout),
                "at least 10ms",
            ),
            (
                self.resolve_timeout.as_millis() >= 1,
                "agent.resolve_timeout",
                secs(self.resolve_timeout),
                "at least 1ms",
            ),
            (
                zero_or_10_ms,
                "agent.ping_interval",
                secs(self.ping_interval),
                "0s (no pings) or at least 10ms",
            ),
            (
                self.watch_files.is_zero() || self.watch_files.as_millis() >= 10,
                "agent.watch_files",
                secs(self.watch_files),
                "0s (files are not watched) or at least 10ms",
            ),
            (
                (64 * 1024..=1024 * 1024 * 1024).contains(&self.max_frame_bytes),
                "agent.max_frame_bytes",
                self.max_frame_bytes.to_string(),
                "65536 (64 KiB) to 1073741824 (1 GiB)",
            ),
            (
                self.outbox_bytes >= 64 * 1024,
                "agent.outbox_bytes",
                self.outbox_bytes.to_string(),
                "at least 65536 (64 KiB)",
            ),
            (
                self.max_connections > 0,
                "agent.max_connections",
                self.max_connections.to_string(),
                "at least 1",
            ),
        ];
        let wrong = checks.into_iter().filter(|(good, ..)| !good);
        wrong.map(|(_, key, value, expected)| RangeError::range(key, &value, expected)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range_and_bad_values_are_named() {
        let good = AgentConfig::default();
        assert_eq!(good.validate(), Ok(()));
        let bad = AgentConfig { ping_interval: Duration::from_millis(3), ..good.clone() };
        let error = bad.validate().unwrap_err().to_string();
        assert_eq!(
            error,
            "agent.ping_interval = 3ms is out of range: 0s (no pings) or at least 10ms"
        );
        let inbox = InboxConfig { window_bytes: 1 << 20, limit_bytes: 1 };
        let error = AgentConfig { inbox, ..good }.validate().unwrap_err().to_string();
        assert!(error.starts_with("agent.inbox.limit_bytes = 1 is out of range"), "{error}");
    }

    #[test]
    fn all_faults_are_told() {
        let config = AgentConfig {
            nameserver: "nohost".into(),
            resolve_timeout: Duration::ZERO,
            drain_timeout: Duration::ZERO,
            max_connections: 0,
            inbox: InboxConfig { window_bytes: 1 << 20, limit_bytes: 1 },
            ..AgentConfig::default()
        };
        let keys: Vec<String> = config.faults().into_iter().map(|fault| fault.key).collect();
        let expected = ["resolve_timeout", "max_connections", "nameserver", "inbox.limit_bytes"];
        assert_eq!(keys, expected.map(|key| format!("agent.{key}")));
    }
}
