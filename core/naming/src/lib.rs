//! Who is where: the registry of the nameserver and the cache of the agent, both sans-io.
//!
//! `handle(now, input) -> actions`: no socket, no clock, no randomness and no tokio here. Time and
//! ids are arguments, so production, unit tests and simulations run the very same code.

mod instance;

pub use instance::{AttributeLayers, InstanceRecord, InstanceState, PeerProtocol};

mod cache;
pub use cache::{
    Applied, Cache, Event, GoneOffline, Known, Member, OfflineCause, Reach, Resolve, WatchPosition,
};

mod change;
pub use change::{Delta, Snapshot};

pub mod election;

pub mod placement;

mod leadership;
pub use leadership::{
    FenceGate, LeadershipAction, LeadershipInput, LeadershipSaying, Leaderships, Lost, StaleTerm,
};

mod registry;
pub use registry::{
    Action, AgentInput, Campaigned, Candidacy, CloseReason, ConnectionId, Durable, Hello, Input,
    Interest, KickTarget, Leading, Listed, MassLoss, Note, OpenRound, OperatorInput, Refusal,
    Registration, Registry, RegistryConfig, RegistryLimits, Remembered, RequestId, ResultCode,
    RoundCounts, SessionEnd, StoreInput, StoreMemory,
};

#[doc(hidden)]
pub mod flaw;
