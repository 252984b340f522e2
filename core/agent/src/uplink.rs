//! The uplink: the agent's connection to the nameserver, and what has to be said there.
//!
//! The agent owns the truth about itself. It is kept in the [`Ledger`]; whenever a connection is
//! made anew, what the nameserver may not know is said again, with the same handles.

mod connection;
mod ledger;
mod v1;

use std::sync::Arc;

use skymesh_naming::AttributeLayers;
use skymesh_types::{AttributeChange, Attributes, Handle, ServiceName};
use tokio::sync::oneshot;

use crate::inbox::Queue;
use crate::instance::AttributesError;
use crate::registration::RegisterError;
use crate::sender::Sender;
pub(crate) use connection::Uplink;

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
    /// This agent has no such instance.
    #[error("{0:?} is not registered by this agent")]
    Unknown(Handle),
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
}

/// What the agent's API asks of the uplink.
#[derive(Debug)]
pub(crate) enum Command {
    Register {
        own: Own,
        reply: Reply<(), RegisterError>,
    },
    Unregister {
        handle: Handle,
        reply: Reply<(), RequestError>,
    },
    /// As `Unregister`, by somebody who does not wait for an answer.
    Forget(Handle),
    ChangeAttributes {
        handle: Handle,
        change: AttributeChange,
        reply: Reply<(), AttributesError>,
    },
    Attributes {
        handle: Handle,
        reply: Reply<Attributes, RequestError>,
    },
    Watch(ServiceName),
    /// Every instance takes nothing new from now on.
    Drain(oneshot::Sender<()>),
    /// The agent leaves; the uplink ends after this, and answers when it is said.
    Goodbye(oneshot::Sender<()>),
}

/// Where the answer to a command goes.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;
