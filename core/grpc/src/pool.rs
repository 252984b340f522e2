//! The HTTP/2 connections of one channel: one for each instance that calls went to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper_util::rt::TokioIo;
use skymesh_agent::SendError;
use skymesh_types::Handle;
use tokio::sync::OnceCell;
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

use crate::grpc::Grpc;

/// See the module. As many entries as the service has instances, at most; those of instances that
/// are gone leave when another one comes.
#[derive(Debug)]
pub(crate) struct Pool {
    grpc: Grpc,
    endpoint: Endpoint,
    connections: Mutex<HashMap<Handle, Arc<OnceCell<Channel>>>>,
}

impl Pool {
    pub(crate) fn new(grpc: Grpc, endpoint: Endpoint) -> Self {
        Self { grpc, endpoint, connections: Mutex::default() }
    }

    pub(crate) fn grpc(&self) -> &Grpc {
        &self.grpc
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Handle, Arc<OnceCell<Channel>>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to an instance. The first call to it opens one, and others wait for that; one
    /// that has ended is opened anew.
    pub(crate) async fn connection(&self, to: Handle) -> Result<Channel, Error> {
        let cell = self.cell(to);
        if let Some(channel) = cell.get() {
            return Ok(channel.clone());
        }
        let connect = || async {
            let grpc = self.grpc.clone();
            let connector = service_fn(move |_: http::Uri| {
                let grpc = grpc.clone();
                async move { grpc.connect(to).await.map(TokioIo::new) }
            });
            self.endpoint.connect_with_connector(connector).await
        };
        match cell.get_or_try_init(connect).await {
            Ok(channel) => Ok(channel.clone()),
            Err(error) => {
                self.forget(to, &cell);
                Err(error)
            }
        }
    }

    fn cell(&self, to: Handle) -> Arc<OnceCell<Channel>> {
        let mut connections = self.lock();
        if let Some(cell) = connections.get(&to) {
            return Arc::clone(cell);
        }
        let instance = self.grpc.instance();
        connections.retain(|handle, _| {
            !matches!(instance.try_resolve(*handle), Err(SendError::UnknownHandle(_)))
        });
        Arc::clone(connections.entry(to).or_default())
    }

    fn forget(&self, to: Handle, cell: &Arc<OnceCell<Channel>>) {
        let mut connections = self.lock();
        let same = connections.get(&to).is_some_and(|known| Arc::ptr_eq(known, cell));
        if same && cell.get().is_none() {
            connections.remove(&to);
        }
    }
}
