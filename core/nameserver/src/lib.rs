//! The nameserver: the registry of `skymesh-naming` behind a socket, with a store beside it.
//!
//! [`Nameserver::bind`], or [`Nameserver::builder`] for more than a configuration, then [`Nameserver::run`] or [`Nameserver::run_until`]; a
//! [`NameserverHandle`] stops it, counts, and operates it; an [`AdminClient`] operates it from another
//! process.
//!
//! How it is built: **one task owns the registry** (`keeper`), so there is no lock; it is fed by a
//! bounded queue, so a flood slows its senders and nobody else. Each connection is one task
//! (`connection`) that reads frames, turns them into inputs (`intake`) and runs its own writer.
//! What goes to many is encoded once (`render`) and copied into each outbox. Agents of protocol 1
//! are translated at the edge (`v1`); the registry knows only that they hear of their whole app.
//!
//! # Who leads
//! Elections are the registry's; which algorithm picks the leader of a service name is a plugin's, by
//! pattern of names ([`ElectionsConfig`]). One that panics, answers nonsense or dawdles is replaced by
//! the built-in rule, and left out if it goes on.
//!
//! # Reloads
//! [`NameserverHandle::reload`], SIGHUP, a change of a file that is watched, or an operator has the
//! configuration and all plugins read again ([`FreshNameserver`]). Election algorithms are exchanged
//! while everything goes on; all keys of `[nameserver]` need a restart, and the answer names those that
//! differ.
//!
//! # What outlives it
//! With a store of kind `file` (the default), in the folder `[nameserver.store] path`:
//! * **Operator overrides and terms** are on the disk before they are acknowledged. Nothing loses them
//!   but the loss of the disk.
//! * **Registrations** are written behind (`archive`): nobody waits for them, and all changes of about
//!   100 ms share a transaction. A nameserver that starts again lists them as *suspect* at once, with
//!   their old handles, until their agents are back; nobody is offline before a whole lease has
//!   passed. What a crash loses of them (the last 100 ms, more while thousands register at once)
//!   costs nothing but that head start, because every agent registers again by itself; what it keeps
//!   too much is gone after that lease.
//!
//! The folder serves one nameserver at a time. Two that should work side by side need two folders.

mod admin;
mod archive;
mod builder;
mod config;
mod connection;
mod counters;
mod elections;
mod intake;
mod keeper;
mod ledger;
mod lines;
mod metrics;
mod operator;
mod reload;
mod render;
mod server;
mod start;
mod v1;

pub use admin::{AdminClient, AdminError, LiveElection, NameserverPlugins, Token, TokenError};
pub use builder::NameserverBuilder;
pub use config::{
    AdminConfig, ConfigError, ConfigFault, ElectionsConfig, LimitsConfig, MassLossConfig,
    NameserverConfig, StoreConfig, StoreKind,
};
pub use counters::{Counter, Counters};
pub use operator::OperatorError;
pub use reload::FreshNameserver;
pub use server::{Nameserver, NameserverHandle};
pub use skymesh_naming::KickTarget;
pub use skymesh_reload::{Change, ConfigSource, Reload, ReloadOutcome, Reloads};
pub use start::BindError;

/// The protocol that this nameserver speaks; agents of 1 are served as well.
const PROTOCOL: u32 = 2;
