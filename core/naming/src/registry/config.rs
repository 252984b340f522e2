//! The registry's knobs. Their ranges are checked where they are read from a file (the
//! nameserver's configuration); the registry takes any values without panicking.

use std::time::Duration;

/// How the registry judges sessions and how much it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Silence after which a session is over. Default 6 s. Agents keep alive every third of it, so
    /// a shorter one finds silent deaths sooner and costs more frames.
    pub lease: Duration,
    /// As `lease`, for agents of protocol 1: so long an instance stays without a heartbeat of its
    /// own, and an agent that has instances without a word. Default 60 s, as in the origin.
    pub lease_v1: Duration,
    /// How long the instances of a closed connection stay suspect before they go offline.
    /// Default 2 s: enough for an agent to connect again.
    pub session_grace: Duration,
    /// How long after its start the registry says "absent means unknown". Default 6 s; at least
    /// the lease, so that every agent had the time to come back.
    pub recovery: Duration,
    /// Longest time that additions and attribute changes wait to share a delta under load. Default
    /// 50 ms; 0 sends each at once. Idle services never wait.
    pub coalesce: Duration,
    /// How long a stateful service's routers have to prepare for a change of its placement. Default
    /// 3 s; then the change is made without those that have not, and they are told anew. Shorter
    /// than routers hold (see [`HoldLimits::time`](crate::placement::HoldLimits)).
    pub round: Duration,
    /// Changes per service name kept for watchers that resume. Default 1024; who missed more gets
    /// a snapshot.
    pub history: usize,
    /// When losses look like a fault of the network and not of the instances.
    pub mass_loss: MassLoss,
    /// How much the registry takes.
    pub limits: RegistryLimits,
}

/// The mass-loss guard: involuntary removals beyond a share of a service are not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MassLoss {
    /// Share of a service, in percent, that may be lost within `within`. Default 30; 100 turns the
    /// guard off.
    pub percent: u8,
    /// Over which time losses add up. Default 30 s.
    pub within: Duration,
    /// Losses below this number are always believed. Default 3.
    pub min_instances: usize,
    /// How long a loss that is not believed is held as suspect before it is believed after all.
    /// Default 5 min: longer than a switch takes to restart, short enough to forget a service
    /// whose every process was killed.
    pub hold: Duration,
}

/// Each limit refuses what would pass it, and names itself in the refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Sessions in all. Default 100 000. At the limit a hello closes the connection.
    pub sessions: usize,
    /// Instances of one app. Default 1 000 000.
    pub instances_per_app: usize,
    /// Instances of one session. Default 100 000.
    pub instances_per_session: usize,
    /// Watches of one session. Default 10 000.
    pub watches_per_session: usize,
    /// URLs with operator overrides. Default 100 000.
    pub overrides: usize,
    /// Service names that had an election, ever: their terms are never forgotten. Default 100 000.
    pub elections: usize,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(6),
            lease_v1: Duration::from_secs(60),
            session_grace: Duration::from_secs(2),
            recovery: Duration::from_secs(6),
            coalesce: Duration::from_millis(50),
            round: Duration::from_secs(3),
            history: 1024,
            mass_loss: MassLoss::default(),
            limits: RegistryLimits::default(),
        }
    }
}

impl Default for MassLoss {
    fn default() -> Self {
        Self {
            percent: 30,
            within: Duration::from_secs(30),
            min_instances: 3,
            hold: Duration::from_secs(300),
        }
    }
}

impl Default for RegistryLimits {
    fn default() -> Self {
        Self {
            sessions: 100_000,
            instances_per_app: 1_000_000,
            instances_per_session: 100_000,
            watches_per_session: 10_000,
            overrides: 100_000,
            elections: 100_000,
        }
    }
}
