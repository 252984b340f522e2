//! What goes wrong with virtual connections, as their users see it.

use std::io;
use std::time::Duration;

use skymesh_agent::{SendError, UndeliverableReason};

/// Why a virtual connection broke. Comes inside of an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer instance went offline.
    #[error("the peer instance went offline")]
    Offline,
    /// The connection between the two processes broke; what was on its way may be lost.
    #[error("the connection to the peer's process broke")]
    Lost,
    /// The peer refused messages of this connection.
    #[error("the peer refused messages: {0}")]
    Undeliverable(UndeliverableReason),
    /// The peer broke the connection.
    #[error("the peer reset the connection: {0}")]
    Reset(String),
    /// The peer closed the connection; nothing can be written any more.
    #[error("the peer closed the connection")]
    Closed,
    /// A segment of the peer's is missing.
    #[error("a segment is missing")]
    Gap,
    /// The peer sent more than the window had room for.
    #[error("the peer overran the window")]
    Overrun,
    /// Nothing happened for so long, or the peer took nothing for so long.
    #[error("nothing moved for {0:?}")]
    Idle(Duration),
    /// Nothing can be sent to the peer.
    #[error("can't send to the peer: {0}")]
    Send(SendError),
    /// This instance is off the mesh.
    #[error("this instance is off the mesh")]
    OffMesh,
}

impl ConnectionError {
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match self {
            Self::Closed | Self::OffMesh => io::ErrorKind::BrokenPipe,
            Self::Idle(_) => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::ConnectionReset,
        };
        io::Error::new(kind, self)
    }
}

/// Why no virtual connection was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is nobody, or nothing can be sent there.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It broke before it was accepted; a peer that serves no gRPC says so in the reason.
    #[error("not accepted: {0}")]
    Refused(ConnectionError),
    /// The peer did not say anything: it reads no gRPC, or is overloaded.
    #[error("not accepted within {0:?}: does the peer serve gRPC?")]
    Silent(Duration),
    /// This instance has as many connections as it may.
    #[error("over the limit of {0} virtual connections of this instance")]
    TooMany(usize),
}
