//! What the registry is told: by agents over their connections, by operators, by the clock. Plain
//! values, parsed and checked at the shell's edge; nothing here decides anything.

use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{
    AgentId, AppId, AttributeChange, Attributes, Handle, RegistryId, Revision, ServiceName,
    ServiceUrl, SessionId,
};

use super::store::StoreInput;
use crate::election::{CampaignId, Term};
use crate::placement::{Epoch, RoundId};
use crate::{PeerProtocol, Remembered};

/// One connection of the shell. The shell numbers them and never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Pairs an answer with its request; chosen by who asks, opaque here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Something came from, or became of, an agent's connection.
    Agent(ConnectionId, AgentInput),
    /// An operator asks for something.
    Operator(RequestId, OperatorInput),
    /// What an earlier life has left; before anything of agents.
    Recall(Vec<Remembered>),
    /// The store says something.
    Store(StoreInput),
    /// The elector goes by other rules from now on: it is asked again where nobody leads. Who leads
    /// stays until something changes the ballot.
    NewRules,
    /// The elector, which could not say yet, is to be asked again for this name.
    AskAgain(ServiceName),
    /// Time passed: [`Registry::next_deadline`](crate::Registry::next_deadline) is reached. Early
    /// and superfluous ticks are harmless.
    Tick,
}

/// What a connection of an agent brings. Everything but `Disconnected`, `Overflowed` and `Drained`
/// is a frame of the agent and renews its lease.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentInput {
    /// The agent says who it is; first on every connection, once.
    Hello(Hello),
    /// A frame that asks nothing of the registry.
    Heard,
    /// An instance of an agent of protocol 1 lives.
    Heartbeat(Handle),
    /// As `Heard`, answered with the same number.
    KeepAlive(u64),
    /// Registers an instance, or replays its registration.
    Register(RequestId, Registration),
    /// Takes an instance offline.
    Unregister(RequestId, Handle),
    /// The instance takes nothing new from now on.
    Drain(RequestId, Handle),
    /// Changes the run-time layer of an instance's attributes, atomically.
    ChangeAttributes(RequestId, Handle, AttributeChange),
    /// Replaces the run-time layer as a whole, as agents of protocol 1 do.
    ReplaceAttributes(RequestId, Handle, Attributes),
    /// Watches a service name; the position is what the agent knows of it already.
    Watch(ServiceName, Option<(RegistryId, Revision)>),
    /// Ends a watch.
    Unwatch(ServiceName),
    /// An instance stands for the leadership of its service name, or says so again after a
    /// reconnect.
    Run(RequestId, Candidacy),
    /// An instance stands no longer. If it led, it has stopped already.
    GiveUp(RequestId, Handle),
    /// An instance has stopped leading in that term; it goes on standing.
    StandDown(Handle, Term),
    /// Wants to hear who leads a service name.
    WatchLeader(ServiceName),
    /// Ends that.
    UnwatchLeader(ServiceName),
    /// The agent's router of that service holds what a round would move.
    Prepared(ServiceName, RoundId),
    /// An agent of protocol 1 routes to that service from now on.
    RouteV1(ServiceName),
    /// A router of an agent of protocol 1 can't prepare: the round comes to nothing.
    Unprepared(ServiceName),
    /// The agent leaves on purpose: its instances are offline at once.
    Goodbye,
    /// The socket closed.
    Disconnected,
    /// The connection's queue is full, and a snapshot or delta of this name, or the question whether
    /// its router has prepared, was not queued: the watch needs a snapshot.
    Overflowed(ServiceName),
    /// The connection's queue has room again.
    Drained,
}

/// Who an agent is.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// The app that it belongs to.
    pub app: AppId,
    /// Where it listens, `ip:port`.
    pub address: Arc<str>,
    /// What it understands. Version 1 sessions live by the origin's rules: see
    /// [`RegistryConfig::lease_v1`](crate::RegistryConfig::lease_v1).
    pub protocol: PeerProtocol,
    /// This run of it; `None` at protocol 1.
    pub agent: Option<AgentId>,
    /// The session that it had before.
    pub resume: Option<SessionId>,
    /// What it wants to hear of.
    pub interest: Interest,
}

/// What a connection hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interest {
    /// The service names that it watches.
    #[default]
    ByName,
    /// Every service name of its app, as protocol 1 has it.
    WholeApp,
}

/// One instance as its agent registers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// Its place in the mesh.
    pub url: ServiceUrl,
    /// This incarnation of it.
    pub handle: Handle,
    /// The attributes declared at registration.
    pub declared: Attributes,
    /// The attributes set at run time; not empty when an agent replays.
    pub runtime: Attributes,
    /// Relative share of the traffic for selectors that weigh.
    pub weight: u32,
    /// Consistent-hash key; 0 for a stateless instance.
    pub hash_key: u64,
    /// The newest epoch of its service that its agent knows, if this incarnation owned keys before:
    /// its registration was answered, or a placement that the agent knows has it. 0 if it never did.
    pub epoch: Epoch,
}

/// One instance that stands for the leadership of its service name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidacy {
    /// The candidate.
    pub handle: Handle,
    /// Which of its candidacies, by the agent's count.
    pub campaign: CampaignId,
    /// For algorithms that rank candidates; 0 unless said otherwise. Higher is more willing.
    pub priority: i64,
    /// The term that it still believes to lead in, if it does.
    pub claim: Option<Term>,
    /// The newest term of the name that its agent knows of: a registry whose store has forgotten
    /// counts on from there.
    pub seen: Term,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorInput {
    /// Takes an instance or a whole session offline and tells its agent why.
    Kick(KickTarget, Arc<str>),
    /// The instance takes nothing new from now on.
    Drain(ServiceUrl),
    /// Changes the operator's layer of a URL's attributes, whether registered or not. Keys that are
    /// set last as long as `lasting` says, for ever if it is `None`.
    Override {
        /// Whose attributes.
        url: ServiceUrl,
        /// Keys to set and to give back to the lower layers.
        change: AttributeChange,
        /// Counted from now.
        lasting: Option<Duration>,
    },
}

/// Whom a kick means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KickTarget {
    /// The incarnation that is registered now.
    Url(ServiceUrl),
    /// One incarnation.
    Instance(Handle),
    /// Every instance of a session, and its connection.
    Session(SessionId),
}
