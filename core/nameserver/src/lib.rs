//! The nameserver: the registry of `skymesh-naming` behind a socket, with a store beside it.
//!
//! [`Nameserver::bind`], then [`Nameserver::run`] or [`Nameserver::run_until`]; a
//! [`NameserverHandle`] stops it, counts, and is what an admin channel builds on.
//!
//! How it is built: **one task owns the registry** (`keeper`), so there is no lock; it is fed by a
//! bounded queue, so a flood slows its senders and nobody else. Each connection is one task
//! (`connection`) that reads frames, turns them into inputs (`intake`) and runs its own writer.
//! What goes to many is encoded once (`render`) and copied into each outbox. Agents of protocol 1
//! are translated at the edge (`v1`); the registry knows only that they hear of their whole app.

mod config;
mod connection;
mod counters;
mod intake;
mod keeper;
mod lines;
mod operator;
mod render;
mod server;
mod v1;

pub use config::{ConfigError, LimitsConfig, MassLossConfig, NameserverConfig};
pub use counters::{Counter, Counters};
pub use operator::OperatorError;
pub use server::{BindError, Nameserver, NameserverHandle};

/// The protocol that this nameserver speaks; agents of 1 are served as well.
const PROTOCOL: u32 = 2;
