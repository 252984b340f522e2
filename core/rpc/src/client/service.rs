//! The calling side as a tower service.

use std::task::{Context, Poll};

use skymesh_agent::Destination;
use tower::Service;

use super::Call;
use crate::request::Request;
use crate::response::Response;
use crate::rpc::Rpc;
use crate::status::Status;

/// Calls to one destination as a tower service: what client-side layers are put around.
///
/// It is always ready: where there is no room, the call itself waits, up to its deadline. With
/// [`ServiceBuilder`](tower::ServiceBuilder) the first `.layer()` is the outermost: it sees the
/// request first and the answer last.
#[derive(Debug, Clone)]
pub struct Client<D> {
    rpc: Rpc,
    to: D,
}

impl<D> Client<D> {
    pub(crate) fn new(rpc: Rpc, to: D) -> Self {
        Self { rpc, to }
    }

    /// Where its calls go.
    pub fn destination(&self) -> &D {
        &self.to
    }
}

impl<D: Destination + Clone> Service<Request> for Client<D> {
    type Response = Response;
    type Error = Status;
    type Future = Call<D>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Call<D> {
        self.rpc.call(self.to.clone(), request)
    }
}
