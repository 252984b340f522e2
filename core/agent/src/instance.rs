//! A registered instance: what a service does with the mesh.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use skymesh_telemetry::catalogue::Metric;
use skymesh_telemetry::spans::{self, SpanEntry};
use skymesh_telemetry::{ActiveSpan, SpanContext, Tracer, Value as Fact};
use skymesh_types::{
    AttributeChange, AttributeError, Attributes, Handle, NameError, ServiceName, ServiceUrl,
};
use skymesh_wire::{Envelope, Kind};
use tokio::sync::oneshot;

use crate::agent::Agent;
use crate::counted::Counted;
use crate::destination::{Destination, Resolved};
use crate::inbox::Queue;
use crate::meter::Serving;
use crate::router::Router;
use crate::runtime::Runtime;
use crate::send::{self, SendError};
use crate::sender::Sender;
use crate::uplink::{Command, RequestError};

/// A registered instance. Cheap to clone; all clones are the same instance.
///
/// It stays registered until [`unregister`](Self::unregister), the drop of its inbox, or the end of
/// its agent.
#[derive(Clone)]
pub struct Instance {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) queue: Arc<Queue>,
}

/// A message with its whole envelope; what is not said is 0 or empty. Towards a v1 peer everything
/// but the payload is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outgoing<'a> {
    /// What it is for: 0 message, 1 request, 2 response, 3 notify, 4 stream, at most 31; the
    /// receiver's [`Message::kind`](crate::Message::kind).
    pub kind: u8,
    /// Bits that the kind gives a meaning to.
    pub flags: u32,
    /// A number for the receiver, such as a leader's term. Towards the owner of a key of a stateful
    /// service it is the epoch of the placement instead.
    pub epoch: u64,
    /// Pairs a response with its request.
    pub correlation: u64,
    /// Bytes for middleware, such as a trace context.
    pub metadata: &'a [u8],
    /// The application's bytes.
    pub payload: &'a [u8],
}

/// Why attributes were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributesError {
    /// They would pass a limit.
    #[error(transparent)]
    Limit(#[from] AttributeError),
    /// The nameserver refused them, or the agent stopped.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// What became of a broadcast.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Broadcast {
    /// How many instances the message is on its way to.
    pub accepted: usize,
    /// Who it is not on its way to, and why.
    pub refused: Vec<(ServiceUrl, SendError)>,
}

impl Instance {
    /// Its place in the mesh.
    pub fn url(&self) -> &ServiceUrl {
        self.sender.source.url()
    }

    /// This incarnation of it.
    pub fn handle(&self) -> Handle {
        self.sender.source.handle()
    }

    /// The agent that it was registered with.
    pub fn agent(&self) -> Agent {
        Agent::of(Arc::clone(&self.runtime))
    }

    /// Sends a message, and waits for room: in the destination's window, and in the connection's
    /// buffer. To a service name it also waits (up to `agent.resolve_timeout`) for the first word
    /// on that name. What was accepted is delivered, or this instance gets an
    /// [`Undeliverable`](crate::Event::Undeliverable) event, or `Counters::unconfirmed` counts it.
    ///
    /// Cancel safe: a dropped future has sent the whole message, or nothing.
    ///
    /// # Errors
    /// [`SendError`] says why nothing was sent.
    pub async fn send(
        &self,
        to: impl Destination,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), SendError> {
        send::deliver(&self.runtime, &self.sender, &to, self.envelope(payload.as_ref())).await
    }

    /// As [`send`](Self::send), and never waits.
    ///
    /// # Errors
    /// [`SendError::Full`] or [`SendError::Loading`] where `send` would wait; else as `send`.
    pub fn try_send(
        &self,
        to: impl Destination,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), SendError> {
        send::try_deliver(&self.runtime, &self.sender, &to, self.envelope(payload.as_ref()))
    }

    /// As [`send`](Self::send), with the whole envelope: for protocols on top of messages, such as
    /// RPC.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn post(&self, to: impl Destination, post: Outgoing<'_>) -> Result<(), SendError> {
        send::deliver(&self.runtime, &self.sender, &to, self.seal(post)?).await
    }

    /// As [`post`](Self::post), and never waits.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_post(&self, to: impl Destination, post: Outgoing<'_>) -> Result<(), SendError> {
        send::try_deliver(&self.runtime, &self.sender, &to, self.seal(post)?)
    }

    /// The incarnation that a message to `to` would go to now (a selector's pick counts as one),
    /// for protocols that must know whom they wait for. Waits as [`send`](Self::send) does for the
    /// first word on a service name.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`send`](Self::send), where there is nobody.
    pub async fn resolve(&self, to: impl Destination) -> Result<Resolved, SendError> {
        send::resolve(&self.runtime, &to).await
    }

    /// As [`resolve`](Self::resolve), and never waits.
    ///
    /// # Errors
    /// [`SendError::Loading`] where `resolve` would wait; else as `resolve`.
    pub fn try_resolve(&self, to: impl Destination) -> Result<Resolved, SendError> {
        send::try_resolve(&self.runtime, &to)
    }

    /// Sends a message to every instance of a service that is online (this one too, if it is one
    /// of them). Those that have room get it first; then it waits for the others.
    ///
    /// # Errors
    /// [`SendError`] if nothing is known of the service in time, or it is of a foreign app. What
    /// single instances answer is in [`Broadcast::refused`].
    pub async fn broadcast<N>(
        &self,
        name: N,
        payload: impl AsRef<[u8]>,
    ) -> Result<Broadcast, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        let router = self.runtime.named_router(name)?;
        router.loaded().await?;
        // Not the view itself: who waits is not to keep what has left.
        let members: Vec<(ServiceUrl, Handle)> = {
            let view = router.core.view.load();
            view.members.iter().map(|m| (m.record.url.clone(), m.record.handle)).collect()
        };
        let mut broadcast = Broadcast::default();
        let mut waiting = Vec::new();
        for (url, handle) in members {
            match self.try_send(handle, &payload) {
                Ok(()) => broadcast.accepted += 1,
                Err(SendError::Full) => waiting.push((url, handle)),
                Err(error) => broadcast.refused.push((url, error)),
            }
        }
        for (url, handle) in waiting {
            match self.send(handle, &payload).await {
                Ok(()) => broadcast.accepted += 1,
                Err(error) => broadcast.refused.push((url, error)),
            }
        }
        Ok(broadcast)
    }

    /// The live view of a service; watched from now on, for the agent's life.
    ///
    /// # Errors
    /// [`SendError`] if the service is of a foreign app, or its strategies can't be loaded.
    pub fn router<N>(&self, name: N) -> Result<Router, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        self.runtime.named_router(name)
    }

    /// What makes spans for this process; off without a trace plugin.
    pub fn tracer(&self) -> &Tracer {
        self.runtime.tracer()
    }

    /// Begins the span of a call that this instance makes or serves, below `parent`, which came with that
    /// trace state; `None` without a trace plugin. `method` is asked only if the span is recorded.
    pub fn begin_span(
        &self,
        entry: &SpanEntry,
        parent: Option<SpanContext>,
        state: Option<&str>,
        method: impl Fn() -> String,
    ) -> Option<ActiveSpan> {
        let mut span = self.tracer().begin(&method, entry.kind, parent)?;
        span.trace_state(state);
        span.note(spans::SYSTEM, || Fact::Word(entry.system));
        span.note(spans::METHOD, || Fact::Text(method()));
        span.note(spans::INSTANCE, || Fact::Text(self.url().to_string()));
        Some(span)
    }

    /// Shows what a protocol on top of messages counts for this instance as `metric`, one of the
    /// catalogue with the labels `service` and `event`. Holds `counted`; once nobody else does, its last
    /// counts stay with the service.
    pub fn show_counts(&self, metric: &'static Metric, counted: Arc<dyn Counted>) {
        self.queue.meter().accounts.open(metric, counted);
    }

    /// Begins to measure how long it serves a request: for protocols on top of messages.
    pub fn serving(&self) -> Serving {
        Serving::begin(self.queue.meter())
    }

    /// Brings the events of a service into this instance's inbox, starting with an online event for
    /// every instance that is known already. An instance's online event precedes its first message;
    /// no message follows its offline event.
    ///
    /// # Errors
    /// As [`router`](Self::router).
    pub fn watch<N>(&self, name: N) -> Result<Router, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        let router = self.runtime.named_router(name)?;
        self.runtime.directory.subscribe(router.name(), &self.queue);
        Ok(router)
    }

    /// Ends [`watch`](Self::watch). Events that are in the inbox already stay there.
    pub fn unwatch(&self, name: &ServiceName) {
        self.runtime.directory.unsubscribe(name, &self.queue);
    }

    /// Sets one attribute; waits for the nameserver's word.
    ///
    /// # Errors
    /// [`AttributesError`] if it passes a limit or is refused; then nothing has changed.
    pub async fn set_attribute(
        &self,
        key: impl Into<String>,
        value: impl Into<Value>,
    ) -> Result<(), AttributesError> {
        let set = [(key.into(), value.into())].into();
        self.change_attributes(AttributeChange { set, unset: Vec::new() }).await
    }

    /// Changes several attributes at once: all or none.
    ///
    /// If the future is dropped, the change may happen or not.
    ///
    /// # Errors
    /// As [`set_attribute`](Self::set_attribute).
    pub async fn change_attributes(&self, change: AttributeChange) -> Result<(), AttributesError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::ChangeAttributes { handle: self.handle(), change, reply };
        self.runtime.uplink.send(command).await.map_err(|_| RequestError::Stopped)?;
        answer.await.map_err(|_| RequestError::Stopped)?
    }

    /// The attributes as this instance set them: what it reads is what it wrote last.
    ///
    /// # Errors
    /// [`RequestError`] if the instance is off the mesh, or the agent has stopped.
    pub async fn attributes(&self) -> Result<Attributes, RequestError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Attributes { handle: self.handle(), reply };
        self.runtime.uplink.send(command).await.map_err(|_| RequestError::Stopped)?;
        answer.await.map_err(|_| RequestError::Stopped)?
    }

    /// Takes nothing new from now on, and waits for the nameserver's word: selectors pick others. A
    /// stateful instance gives its keys to others first, and is answered when all routers have agreed;
    /// then nothing more comes by key.
    ///
    /// If the future is dropped, it drains nevertheless.
    ///
    /// # Errors
    /// [`RequestError`] if the nameserver refuses, or the agent has stopped;
    /// [`RequestError::NotSupported`] at a nameserver of protocol 1.
    pub async fn drain(&self) -> Result<(), RequestError> {
        self.runtime.check_beyond_v1("draining")?;
        let (reply, answer) = oneshot::channel();
        let command = Command::DrainOne { handle: self.handle(), reply };
        self.runtime.uplink.send(command).await.map_err(|_| RequestError::Stopped)?;
        answer.await.map_err(|_| RequestError::Stopped)?
    }

    /// Takes the instance off the mesh and waits for the nameserver's word. What it has sent arrives
    /// first (up to a second is given to it). Messages that are in the inbox can still be read; then
    /// the inbox ends. A stateful instance [drains](Self::drain) first, so its inbox must be read
    /// meanwhile as ever.
    ///
    /// If the future is dropped, it leaves nevertheless.
    ///
    /// # Errors
    /// [`RequestError`] if the agent has stopped.
    pub async fn unregister(&self) -> Result<(), RequestError> {
        // Of its own: an instance that has stopped sending, and stays on the mesh, serves nobody.
        let leaving = self.runtime.tasks.spawn(self.clone().leave());
        leaving.await.unwrap_or(Err(RequestError::Stopped))
    }

    async fn leave(self) -> Result<(), RequestError> {
        if self.sender.record().hash_key != 0 {
            // Refused by a router of the origin, it goes as a stateless one does.
            if let Err(RequestError::Stopped) = self.drain().await {
                return Err(RequestError::Stopped);
            }
        }
        self.runtime.deliver_sent(&self.sender).await;
        // It has stopped leading before the nameserver hears that it left.
        self.runtime.elections.forget(self.handle());
        let (reply, answer) = oneshot::channel();
        let command = Command::Unregister { handle: self.handle(), reply };
        self.runtime.uplink.send(command).await.map_err(|_| RequestError::Stopped)?;
        answer.await.map_err(|_| RequestError::Stopped)?
    }

    fn envelope<'a>(&self, payload: &'a [u8]) -> Envelope<'a> {
        Envelope { source: self.handle().get(), payload, ..Envelope::default() }
    }

    pub(crate) fn seal<'a>(&self, post: Outgoing<'a>) -> Result<Envelope<'a>, SendError> {
        if post.kind > Kind::MAX.0 {
            return Err(SendError::Kind(post.kind));
        }
        Ok(Envelope {
            // The route knows it.
            destination: 0,
            source: self.handle().get(),
            kind: Kind(post.kind).plain(),
            flags: post.flags,
            epoch: post.epoch,
            correlation: post.correlation,
            metadata: post.metadata,
            payload: post.payload,
        })
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("url", self.url()).field("handle", &self.handle()).finish()
    }
}
