//! The uplink: the agent's connection to the nameserver, and what has to be said there.
//!
//! The agent owns the truth about itself. It is kept in the [`Ledger`]; whenever a connection is
//! made anew, what the nameserver may not know is said again, with the same handles.

mod command;
mod connection;
mod elections;
mod errands;
mod error;
mod greeting;
mod heed;
mod ledger;
mod line;
mod v1;

use std::sync::Arc;

use skymesh_naming::AttributeLayers;
use skymesh_types::Handle;
use tokio::sync::oneshot;

use crate::inbox::Queue;
use crate::sender::Sender;
pub(crate) use command::Command;
pub(crate) use connection::Uplink;
pub(crate) use errands::Errands;

/// How many commands may wait for the uplink; then `register` and its like wait too.
pub(crate) const COMMANDS: usize = 1024;

/// Why the nameserver did not do as it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It refused, and says why.
    #[error("the nameserver refuses ({code}): {reason}")]
    Refused {
        /// Its result code.
        code: i32,
        /// Its reason.
        reason: String,
    },
    /// The nameserver speaks protocol 1, which has no word for that.
    #[error("{0} is not supported by this nameserver (protocol 1)")]
    NotSupported(&'static str),
    /// This agent has no such instance.
    #[error("{0:?} is not registered by this agent")]
    Unknown(Handle),
    /// The instance gave up while the nameserver was asked to let it stand.
    #[error("it was given up meanwhile")]
    Withdrawn,
    /// The agent has stopped.
    #[error("the agent has stopped")]
    Stopped,
}

/// An instance of this agent, as the uplink keeps it.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) sender: Arc<Sender>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) layers: AttributeLayers,
    /// Whether the nameserver has taken it.
    pub(crate) agreed: bool,
}

/// Where the answer to a command goes.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;
