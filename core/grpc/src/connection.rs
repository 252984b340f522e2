//! A virtual connection: a stream of bytes in both directions, over messages between two instances.

pub(crate) mod courier;
pub(crate) mod line;
mod receiving;
mod sending;
pub(crate) mod shared;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use skymesh_types::{Handle, ServiceName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

pub(crate) use line::{Form, Line, Parcel};
pub(crate) use shared::{Shared, Tell};

/// Who is on the other end. tonic puts it into the extensions of each request that came over the
/// mesh: `request.extensions().get::<PeerInstance>()`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInstance {
    /// The incarnation; a message to it goes nowhere else.
    pub handle: Handle,
    /// The service that it belongs to.
    pub name: ServiceName,
}

/// One end of a virtual connection.
///
/// Bytes arrive in order and complete, or reading fails; its errors carry a
/// [`ConnectionError`](crate::ConnectionError). Writing waits while the peer's window, or the
/// connection between the two processes, has no room: at most 64 KiB wait on this side, and the
/// window's bytes on the other. Small writes are sent together at the next flush.
///
/// A shutdown ends one direction, and the peer reads to the end of what was written (towards a v1
/// peer it ends both). Dropped, it sends what was written, and closes both.
pub struct VirtualConnection {
    shared: Arc<Shared>,
    peer: PeerInstance,
}

impl VirtualConnection {
    pub(crate) fn new(shared: Arc<Shared>, name: ServiceName) -> Self {
        let peer = PeerInstance { handle: shared.line.peer, name };
        Self { shared, peer }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Who is on the other end.
    pub fn peer(&self) -> &PeerInstance {
        &self.peer
    }
}

impl AsyncRead for VirtualConnection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.shared.poll_read(cx, out)
    }
}

impl AsyncWrite for VirtualConnection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_flush()
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_shutdown(cx)
    }
}

impl Connected for VirtualConnection {
    type ConnectInfo = PeerInstance;

    fn connect_info(&self) -> PeerInstance {
        self.peer.clone()
    }
}

impl Drop for VirtualConnection {
    fn drop(&mut self) {
        self.shared.dropped();
    }
}

impl fmt::Debug for VirtualConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualConnection")
            .field("peer", &self.peer)
            .field("id", &self.shared.line.id)
            .finish_non_exhaustive()
    }
}
