//! Connections that peers have opened, on their way to whoever serves them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::mpsc;

use crate::connection::VirtualConnection;

/// Most connections that wait to be taken. One beyond is refused.
pub(crate) const BACKLOG: usize = 256;

/// The connections that peers open to an instance: what tonic's
/// [`serve_with_incoming`](tonic::transport::server::Router::serve_with_incoming) wants.
///
/// Drop it, and peers are told that nobody serves here. It ends when the instance leaves the mesh.
#[derive(Debug)]
pub struct Incoming(pub(crate) mpsc::Receiver<VirtualConnection>);

impl Incoming {
    /// The next connection; `None` once the instance is off the mesh. Cancel safe.
    pub async fn accept(&mut self) -> Option<VirtualConnection> {
        self.0.recv().await
    }
}

impl Stream for Incoming {
    type Item = Result<VirtualConnection, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}
