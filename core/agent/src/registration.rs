//! Registering an instance: what is said of it, and what may come of it.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use skymesh_naming::{AttributeLayers, FenceGate, InstanceRecord, InstanceState, PeerProtocol};
use skymesh_types::{AttributeError, Attributes, Revision, ServiceName, ServiceUrl, UrlError};
use tokio::sync::oneshot;

use crate::election::Admission;
use crate::inbox::{Event, Inbox, Queue};
use crate::instance::Instance;
use crate::runtime::{Runtime, new_handle};
use crate::sender::Sender;
use crate::service::{self, Service};
use crate::stages::ZONE;
use crate::uplink::{Command, Own, RequestError};

/// Share of the traffic of an instance that says nothing else.
pub const DEFAULT_WEIGHT: u32 = 100;

/// Why an instance was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The text is no URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The service belongs to another app.
    #[error("{url} is not in this process's app `{app}`; apps do not see each other")]
    ForeignApp {
        /// The instance.
        url: ServiceUrl,
        /// This process's app.
        app: String,
    },
    /// The declared attributes pass a limit.
    #[error(transparent)]
    Attributes(#[from] AttributeError),
    /// Another live process has registered that URL.
    #[error("{url} is registered already: {reason}")]
    AlreadyRegistered {
        /// The instance.
        url: ServiceUrl,
        /// What the nameserver says.
        reason: String,
    },
    /// The nameserver refused it, or the agent stopped.
    #[error("{url}: {source}")]
    Request {
        /// The instance.
        url: ServiceUrl,
        /// What happened.
        source: RequestError,
    },
}

/// An instance to be registered; `await` it, or let [`serve`](Self::serve) drive a service.
///
/// It waits for the nameserver's word, as long as that takes: wrap it in a timeout to give up
/// sooner. Dropping the future takes the registration back.
#[derive(Debug)]
#[must_use = "nothing is registered until it is awaited"]
pub struct Registration {
    runtime: Arc<Runtime>,
    url: Result<ServiceUrl, UrlError>,
    declared: Attributes,
    weight: u32,
    fences: Vec<(ServiceName, Arc<FenceGate>)>,
}

impl Registration {
    pub(crate) fn new(runtime: Arc<Runtime>, url: Result<ServiceUrl, UrlError>) -> Self {
        Self {
            runtime,
            url,
            declared: Attributes::new(),
            weight: DEFAULT_WEIGHT,
            fences: Vec::new(),
        }
    }

    /// Attributes that watchers see from the first moment on.
    pub fn attributes(mut self, declared: impl Into<Attributes>) -> Self {
        self.declared = declared.into();
        self
    }

    /// Share of the traffic, relative to the service's other instances, for selectors that weigh.
    /// Default 100. A nameserver of protocol 1 has no word for any other: the registration is refused.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Fences the leaders of a service: what an instance of it sends [as leader](crate::Leadership::send)
    /// reaches the inbox only if `gate` admits its term, and is refused to its sender otherwise
    /// ([`UndeliverableReason::StaleTerm`](crate::UndeliverableReason::StaleTerm)). Messages that are
    /// not sent as leader pass. They lie in the inbox in the order in which they were admitted, so
    /// what is done in that order is fenced; share the gate with all that guards the same thing.
    ///
    /// The gate knows what it has admitted since it was made: see
    /// [`FenceGate::new`] for one that guards something that outlives the process.
    pub fn fence(mut self, leaders_of: ServiceName, gate: Arc<FenceGate>) -> Self {
        self.fences.push((leaders_of, gate));
        self
    }

    /// Registers, and runs `service` on the inbox in a task of its own until the instance leaves
    /// the mesh.
    ///
    /// # Errors
    /// [`RegisterError`] says why it was not registered.
    pub async fn serve(self, service: impl Service) -> Result<Instance, RegisterError> {
        let tasks = self.runtime.tasks.clone();
        let (instance, inbox) = self.await?;
        tasks.spawn(service::drive(service, instance.clone(), inbox));
        Ok(instance)
    }

    async fn register(self) -> Result<(Instance, Inbox), RegisterError> {
        let Self { runtime, url, declared, weight, fences } = self;
        let url = url?;
        if !url.name.is_in(&runtime.app) {
            return Err(RegisterError::ForeignApp { url, app: runtime.app.to_string() });
        }
        if weight != DEFAULT_WEIGHT && runtime.settings.agent.nameserver_protocol == 1 {
            let source = RequestError::NotSupported("a weight of its own");
            return Err(RegisterError::Request { url, source });
        }
        let declared = match &runtime.settings.agent.zone {
            Some(zone) if declared.get(ZONE).is_none() => declared.with(ZONE, zone.as_str()),
            _ => declared,
        };
        let declared = declared.checked()?;
        let (instance, inbox) = build(&runtime, &url, declared.clone(), weight, fences);
        let (reply, answer) = oneshot::channel();
        let own = Own {
            sender: Arc::clone(&instance.sender),
            queue: Arc::clone(&instance.queue),
            layers: AttributeLayers { declared, ..AttributeLayers::default() },
        };
        let stopped =
            |_| RegisterError::Request { url: url.clone(), source: RequestError::Stopped };
        // Known before the nameserver hears of it: a peer may be faster than the reply.
        runtime.directory.add_local(Arc::clone(&instance.queue));
        let guard = Undo(Some(&instance));
        runtime.uplink.send(Command::Register { own, reply }).await.map_err(|_| stopped(()))?;
        answer.await.map_err(|_| stopped(()))??;
        guard.keep();
        Ok((instance, inbox))
    }
}

fn build(
    runtime: &Arc<Runtime>,
    url: &ServiceUrl,
    declared: Attributes,
    weight: u32,
    fences: Vec<(ServiceName, Arc<FenceGate>)>,
) -> (Instance, Inbox) {
    let handle = new_handle();
    let mut config = runtime.settings.agent.inbox.clone();
    let hot = runtime.hot.load();
    if let Some(limit) = hot.services.find(&url.name, |s| s.inbox_limit_bytes.as_ref()) {
        config.limit_bytes = *limit;
    }
    let (name, counters) = (url.name.clone(), Arc::clone(&runtime.counters));
    let admission = Admission::new(handle, fences);
    let queue = Queue::with_admission(name, handle, config, counters, admission);
    queue.push_event(Event::Registered { handle });
    let record = InstanceRecord {
        url: url.clone(),
        handle,
        address: Arc::clone(&runtime.address),
        agent: Some(runtime.agent),
        protocol: PeerProtocol { version: 2, codecs: runtime.codec_ids().into() },
        state: InstanceState::Online,
        attributes: Arc::new(declared),
        weight,
        hash_key: 0,
        revision: Revision(0),
    };
    let sender = Arc::new(Sender::new(Arc::new(record)));
    let instance = Instance { runtime: Arc::clone(runtime), sender, queue: Arc::clone(&queue) };
    (instance, Inbox::new(queue, Some(Arc::clone(runtime))))
}

/// Takes a registration back that failed or was given up.
struct Undo<'a>(Option<&'a Instance>);

impl Undo<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(instance) = self.0 {
            instance.runtime.forget(instance.handle());
        }
    }
}

impl IntoFuture for Registration {
    type Output = Result<(Instance, Inbox), RegisterError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.register())
    }
}
