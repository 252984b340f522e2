//! The nameserver's configuration: keys, defaults and ranges. Reading files and the environment is
//! the caller's business. Every key needs a restart to change; a reload tells those that differ.

mod admin;
mod elections;
mod store;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skymesh_naming::{MassLoss, RegistryConfig, RegistryLimits};
use skymesh_types::limits::FRAME_BYTES;

pub use admin::AdminConfig;
pub use elections::ElectionsConfig;
pub use store::{StoreConfig, StoreKind};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: usize = 1024 * 1024;

/// How a nameserver runs. Durations are written like `"6s"` or `"500ms"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NameserverConfig {
    /// Where it listens, `ip:port`. Default `127.0.0.1:9100`: this host only. Port 0 takes any free
    /// port.
    pub listen: String,
    /// Silence after which an agent is taken for dead. Default `6s`, from `1s` to `1h`. Agents keep
    /// alive every third of it: shorter finds silent deaths sooner, and forgives shorter hiccups.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// As `lease`, for agents of protocol 1. Default `60s`, as in the origin.
    #[serde(with = "humantime_serde")]
    pub lease_v1: Duration,
    /// How long the instances of a broken connection stay suspect before they are offline. Default
    /// `2s`, from `0s` to `1h`: the time an agent has to connect again. A killed process is gone
    /// after it.
    #[serde(with = "humantime_serde")]
    pub session_grace: Duration,
    /// How long after its start the nameserver says "absent means unknown". Default: as `lease`.
    /// `0s` for a mesh that starts from nothing; anything else must be at least `lease`, so that
    /// every agent has had the time to come back.
    #[serde(with = "humantime_serde")]
    pub recovery: Option<Duration>,
    /// Longest wait of additions and attribute changes for each other, while a service changes all
    /// the time. Default `50ms`, from `0s` to `50ms`. A quiet service never waits.
    #[serde(with = "humantime_serde")]
    pub coalesce: Duration,
    /// How long the routers of a stateful service have to prepare for a change of who owns its keys.
    /// Default `3s`, from `100ms` to `1m`; shorter than the agents' `hold.time`. Who has not prepared by
    /// then is left out, and gets a snapshot.
    #[serde(with = "humantime_serde")]
    pub round: Duration,
    /// Changes per service name that are kept for agents that connect again. Default 1024. Who
    /// missed more gets a snapshot.
    pub history: usize,
    /// How long a connection may take to introduce itself. Default `5s`, from `10ms` to `1h`.
    #[serde(with = "humantime_serde")]
    pub introduce_within: Duration,
    /// How long a connection that is closed may take to read the last frames, and the nameserver to
    /// stop; its plugins, which end after that, have `1s` at least. Default `2s`, from `0s` to `1h`.
    #[serde(with = "humantime_serde")]
    pub close_within: Duration,
    /// How often the configuration's file and the plugins' files are looked at for changes, which then
    /// take effect by themselves, as far as they are hot. Default `0s`: never; else at least `10ms`.
    #[serde(with = "humantime_serde")]
    pub watch_files: Duration,
    /// Where it keeps what must outlive it.
    pub store: StoreConfig,
    /// Who may operate it.
    pub admin: AdminConfig,
    /// When losses look like a fault of the network and not of the instances.
    pub mass_loss: MassLossConfig,
    /// How much it takes.
    pub limits: LimitsConfig,
}

/// The mass-loss guard: a service that loses more than a share at once keeps it listed as suspect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MassLossConfig {
    /// Share of a service that may be lost within `within`. Default 30, from 1 to 100; 100 turns
    /// the guard off.
    pub percent: u8,
    /// Over which time losses add up. Default `30s`, from `1s` to `1h`.
    #[serde(with = "humantime_serde")]
    pub within: Duration,
    /// Losses of fewer instances are always believed. Default 3, at least 1.
    pub min_instances: usize,
    /// How long a loss is held before it is believed after all. Default `5m`, from `1s` to `24h`.
    /// What ends it sooner: the agent returns, the URL is registered anew, an operator kicks it.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
}

/// Limits. Each refuses what would pass it and names itself in the refusal. All are at least 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Open connections. Default 20 000. Beyond it, new ones are closed at once.
    pub connections: usize,
    /// Sessions, lost ones that are still waited for included. Default 100 000.
    pub sessions: usize,
    /// Instances of one app. Default 1 000 000.
    pub instances_per_app: usize,
    /// Instances of one agent. Default 100 000.
    pub instances_per_session: usize,
    /// Service names that one agent watches. Default 10 000.
    pub watches_per_session: usize,
    /// URLs with operator overrides. Default 100 000.
    pub overrides: usize,
    /// Largest frame body, in bytes. Default 16 MiB, from 1 MiB to 1 GiB; the agents' own limit
    /// should be the same. A larger frame closes its connection.
    pub max_frame_bytes: usize,
    /// Bytes that may wait for one agent to read them. Default 1 MiB, from 64 KiB to 1 GiB. Beyond
    /// it the agent's watches collapse: it gets snapshots when it reads again.
    pub outbox_bytes: usize,
    /// Bytes of replies that may wait besides. Default 1 MiB, from 64 KiB to 1 GiB. An agent that
    /// asks that much without reading is closed.
    pub reply_bytes: usize,
    /// Requests that may wait for the registry. Default 4096. Beyond it, connections are read more
    /// slowly.
    pub queue: usize,
}

impl Default for NameserverConfig {
    fn default() -> Self {
        let registry = RegistryConfig::default();
        Self {
            listen: "127.0.0.1:9100".to_owned(),
            lease: registry.lease,
            lease_v1: registry.lease_v1,
            session_grace: registry.session_grace,
            recovery: None,
            coalesce: registry.coalesce,
            round: registry.round,
            history: registry.history,
            introduce_within: 5 * SECOND,
            close_within: 2 * SECOND,
            watch_files: Duration::ZERO,
            store: StoreConfig::default(),
            admin: AdminConfig::default(),
            mass_loss: MassLossConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

impl Default for MassLossConfig {
    fn default() -> Self {
        let MassLoss { percent, within, min_instances, hold } = MassLoss::default();
        Self { percent, within, min_instances, hold }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let registry = RegistryLimits::default();
        Self {
            connections: 20_000,
            sessions: registry.sessions,
            instances_per_app: registry.instances_per_app,
            instances_per_session: registry.instances_per_session,
            watches_per_session: registry.watches_per_session,
            overrides: registry.overrides,
            max_frame_bytes: FRAME_BYTES,
            outbox_bytes: MIB,
            reply_bytes: MIB,
            queue: 4096,
        }
    }
}

/// A value of the configuration is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nameserver key `{key}` is {value}; it must be {range}")]
pub struct ConfigError {
    /// The key, with dots between its levels.
    pub key: &'static str,
    /// The value as given.
    pub value: String,
    /// What is wrong with it.
    pub fault: ConfigFault,
    /// What is allowed.
    pub range: String,
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigFault {
    /// It is too little or too much.
    OutOfRange,
    /// It has not the form of an address.
    NoAddress,
}

impl ConfigError {
    /// The value, what is wrong with it, and what is allowed: all that follows the key in a report.
    pub fn reason(&self) -> String {
        let fault = match self.fault {
            ConfigFault::OutOfRange => " is out of range",
            // What is allowed says it all.
            ConfigFault::NoAddress => "",
        };
        format!("{}{fault}: it must be {}", self.value, self.range)
    }
}

fn within<T: PartialOrd>(
    key: &'static str,
    value: &T,
    low: &T,
    high: &T,
    show: impl Fn(&T) -> String,
) -> Result<(), ConfigError> {
    if low <= value && value <= high {
        return Ok(());
    }
    let range = format!("from {} to {}", show(low), show(high));
    Err(ConfigError { key, value: show(value), fault: ConfigFault::OutOfRange, range })
}

fn time(
    key: &'static str,
    value: Duration,
    low: Duration,
    high: Duration,
) -> Result<(), ConfigError> {
    within(key, &value, &low, &high, |time| humantime::format_duration(*time).to_string())
}

fn number<T: PartialOrd + Copy + fmt::Display>(
    key: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), ConfigError> {
    within(key, &value, &low, &high, T::to_string)
}

/// Whether it has the form of an `ip:port` (a host name of this host serves as well).
fn address(key: &'static str, value: &str) -> Result<(), ConfigError> {
    let named = value.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([':', '/', ' ', '[']) && port.parse::<u16>().is_ok()
    });
    if named || value.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    let range = "an address, written ip:port, such as 127.0.0.1:9100".to_owned();
    Err(ConfigError { key, value: format!("{value:?}"), fault: ConfigFault::NoAddress, range })
}

impl NameserverConfig {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// The first of [`faults`](Self::faults), with the key and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every value that is out of its range.
    pub fn faults(&self) -> Vec<ConfigError> {
        let own = [
            address("listen", &self.listen),
            time("lease", self.lease, SECOND, HOUR),
            time("lease_v1", self.lease_v1, SECOND, HOUR),
            time("session_grace", self.session_grace, Duration::ZERO, HOUR),
            time("coalesce", self.coalesce, Duration::ZERO, 50 * MILLISECOND),
            time("round", self.round, 100 * MILLISECOND, 60 * SECOND),
            number("history", self.history, 1, 1_000_000),
            time("introduce_within", self.introduce_within, 10 * MILLISECOND, HOUR),
            time("close_within", self.close_within, Duration::ZERO, HOUR),
            match self.watch_files {
                Duration::ZERO => Ok(()),
                every => time("watch_files", every, 10 * MILLISECOND, 24 * HOUR),
            },
            match self.recovery.filter(|recovery| !recovery.is_zero()) {
                Some(recovery) => time("recovery", recovery, self.lease, 24 * HOUR),
                None => Ok(()),
            },
        ];
        let checks = own.into_iter().chain(self.mass_loss.checks()).chain(self.limits.checks());
        checks.filter_map(Result::err).collect()
    }

    pub(crate) fn registry(&self) -> RegistryConfig {
        RegistryConfig {
            lease: self.lease,
            lease_v1: self.lease_v1,
            session_grace: self.session_grace,
            recovery: self.recovery.unwrap_or(self.lease),
            coalesce: self.coalesce,
            round: self.round,
            history: self.history,
            mass_loss: MassLoss {
                percent: self.mass_loss.percent,
                within: self.mass_loss.within,
                min_instances: self.mass_loss.min_instances,
                hold: self.mass_loss.hold,
            },
            limits: RegistryLimits {
                sessions: self.limits.sessions,
                instances_per_app: self.limits.instances_per_app,
                instances_per_session: self.limits.instances_per_session,
                watches_per_session: self.limits.watches_per_session,
                overrides: self.limits.overrides,
                ..RegistryLimits::default()
            },
        }
    }
}

impl MassLossConfig {
    fn checks(&self) -> [Result<(), ConfigError>; 4] {
        [
            number("mass_loss.percent", self.percent, 1, 100),
            time("mass_loss.within", self.within, SECOND, HOUR),
            number("mass_loss.min_instances", self.min_instances, 1, usize::MAX),
            time("mass_loss.hold", self.hold, SECOND, 24 * HOUR),
        ]
    }
}

impl LimitsConfig {
    fn checks(&self) -> impl Iterator<Item = Result<(), ConfigError>> {
        let counts = [
            ("limits.connections", self.connections),
            ("limits.sessions", self.sessions),
            ("limits.instances_per_app", self.instances_per_app),
            ("limits.instances_per_session", self.instances_per_session),
            ("limits.watches_per_session", self.watches_per_session),
            ("limits.overrides", self.overrides),
            ("limits.queue", self.queue),
        ];
        let bytes = [
            number("limits.max_frame_bytes", self.max_frame_bytes, MIB, 1024 * MIB),
            number("limits.outbox_bytes", self.outbox_bytes, 64 * 1024, 1024 * MIB),
            number("limits.reply_bytes", self.reply_bytes, 64 * 1024, 1024 * MIB),
        ];
        counts.into_iter().map(|(key, value)| number(key, value, 1, 100_000_000)).chain(bytes)
    }
}

#[cfg(test)]
mod tests;
