//! Registering an instance: what is said of it, and what may come of it.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use skymesh_naming::{AttributeLayers, FenceGate, InstanceRecord, InstanceState, PeerProtocol};
use skymesh_stages::ZONE;
use skymesh_types::{
    AttributeError, Attributes, Revision, ServiceName, ServiceUrl, Share, UrlError,
};
use tokio::sync::oneshot;

use crate::election::Admission;
use crate::inbox::{Event, Inbox, Queue};
use crate::instance::Instance;
use crate::runtime::{Runtime, new_handle};
use crate::sender::Sender;
use crate::service::{self, Service};
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
    /// A router of the stateful service can't take part in a change of its placement now: only those of
    /// the origin's agents say so. Or, at a nameserver of protocol 1, another instance of the service is
    /// being agreed on, or a router is silent. Try again.
    #[error("{url} can't be placed now: {reason}")]
    NotAgreed {
        /// The instance.
        url: ServiceUrl,
        /// What the nameserver says.
        reason: String,
    },
    /// The share of a stateful instance is 0, which would be a stateless one.
    #[error("{url} has the hash key 0, which stands for stateless; take any other number")]
    NoShare {
        /// The instance.
        url: ServiceUrl,
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
    share: Option<Share>,
}

impl Registration {
    pub(crate) fn new(runtime: Arc<Runtime>, url: Result<ServiceUrl, UrlError>) -> Self {
        Self {
            runtime,
            url,
            declared: Attributes::new(),
            weight: DEFAULT_WEIGHT,
            fences: Vec::new(),
            share: None,
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

    /// Makes it an instance of a stateful service: it owns a [`Share`] of the service's keys, and what
    /// is sent by [`Router::key`](crate::Router::key) comes to the owner of the key. A number or a text
    /// names a share that is as large as the others; [`Share::up_to`] says which keys it owns.
    ///
    /// The registration is answered when all routers of the service have agreed: they hold messages
    /// whose keys move until then. That takes a round trip, and at most the nameserver's `round` (3 s)
    /// if one of them does not answer; several registrations share a round. Nobody sees the
    /// instance before. Dropping the future takes it back at once.
    ///
    /// [`Instance::unregister`], the stop of the agent and `skymesh drain` are agreed on in the same
    /// way, so that no message is lost. All processes must have the same selector configured for the
    /// service, one that goes by the key alone such as `consistent_hash`; without one, a built-in
    /// consistent hash serves, which knows no weights.
    ///
    /// A nameserver of protocol 1 has no word for a share by [`Share::up_to`]: the registration is
    /// refused.
    pub fn stateful(mut self, share: impl Into<Share>) -> Self {
        self.share = Some(share.into());
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
        let Self { runtime, url, declared, weight, fences, share } = self;
        let url = url?;
        if !url.name.is_in(&runtime.app) {
            return Err(RegisterError::ForeignApp { url, app: runtime.app.to_string() });
        }
        let beyond_v1 = match share {
            _ if weight != DEFAULT_WEIGHT => Some("a weight of its own"),
            // The origin would take the bound for a number to hash.
            Some(share) if share.bound().is_some() => Some("an explicit share (Share::up_to)"),
            _ => None,
        };
        if let Some(what) = beyond_v1
            && let Err(source) = runtime.check_beyond_v1(what)
        {
            return Err(RegisterError::Request { url, source });
        }
        let declared = match &runtime.settings.agent.zone {
            Some(zone) if declared.get(ZONE).is_none() => declared.with(ZONE, zone.as_str()),
            _ => declared,
        };
        if share.is_some_and(|share| share.get() == 0) {
            return Err(RegisterError::NoShare { url });
        }
        let declared = declared.checked()?;
        let said = Said { declared: declared.clone(), weight, fences, share };
        let (instance, inbox) = build(&runtime, &url, said);
        let (reply, answer) = oneshot::channel();
        let own = Own {
            sender: Arc::clone(&instance.sender),
            queue: Arc::clone(&instance.queue),
            layers: AttributeLayers { declared, ..AttributeLayers::default() },
            agreed: false,
        };
        let stopped =
            |_| RegisterError::Request { url: url.clone(), source: RequestError::Stopped };
        // Known before the nameserver hears of it: a peer may be faster than the reply.
        runtime.directory.add_local(Arc::clone(&instance.queue), Arc::clone(&instance.sender));
        let guard = Undo(Some(&instance));
        runtime.uplink.send(Command::Register { own, reply }).await.map_err(|_| stopped(()))?;
        answer.await.map_err(|_| stopped(()))??;
        guard.keep();
        Ok((instance, inbox))
    }
}

/// What a registration says of its instance.
struct Said {
    declared: Attributes,
    weight: u32,
    fences: Vec<(ServiceName, Arc<FenceGate>)>,
    share: Option<Share>,
}

fn build(runtime: &Arc<Runtime>, url: &ServiceUrl, said: Said) -> (Instance, Inbox) {
    let Said { declared, weight, fences, share } = said;
    let handle = new_handle();
    let mut config = runtime.settings.agent.inbox.clone();
    let hot = runtime.hot.load();
    if let Some(limit) = hot.services.find(&url.name, |s| s.inbox_limit_bytes.as_ref()) {
        config.limit_bytes = *limit;
    }
    let admission = Admission::new(handle, fences);
    let queue = Queue::of_instance(url, handle, config, runtime, admission);
    if share.is_some() {
        // Before it is asked for, so that its first epoch is heard of.
        queue.guard(runtime.gate(&url.name));
    }
    queue.push_event(Event::Registered { handle });
    let record = InstanceRecord {
        url: url.clone(),
        handle,
        address: Arc::clone(&runtime.address),
        agent: Some(runtime.agent),
        protocol: PeerProtocol { version: 2, codecs: runtime.hot.load().codecs.ids().into() },
        state: InstanceState::Online,
        attributes: Arc::new(declared),
        weight,
        hash_key: share.map_or(0, Share::get),
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
