//! Routers: an agent's live view of one service name, with the selector configured for it.

mod explain;
mod view;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_core::Stream;
use skymesh_naming::{InstanceRecord, Resolve};
use skymesh_plugin_host::{InstanceStats, SelectorSlot, SlotHealth};
use skymesh_stages::Ejections;
use skymesh_types::{Attributes, InstanceId, Key, ServiceName, ServiceUrl};
use tokio::sync::watch;

use crate::inbox::{Delivery, Event, Inbox, Queue};
use crate::keyed::Keyed as Placer;
use crate::runtime::{Runtime, new_handle};
use crate::send::SendError;
pub use explain::{ExplainedInstance, Explanation};
pub(crate) use view::{Recipe, View, ViewMember};

/// A live view of one service name. Cheap to clone; the service stays watched while the agent
/// lives.
///
/// It is also a destination: `send(&router, ..)` lets the configured selector pick an instance, and
/// `send(router.key(k), ..)` lets it pick by a key.
#[derive(Clone)]
pub struct Router {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) core: Arc<RouterCore>,
}

/// A router and a key to route by; see [`Router::key`].
#[derive(Debug, Clone, Copy)]
pub struct Keyed<'a> {
    pub(crate) router: &'a Router,
    pub(crate) key: Key,
}

/// What was waited for of a service name did not come in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
#[non_exhaustive]
pub struct ReadyTimeout {
    /// The service.
    pub name: ServiceName,
    /// How long was waited.
    pub waited: Duration,
    /// How many instances are known; `None` if nothing was heard of the service.
    pub known: Option<usize>,
}

impl ReadyTimeout {
    /// Nothing was heard.
    pub(crate) const fn no_word(name: ServiceName, waited: Duration) -> Self {
        Self { name, waited, known: None }
    }

    fn text(&self) -> String {
        let Self { name, waited, known } = self;
        let instances = match known {
            None => {
                return format!(
                    "no word on {name} within {waited:?}; is the nameserver reachable?"
                );
            }
            Some(0) => "no instance is".to_owned(),
            Some(1) => "1 instance is".to_owned(),
            Some(more) => format!("{more} instances are"),
        };
        format!(
            "{name} was not what was waited for within {waited:?}: {instances} known; are all started?"
        )
    }
}

impl Router {
    /// The service that it routes to.
    pub fn name(&self) -> &ServiceName {
        &self.core.name
    }

    /// What is known of the service now. Never an empty list that means something else.
    pub fn instances(&self) -> Resolve {
        let known = self.core.view.load().known.clone();
        Resolve::new(known, self.runtime.directory.stale_for(self.runtime.elapsed()))
    }

    /// How the configured selector does: whether it serves, or the built-in one in its place.
    pub fn health(&self) -> SlotHealth {
        self.core.selector.health()
    }

    /// The attributes of one instance as they were heard of last; `None` if it is not known. Takes a
    /// lock of the agent for a moment, so it is not for every message.
    pub fn attributes(&self, instance: InstanceId) -> Option<Arc<Attributes>> {
        let url = ServiceUrl { name: self.core.name.clone(), instance };
        self.runtime.directory.record(&url).map(|record| Arc::clone(&record.attributes))
    }

    /// What this agent measures of one instance, live; `None` if it is not known.
    pub fn stats(&self, instance: InstanceId) -> Option<Arc<InstanceStats>> {
        let view = self.core.view.load();
        view.find(instance).map(|member| Arc::clone(&member.route.stats))
    }

    /// Lets the selector pick an instance, as `send` would, without sending; `None` if there is
    /// none. The pick counts as a pick for selectors that take turns. Of a stateful service it answers
    /// the key's owner in the latest placement; while keys move, it may be another one when the
    /// message arrives.
    pub fn select(&self, key: Option<Key>) -> Option<Arc<InstanceRecord>> {
        self.select_from(&self.core.view.load(), key)
    }

    fn select_from(&self, view: &View, key: Option<Key>) -> Option<Arc<InstanceRecord>> {
        if let (Some(key), Some(keyed)) = (key, self.core.keyed.get()) {
            let placed = keyed.placed();
            if !placed.is_empty() {
                return placed.owner(key.get()).map(|(record, _)| Arc::clone(record));
            }
        }
        view.pick(key).map(|member| Arc::clone(&member.record))
    }

    /// Waits until the nameserver (or a peer) was heard on this service, and answers what is known
    /// then: ready, empty or stale, never loading.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ReadyTimeout`] after `deadline`.
    pub async fn ready(&self, deadline: Duration) -> Result<Resolve, ReadyTimeout> {
        self.wait_until(deadline, |resolve| !matches!(resolve, Resolve::Loading)).await
    }

    /// Waits until every key of a stateful service has an owner that [`Instance::resolve`] can name: not
    /// while keys move. Of other services it is true at once.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ReadyTimeout`] after `deadline`.
    ///
    /// [`Instance::resolve`]: crate::Instance::resolve
    pub async fn settled(&self, deadline: Duration) -> Result<(), ReadyTimeout> {
        let Some(keyed) = self.core.keyed.get() else { return Ok(()) };
        tokio::time::timeout(deadline, keyed.live()).await.map_err(|_| self.late(deadline))
    }

    /// Waits until what is known satisfies `wanted`, e.g. until so many instances are there.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ReadyTimeout`] after `deadline`.
    pub async fn wait_until(
        &self,
        deadline: Duration,
        mut wanted: impl FnMut(&Resolve) -> bool,
    ) -> Result<Resolve, ReadyTimeout> {
        let mut changed = self.core.changed.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                let resolve = self.instances();
                if wanted(&resolve) {
                    return resolve;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(deadline, wait).await.map_err(|_| self.late(deadline))
    }

    /// What to say of a wait that was in vain.
    fn late(&self, waited: Duration) -> ReadyTimeout {
        let known = match self.instances() {
            Resolve::Loading => None,
            known => Some(known.members().len()),
        };
        ReadyTimeout { name: self.core.name.clone(), waited, known }
    }

    /// The service's events from now on, starting with an online event for every instance that is
    /// known already. A watch that is not read lags: see [`Event::Lagged`]. It ends when the agent
    /// has stopped.
    pub fn watch(&self) -> impl Stream<Item = Event> + Send + Unpin + use<> {
        let config = self.runtime.settings.agent.inbox.clone();
        let name = self.core.name.clone();
        let queue = Queue::of_watcher(name, new_handle(), config, &self.runtime);
        self.runtime.directory.subscribe(&self.core.name, &queue);
        RouterEvents(Inbox::new(queue, None))
    }

    /// This service by `key`, as a destination.
    ///
    /// Of a stateful service the message goes to the one instance that owns the key. While the service
    /// grows or shrinks, messages whose keys move are kept until it is agreed who owns them, within
    /// the limits of `agent.hold`; `send` waits and `try_send` says
    /// [`Full`](SendError::Full) beyond them. Messages of one key keep their order.
    pub fn key(&self, key: impl Into<Key>) -> Keyed<'_> {
        Keyed { router: self, key: key.into() }
    }

    /// Waits for the first word on the service, as `send` does.
    pub(crate) async fn loaded(&self) -> Result<(), SendError> {
        let deadline = self.runtime.resolve_timeout();
        match self.ready(deadline).await {
            Ok(_) => Ok(()),
            Err(timeout) => Err(SendError::Unresolved(timeout)),
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("name", &self.core.name).finish_non_exhaustive()
    }
}

/// The stream behind [`Router::watch`].
struct RouterEvents(Inbox);

impl Stream for RouterEvents {
    type Item = Event;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Event>> {
        self.0.poll_recv(cx).map(|delivery| match delivery? {
            Delivery::Event(event) => Some(event),
            Delivery::Message(_) => unreachable!("invariant: nobody sends to a watch"),
        })
    }
}

/// What all clones of a router share.
#[derive(Debug)]
pub(crate) struct RouterCore {
    pub(crate) name: ServiceName,
    pub(crate) selector: SelectorSlot,
    pub(crate) view: ArcSwap<View>,
    /// Who is left out for a while for bad answers.
    pub(crate) ejections: Mutex<Ejections>,
    /// How messages go by key, if the service is a stateful one.
    pub(crate) keyed: OnceLock<Arc<Placer>>,
    changed: watch::Sender<()>,
}

impl RouterCore {
    pub(crate) fn new(name: ServiceName, selector: SelectorSlot) -> Self {
        let view = ArcSwap::from_pointee(View::loading(&selector));
        let (changed, _) = watch::channel(());
        let (ejections, keyed) = (Mutex::default(), OnceLock::new());
        Self { name, selector, view, ejections, keyed, changed }
    }

    /// Puts another view in place and tells who waits for one.
    pub(crate) fn show(&self, view: View) {
        self.view.store(Arc::new(view));
        self.changed.send_replace(());
    }

    /// Another selector is in the slot. It changes no owners of keys; but where there were none for want
    /// of a table, it is asked.
    pub(crate) fn note_exchanged(&self) {
        if let Some(keyed) = self.keyed.get() {
            keyed.remade();
        }
    }

    /// Waits until messages are routed by the selector that is in the slot.
    pub(crate) async fn renewed(&self) {
        let mut changed = self.changed.subscribe();
        while self.view.load().selector_version() < self.selector.version() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Told whenever the view, or what is to be made of it, is another one.
    pub(crate) fn subscribe_changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Tells who waits that the answer may be another one, though the members are the same.
    pub(crate) fn note_changed(&self) {
        self.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Agent;
    use crate::bare;

    #[tokio::test(start_paused = true)]
    async fn who_waited_in_vain_is_told_whether_anything_was_heard() {
        let (runtime, _commands) = bare::runtime();
        let router = Agent::of(runtime).router("app.env.room").unwrap();
        let waited = Duration::from_secs(20);
        let silent = router.wait_until(waited, |_| false).await.unwrap_err();
        assert_eq!(silent, ReadyTimeout::no_word(router.name().clone(), waited));
        let texts = [
            (None, "no word on app.env.room within 20s; is the nameserver reachable?"),
            (Some(0), "within 20s: no instance is known; are all started?"),
            (Some(1), "within 20s: 1 instance is known"),
            (Some(2), "within 20s: 2 instances are known"),
        ];
        for (known, expected) in texts {
            let text = ReadyTimeout { known, ..silent.clone() }.to_string();
            assert!(text.contains(expected), "{text}");
            assert_eq!(text.contains("nameserver"), known.is_none(), "{text}");
        }
    }
}
