//! The handle of an instance's RPC, and what attaches it.

use std::fmt;
use std::sync::Arc;

use futures_util::stream::SelectAll;
use skymesh_agent::{Destination, Inbox, Instance};
use skymesh_telemetry::spans;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Service};

use crate::client::{Call, Client, Notifier};
use crate::config::RpcConfig;
use crate::counters::RpcCounters;
use crate::driver::Driver;
use crate::outgoing::{Letter, NOTIFY};
use crate::request::Request;
use crate::response::Response;
use crate::rest::{Rest, rest};
use crate::server::{Methods, Server};
use crate::shared::{NEW_WATCHES, Shared};
use crate::status::Status;
use crate::trace;

/// Calls of and to one instance. Cheap to clone.
///
/// A task of its own reads the instance's inbox from now on, until the instance leaves the mesh
/// ([`Instance::unregister`]). Dropping every `Rpc` changes nothing for its methods.
#[derive(Clone)]
pub struct Rpc {
    shared: Arc<Shared>,
}

/// What RPC an instance gets. [`Rpc::builder`].
#[derive(Debug)]
#[must_use = "nothing is served until `attach`"]
pub struct RpcBuilder<S> {
    instance: Instance,
    inbox: Inbox,
    config: RpcConfig,
    service: S,
}

impl<S> RpcBuilder<S> {
    /// Its limits and defaults.
    pub fn config(mut self, config: RpcConfig) -> Self {
        self.config = config;
        self
    }

    /// What answers its requests and notifies: mostly [`Methods`], mostly in some layers.
    ///
    /// Each request gets a clone of the service, is polled until that is ready, then called. The
    /// handler's future is polled once in the task that reads the inbox; if it then waits, it goes
    /// on in a task of its own. So what computes for long belongs on
    /// [`spawn_blocking`](tokio::task::spawn_blocking), as everywhere in tokio.
    pub fn serve<T>(self, service: T) -> RpcBuilder<T> {
        let Self { instance, inbox, config, .. } = self;
        RpcBuilder { instance, inbox, config, service }
    }

    /// Takes the inbox over, in a task of its own. Must be called within a tokio runtime.
    ///
    /// # Panics
    /// If there is no runtime.
    pub fn attach(self) -> (Rpc, Rest)
    where
        S: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let (watches, new_watches) = mpsc::channel(NEW_WATCHES);
        let shared = Arc::new(Shared::new(self.instance, self.config, watches));
        let (sender, rest) = rest();
        let driver = Driver {
            shared: Arc::clone(&shared),
            inbox: self.inbox,
            server: Server::new(Arc::clone(&shared), self.service),
            rest: sender,
            new_watches,
            watches: SelectAll::new(),
        };
        tokio::spawn(driver.run());
        (Rpc { shared }, rest)
    }
}

impl Rpc {
    /// Lets an instance call, without methods of its own and with the default limits.
    ///
    /// # Panics
    /// If it is not called within a tokio runtime.
    pub fn attach(instance: Instance, inbox: Inbox) -> (Self, Rest) {
        Self::builder(instance, inbox).attach()
    }

    /// RPC for an instance; without methods until [`RpcBuilder::serve`].
    pub fn builder(instance: Instance, inbox: Inbox) -> RpcBuilder<Methods> {
        RpcBuilder { instance, inbox, config: RpcConfig::default(), service: Methods::new() }
    }

    /// Calls a method of an instance, of the instance that a service's selector picks, or of whoever
    /// leads an election, and resolves to its answer. One that leads no more refuses the call: it is
    /// `unavailable`, not processed. See [`Call`] for how it ends.
    ///
    /// # Errors
    /// [`Status`] says what happened, and whether the callee may have acted on it.
    pub fn call<D: Destination>(&self, to: D, request: Request) -> Call<D> {
        Call::new(Arc::clone(&self.shared), to, request)
    }

    /// Calls a method and wants no answer. Resolves once the message is on its way: what becomes of
    /// it is not heard of. A deadline holds for the wait here and for the handler.
    ///
    /// Cancel safe: a dropped future has sent it, or not.
    ///
    /// # Errors
    /// [`Status`] says why nothing was sent.
    pub async fn notify(&self, to: impl Destination, mut request: Request) -> Result<(), Status> {
        let instance = &self.shared.instance;
        let deadline = request.deadline;
        let wait = deadline.unwrap_or_else(|| Instant::now() + self.shared.config.deadline);
        let mut span = trace::calling(&self.shared, &mut request, &spans::RPC_PRODUCER, wait);
        let send = async {
            let resolved = self.shared.resolved(&to, request.key, wait).await?;
            let letter = Letter::request(NOTIFY, resolved.protocol, request, deadline)?;
            Ok(letter.post(instance, &resolved).await?)
        };
        let late = |_| Status::deadline_exceeded("it could not be sent in time").not_processed();
        let outcome = timeout_at(wait, send).await.map_err(late).flatten();
        trace::end(&mut span, &outcome);
        outcome
    }

    /// Calls to one destination as a tower service, to put layers around.
    pub fn client<D: Destination + Clone>(&self, to: D) -> Client<D> {
        Client::new(self.clone(), to)
    }

    /// Notifies to one destination as a tower service, to put layers around.
    pub fn notifier<D: Destination + Clone>(&self, to: D) -> Notifier<D> {
        Notifier::new(self.clone(), to)
    }

    /// Takes no more requests (they are answered with `unavailable`, not processed), and waits
    /// until those that run are answered. Call it before the agent stops, so that no caller is left
    /// without an answer. There is no way back.
    pub async fn drain(&self) {
        self.shared.running.drain().await;
    }

    /// The instance that it belongs to.
    pub fn instance(&self) -> &Instance {
        &self.shared.instance
    }

    /// What went another way than the usual one.
    pub fn counters(&self) -> &RpcCounters {
        &self.shared.counters
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rpc").field(&self.shared.instance).finish()
    }
}
