//! The handle of an instance's virtual connections, and what attaches it.

use std::fmt;
use std::sync::Arc;

use futures_core::Stream;
use futures_util::stream::SelectAll;
use skymesh_agent::{Delivery, Destination, Inbox, Instance};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::acceptor::{BACKLOG, Incoming};
use crate::channel::{ChannelError, MeshChannel};
use crate::config::GrpcConfig;
use crate::connection::{Form, Line, VirtualConnection};
use crate::counters::GrpcCounters;
use crate::driver::Driver;
use crate::exchange::{Exchange, NEW_WATCHES};
use crate::failure::OpenError;
use crate::segment::End;
use crate::server_spans::ServerSpans;

/// gRPC of and to one instance. Cheap to clone.
///
/// A task of its own reads the instance's inbox from now on, until the instance leaves the mesh.
/// Dropping every `Grpc` changes nothing for what is served.
#[derive(Clone)]
pub struct Grpc {
    pub(crate) exchange: Arc<Exchange>,
}

/// What an instance gets. [`Grpc::builder`].
#[derive(Debug)]
#[must_use = "nothing happens until `attach`"]
pub struct GrpcBuilder {
    instance: Instance,
    config: GrpcConfig,
}

impl GrpcBuilder {
    /// Its limits and times.
    pub fn config(mut self, config: GrpcConfig) -> Self {
        self.config = config;
        self
    }

    /// Takes the inbox over, in a task of its own.
    ///
    /// # Panics
    /// If it is not called within a tokio runtime.
    pub fn attach(self, mut inbox: Inbox) -> (Grpc, Incoming) {
        inbox.note_departures();
        self.attach_behind(inbox)
    }

    /// As [`attach`](Self::attach), where another protocol reads the inbox first and hands on what
    /// is not its own, as skymesh-rpc does with its `Rest`. The end of a peer's process is then
    /// noticed a little later.
    ///
    /// # Panics
    /// If it is not called within a tokio runtime.
    pub fn attach_behind<D>(self, deliveries: D) -> (Grpc, Incoming)
    where
        D: Stream<Item = Delivery> + Send + Unpin + 'static,
    {
        let (watches, new_watches) = mpsc::channel(NEW_WATCHES);
        let (accepted, incoming) = mpsc::channel(BACKLOG);
        let exchange = Arc::new(Exchange::new(self.instance, self.config, watches));
        let driver = Driver {
            exchange: Arc::clone(&exchange),
            deliveries,
            accepted,
            new_watches,
            watches: SelectAll::new(),
        };
        tokio::spawn(driver.run());
        (Grpc { exchange }, Incoming(incoming))
    }
}

impl Grpc {
    /// gRPC for an instance, with the default limits.
    ///
    /// # Panics
    /// If it is not called within a tokio runtime.
    pub fn attach(instance: Instance, inbox: Inbox) -> (Self, Incoming) {
        Self::builder(instance).attach(inbox)
    }

    /// gRPC for an instance.
    pub fn builder(instance: Instance) -> GrpcBuilder {
        GrpcBuilder { instance, config: GrpcConfig::default() }
    }

    /// A channel for generated clients: to a service (`app.env.service`; the configured selector
    /// picks for each call) or to one instance (`app.env.service/7`), with or without
    /// `skymesh://` before it.
    ///
    /// # Errors
    /// [`ChannelError`] if the text is none of these, or the service can't be routed to.
    pub fn channel(&self, to: &str) -> Result<MeshChannel, ChannelError> {
        let ping = self.exchange.config.ping_interval;
        let endpoint = Endpoint::from_static("http://skymesh")
            .http2_keep_alive_interval(ping)
            .keep_alive_timeout(ping);
        self.channel_with(to, endpoint)
    }

    /// As [`channel`](Self::channel), with tonic's settings of a connection: windows, limits, user
    /// agent, timeout. What an endpoint says of addresses and of TCP means nothing here.
    ///
    /// # Errors
    /// As [`channel`](Self::channel).
    pub fn channel_with(&self, to: &str, endpoint: Endpoint) -> Result<MeshChannel, ChannelError> {
        MeshChannel::new(self.clone(), to, endpoint)
    }

    /// The layer for tonic's server that makes spans of the calls that it answers, and has calls of its
    /// handlers continue their callers' traces:
    /// `Server::builder().layer(grpc.server_spans()).add_service(..)`. It goes around all others.
    pub fn server_spans(&self) -> ServerSpans {
        ServerSpans::new(self.instance().clone())
    }

    /// Opens a virtual connection to an instance, and waits until that has accepted it (a v1 peer
    /// does not say). For HTTP/2 use a [`channel`](Self::channel).
    ///
    /// Cancel safe: a dropped future leaves no connection behind.
    ///
    /// # Errors
    /// [`OpenError`] says why there is none.
    pub async fn connect(&self, to: impl Destination) -> Result<VirtualConnection, OpenError> {
        let exchange = &self.exchange;
        let resolved = exchange.instance.resolve(to).await?;
        let form = Form::of(resolved.protocol);
        let (instance, id) = (exchange.instance.clone(), exchange.new_id());
        let line = Line { instance, peer: resolved.handle, form, id, end: End::Dialler };
        let limit = exchange.config.connect_timeout;
        let open = async {
            let shared = exchange.open(line)?;
            exchange.watch(&resolved.name);
            let connection = VirtualConnection::new(shared, resolved.name.clone());
            loop {
                match connection.shared().answer() {
                    Some(Ok(())) => return Ok(connection),
                    Some(Err(error)) => return Err(OpenError::Refused(error)),
                    None => connection.shared().answered.notified().await,
                }
            }
        };
        timeout(limit, open).await.unwrap_or(Err(OpenError::Silent(limit)))
    }

    /// The instance that it belongs to.
    pub fn instance(&self) -> &Instance {
        &self.exchange.instance
    }

    /// What went another way than the usual one.
    pub fn counters(&self) -> &GrpcCounters {
        &self.exchange.counters
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grpc").field(self.instance()).finish()
    }
}
