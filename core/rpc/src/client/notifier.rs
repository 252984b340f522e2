//! Notifies as a tower service.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use skymesh_agent::Destination;
use tower::Service;

use crate::request::Request;
use crate::response::Response;
use crate::rpc::Rpc;
use crate::status::Status;

/// Notifies to one destination as a tower service, so that the layers of a [`Client`](crate::Client)
/// can be put around them as well. Its answer is empty, and there once the message is on its way:
/// see [`Rpc::notify`].
#[derive(Debug, Clone)]
pub struct Notifier<D> {
    rpc: Rpc,
    to: D,
}

impl<D> Notifier<D> {
    pub(crate) fn new(rpc: Rpc, to: D) -> Self {
        Self { rpc, to }
    }

    /// Where its notifies go.
    pub fn destination(&self) -> &D {
        &self.to
    }
}

impl<D: Destination + Clone + Send + Sync + 'static> Service<Request> for Notifier<D> {
    type Response = Response;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Status>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { rpc, to } = self.clone();
        Box::pin(async move { rpc.notify(to, request).await.map(|()| Response::default()) })
    }
}
