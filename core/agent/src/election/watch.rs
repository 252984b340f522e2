//! Watching who leads a service.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwapOption;
use futures_core::Stream;
use skymesh_naming::election::Term;
use skymesh_types::{Handle, NameError, ServiceName};
use tokio::sync::watch;

use super::standing::{Leader, Standing};
use crate::agent::Agent;
use crate::inbox::{Event, Queue};
use crate::instance::Instance;
use crate::router::Router;
use crate::runtime::Runtime;
use crate::send::SendError;
use crate::uplink::Command;

/// The live view of one election: who leads a service. Cheap to clone.
///
/// It is also a destination: `send(&election, ..)` goes to whoever leads and carries the term, so
/// that an instance that leads no longer refuses it
/// ([`UndeliverableReason::NotLeader`](crate::UndeliverableReason::NotLeader), with a hint of who does).
/// `send` waits for a leader up to `agent.resolve_timeout`. What was refused is never sent again by
/// itself, since it could overtake or repeat; what is sent after a hint follows it, even before the
/// nameserver's word.
#[derive(Clone)]
pub struct Election {
    pub(super) runtime: Arc<Runtime>,
    pub(super) core: Arc<ElectionCore>,
    /// Knows the ways to the candidates.
    pub(super) router: Router,
}

impl Election {
    /// The service.
    pub fn name(&self) -> &ServiceName {
        &self.core.name
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        self.core.standing()
    }

    /// Waits until it stands as `wanted`.
    ///
    /// Cancel safe.
    pub async fn wait_until(&self, mut wanted: impl FnMut(&Standing) -> bool) -> Standing {
        let mut shown = self.core.shown.subscribe();
        loop {
            let standing = shown.borrow_and_update().clone();
            if wanted(&standing) {
                return standing;
            }
            // This keeps the sender.
            let _ = shown.changed().await;
        }
    }

    /// How it stands now, and then each time that this changes, for ever. Who reads slowly sees the
    /// newest standing and misses those between.
    pub fn changes(&self) -> impl Stream<Item = Standing> + Send + Unpin + use<> {
        let mut shown = self.core.shown.subscribe();
        shown.mark_changed();
        Changes { next: Box::pin(next(shown)), _core: Arc::clone(&self.core) }
    }

    /// Waits for the nameserver's first word.
    pub(super) async fn loaded(&self) -> Result<Standing, SendError> {
        let deadline = self.runtime.settings.agent.resolve_timeout;
        let loaded = self.wait_until(|standing| !standing.is_loading());
        let unresolved = |_| {
            let (name, waited) = (self.name().clone(), deadline);
            SendError::Unresolved(crate::router::ReadyTimeout { name, waited })
        };
        tokio::time::timeout(deadline, loaded).await.map_err(unresolved)
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standing = self.standing();
        f.debug_struct("Election").field("name", self.name()).field("standing", &standing).finish()
    }
}

/// The stream behind [`Election::changes`].
struct Changes {
    next: Pin<Box<dyn Future<Output = (Standing, watch::Receiver<Standing>)> + Send>>,
    /// Keeps the sender.
    _core: Arc<ElectionCore>,
}

async fn next(mut shown: watch::Receiver<Standing>) -> (Standing, watch::Receiver<Standing>) {
    if shown.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    let standing = shown.borrow_and_update().clone();
    (standing, shown)
}

impl Stream for Changes {
    type Item = Standing;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Standing>> {
        let (standing, shown) = ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(next(shown));
        Poll::Ready(Some(standing))
    }
}

/// What all handles of a watch share.
#[derive(Debug)]
pub(crate) struct ElectionCore {
    name: ServiceName,
    shown: watch::Sender<Standing>,
    /// What the next message to the leader goes by.
    lead: ArcSwapOption<Lead>,
    watchers: Mutex<Watchers>,
}

/// Who a message to the leader goes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(super) handle: Handle,
    /// `None` at a nameserver of protocol 1.
    pub(super) term: Option<Term>,
}

#[derive(Debug, Default)]
struct Watchers {
    inboxes: Vec<Weak<Queue>>,
    /// The agent itself watches, not for an inbox.
    agent: bool,
    /// Instances of this agent are asked who leads.
    hints: bool,
}

impl Watchers {
    fn is_watched(&self) -> bool {
        self.agent || self.hints || !self.inboxes.is_empty()
    }
}

impl ElectionCore {
    pub(super) fn new(name: ServiceName) -> Self {
        let shown = watch::Sender::new(Standing::Loading);
        Self { name, shown, lead: ArcSwapOption::empty(), watchers: Mutex::default() }
    }

    pub(super) fn standing(&self) -> Standing {
        self.shown.borrow().clone()
    }

    pub(super) fn lead(&self) -> Option<Arc<Lead>> {
        self.lead.load_full()
    }

    /// Told whenever the standing, or who messages go to, changes.
    pub(super) fn subscribe_changes(&self) -> watch::Receiver<Standing> {
        self.shown.subscribe()
    }

    /// Shows another standing to everybody; called under the lock of the elections.
    pub(super) fn show(&self, standing: Standing) {
        if *self.shown.borrow() == standing {
            return;
        }
        let lead = |leader: &Leader| Arc::new(Lead { handle: leader.handle, term: leader.term });
        self.lead.store(standing.leader().map(lead));
        self.shown.send_replace(standing.clone());
        let event = Event::LeaderChanged { name: self.name.clone(), standing };
        self.watchers().inboxes.retain(|listener| {
            let Some(queue) = listener.upgrade() else { return false };
            queue.push_event(event.clone());
            true
        });
    }

    /// A receiver says who leads in a newer term than is known: messages go there, and the next word
    /// of the nameserver is believed whatever it says.
    pub(super) fn hint(&self, term: Term, handle: Handle) {
        let known = self.lead.load();
        let newer = match known.as_deref() {
            Some(lead) => lead.term.is_some_and(|known| known < term),
            None => true,
        };
        if newer {
            self.lead.store(Some(Arc::new(Lead { handle, term: Some(term) })));
            // Who waits for a leader looks again.
            self.shown.send_modify(|_| {});
        }
    }

    pub(super) fn subscribe(&self, queue: &Arc<Queue>) {
        let mut watchers = self.watchers();
        if watchers.inboxes.iter().any(|known| known.as_ptr() == Arc::as_ptr(queue)) {
            return;
        }
        watchers.inboxes.push(Arc::downgrade(queue));
        let standing = self.standing();
        if !standing.is_loading() {
            queue.push_event(Event::LeaderChanged { name: self.name.clone(), standing });
        }
    }

    fn watch_for_agent(&self) {
        self.watchers().agent = true;
    }

    /// An instance of this agent stands, or did.
    pub(super) fn watch_for_hints(&self) {
        self.watchers().hints = true;
    }

    /// Answers whether nobody watches any more.
    fn unsubscribe(&self, queue: &Arc<Queue>) -> bool {
        let mut watchers = self.watchers();
        let gone = |known: &Weak<Queue>| known.as_ptr() == Arc::as_ptr(queue);
        watchers.inboxes.retain(|known| !gone(known) && known.strong_count() > 0);
        !watchers.is_watched()
    }

    fn unwatch_for_agent(&self) -> bool {
        let mut watchers = self.watchers();
        watchers.agent = false;
        watchers.inboxes.retain(|known| known.strong_count() > 0);
        !watchers.is_watched()
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the watch of an election, whose router is opened with it.
fn open(runtime: &Arc<Runtime>, router: Router) -> Election {
    let (core, new) = runtime.elections.watch(router.name());
    if new {
        runtime.command(Command::WatchElection(router.name().clone()));
    }
    Election { runtime: Arc::clone(runtime), core, router }
}

impl Router {
    /// Who leads the service; watched from now on, for the agent's life or until
    /// [`Agent::unwatch_election`]. As a destination it is the leader.
    pub fn leader(&self) -> Election {
        let election = open(&self.runtime, self.clone());
        election.core.watch_for_agent();
        election
    }
}

impl Agent {
    /// The live view of who leads a service; watched from now on, for the agent's life or until
    /// [`unwatch_election`](Self::unwatch_election). The service's instances are watched as well.
    ///
    /// # Errors
    /// [`SendError`] if the name is none, the service is of a foreign app, or its strategies can't
    /// be loaded.
    pub fn watch_election<N>(&self, name: N) -> Result<Election, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        Ok(self.router(name)?.leader())
    }

    /// Ends [`watch_election`](Self::watch_election). Every [`Election`] of the name that was taken
    /// before stays at [`Standing::Loading`] then, unless the election is watched for another reason: an
    /// instance of this agent watches it, or stood in it.
    pub fn unwatch_election(&self, name: &ServiceName) {
        let runtime = self.runtime();
        if runtime.elections.unwatch(name, ElectionCore::unwatch_for_agent) {
            runtime.command(Command::UnwatchElection(name.clone()));
        }
    }

    /// Who leads a service: waits for the nameserver's first word on that, up to
    /// `agent.resolve_timeout`. Watches its election from now on.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`watch_election`](Self::watch_election); [`SendError::Unresolved`] if the nameserver said
    /// nothing in time.
    pub async fn leader_of<N>(&self, name: N) -> Result<Standing, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        self.watch_election(name)?.loaded().await
    }
}

impl Instance {
    /// Brings changes of who leads a service into this instance's inbox, as
    /// [`Event::LeaderChanged`]; the first one says how it stands as soon as that is known.
    ///
    /// # Errors
    /// As [`Agent::watch_election`].
    pub fn watch_election<N>(&self, name: N) -> Result<Election, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        let election = open(&self.runtime, self.router(name)?);
        self.runtime.elections.subscribe(&election.core, &self.queue);
        Ok(election)
    }

    /// Ends [`watch_election`](Self::watch_election). Events that are in the inbox already stay
    /// there.
    pub fn unwatch_election(&self, name: &ServiceName) {
        let elections = &self.runtime.elections;
        if elections.unwatch(name, |core| core.unsubscribe(&self.queue)) {
            self.runtime.command(Command::UnwatchElection(name.clone()));
        }
    }

    /// As [`Agent::leader_of`].
    ///
    /// # Errors
    /// As [`Agent::leader_of`].
    pub async fn leader_of<N>(&self, name: N) -> Result<Standing, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        self.agent().leader_of(name).await
    }
}
