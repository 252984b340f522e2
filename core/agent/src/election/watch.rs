//! Watching who leads a service.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use skymesh_types::{NameError, ServiceName};
use tokio::sync::watch;

use super::known::ElectionCore;
use super::standing::Standing;
use crate::agent::Agent;
use crate::instance::Instance;
use crate::router::Router;
use crate::runtime::Runtime;
use crate::send::SendError;

/// The live view of one election: who leads a service. Cheap to clone.
///
/// It is also a destination: `send(&election, ..)` goes to whoever leads and carries the term, so
/// that an instance that leads no longer refuses it
/// ([`UndeliverableReason::NotLeader`](crate::UndeliverableReason::NotLeader), with a hint of who does).
/// `send` waits for a leader up to `agent.resolve_timeout`; a call (RPC) to it fails at once while
/// nobody leads, not processed, and may be tried again. What was refused is never sent again by
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
        let mut shown = self.core.subscribe_changes();
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
        let mut shown = self.core.subscribe_changes();
        shown.mark_changed();
        Changes { next: Box::pin(next(shown)), _core: Arc::clone(&self.core) }
    }

    /// Waits for the nameserver's first word.
    pub(super) async fn loaded(&self) -> Result<Standing, SendError> {
        let deadline = self.runtime.resolve_timeout();
        let loaded = self.wait_until(|standing| !standing.is_loading());
        let unresolved = |_| {
            let (name, waited) = (self.name().clone(), deadline);
            SendError::Unresolved(crate::router::ReadyTimeout::no_word(name, waited))
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

/// Opens the watch of an election, whose router is opened with it.
fn open(router: Router, for_whom: impl FnOnce(&ElectionCore)) -> Election {
    let runtime = Arc::clone(&router.runtime);
    let core = runtime.elections.watch(&runtime, router.name(), for_whom);
    Election { runtime, core, router }
}

impl Router {
    /// Who leads the service; watched from now on, for the agent's life or until
    /// [`Agent::unwatch_election`]. As a destination it is the leader.
    pub fn leader(&self) -> Election {
        open(self.clone(), ElectionCore::watch_for_agent)
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
        runtime.elections.unwatch(runtime, name, ElectionCore::unwatch_for_agent);
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
    /// [`Event::LeaderChanged`](crate::Event::LeaderChanged); the first one says how it stands as soon as that is known.
    ///
    /// # Errors
    /// As [`Agent::watch_election`].
    pub fn watch_election<N>(&self, name: N) -> Result<Election, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        Ok(open(self.router(name)?, |core| core.subscribe(&self.queue)))
    }

    /// Ends [`watch_election`](Self::watch_election). Events that are in the inbox already stay
    /// there.
    pub fn unwatch_election(&self, name: &ServiceName) {
        let runtime = &self.runtime;
        runtime.elections.unwatch(runtime, name, |core| core.unsubscribe(&self.queue));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bare;
    use crate::runtime::Hot;

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_waited_for_as_long_as_the_newest_configuration_says() {
        let (runtime, _commands) = bare::runtime();
        let was = runtime.hot.load_full();
        let waited = was.agent.resolve_timeout + Duration::from_secs(1);
        let mut agent = was.agent.clone();
        agent.resolve_timeout = waited;
        let (services, codecs) = (was.services.clone(), was.codecs.clone());
        runtime.hot.store(Arc::new(Hot { agent, services, codecs }));
        let asked = Agent::of(runtime).leader_of("app.env.room").await;
        let name = "app.env.room".parse().unwrap();
        let unresolved = SendError::Unresolved(crate::router::ReadyTimeout::no_word(name, waited));
        assert_eq!(asked, Err(unresolved));
    }
}
