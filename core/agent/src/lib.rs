//! The agent: the runtime that lives inside each process of a mesh.
//!
//! It registers instances with the nameserver, keeps live views of the services that they send to,
//! and carries messages between them and their peers directly. Start with [`Agent`]; most programs
//! use it through the facade crate `skymesh`, which reads the configuration file.
//!
//! The way of a message: [`Instance::send`] → router's view → selector's pick → route → lane (room
//! in the receiver's window?) → link → codec → outbox; then on the other side ingress → inbox →
//! [`Inbox::recv`].

pub mod admin;
mod agent;
#[cfg(test)]
mod bare;
mod codecs;
pub mod config;
mod convert;
mod counted;
mod counters;
mod destination;
mod directory;
mod election;
#[cfg(test)]
mod heard;
mod inbox;
mod ingress;
mod instance;
mod keyed;
mod meter;
mod metrics;
mod peer;
mod pings;
mod registration;
mod reload;
mod review;
mod router;
mod runtime;
mod send;
mod sender;
mod service;
mod uplink;

pub use agent::{Agent, AgentBuilder, ConnectError};
pub use counted::Counted;
pub use counters::{Counter, Counters, Sharded};
pub use destination::{Destination, RequestOutcome, Resolved, Target};
pub use election::{Election, Guard, Leader, Leadership, NotLeading, RunForLeader, Standing};
pub use inbox::{Delivery, Event, Inbox, Message, Source, UndeliverableReason, UnroutedReason};
pub use instance::{AttributesError, Broadcast, Instance, Outgoing};
pub use meter::Serving;
pub use registration::{DEFAULT_WEIGHT, RegisterError, Registration};
pub use reload::{Change, ConfigSource, FreshConfig, Reload, ReloadOutcome, Reloads};
pub use router::{ExplainedInstance, Explanation, Keyed, ReadyTimeout, Router};
pub use send::SendError;
pub use service::Service;
pub use skymesh_naming::election::Term;
pub use skymesh_naming::{
    FenceGate, InstanceRecord, InstanceState, Known, Lost, Member, OfflineCause, Resolve, StaleTerm,
};
pub use skymesh_plugin_host::SlotHealth;
pub use skymesh_stages::Stage;
pub use uplink::RequestError;
