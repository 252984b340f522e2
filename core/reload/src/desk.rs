//! Where reloads are asked for, and told of.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::outcome::Reload;

/// Reloads that may wait for the one under way; who asks then waits to ask.
const REQUESTS: usize = 8;

/// What asks for a reload.
pub(crate) struct Request<F> {
    /// `None`: from the source; without one, what holds, with plugins from their files.
    pub(crate) config: Option<F>,
    pub(crate) answer: oneshot::Sender<Arc<Reload>>,
}

/// What was asked for, on its way to the [`Reloader`](crate::Reloader).
pub struct Requests<F>(pub(crate) mpsc::Receiver<Request<F>>);

/// See the module. Cheap to clone; clones are of the same desk.
pub struct Desk<F> {
    requests: mpsc::Sender<Request<F>>,
    latest: watch::Sender<Arc<Reload>>,
}

impl<F> Clone for Desk<F> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone(), latest: self.latest.clone() }
    }
}

impl<F> fmt::Debug for Desk<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("latest", &self.latest.borrow()).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Requests<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests")
    }
}

impl<F> Desk<F> {
    /// A desk, and what is asked for there.
    pub fn new() -> (Self, Requests<F>) {
        let (requests, incoming) = mpsc::channel(REQUESTS);
        let latest = watch::Sender::new(Arc::new(Reload::start()));
        (Self { requests, latest }, Requests(incoming))
    }

    /// Asks for a reload: from its source, or with this configuration. Reloads take turns. `None` if
    /// what is to be reloaded has stopped.
    ///
    /// Cancel safe: what was asked for goes on.
    pub async fn reload(&self, config: Option<F>) -> Option<Arc<Reload>> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { config, answer }).await.ok()?;
        answered.await.ok()
    }

    /// The newest one.
    pub fn latest(&self) -> Arc<Reload> {
        Arc::clone(&self.latest.borrow())
    }

    /// Tells of reloads from now on.
    pub fn watch(&self) -> Reloads {
        Reloads(self.latest.subscribe())
    }

    pub(crate) fn tell(&self, reload: &Arc<Reload>) {
        self.latest.send_replace(Arc::clone(reload));
    }
}

/// Tells of the reloads of an agent or a nameserver, whoever asked for them. Who looks seldom sees the
/// newest.
#[derive(Debug, Clone)]
pub struct Reloads(watch::Receiver<Arc<Reload>>);

impl Reloads {
    /// The newest one.
    pub fn latest(&self) -> Arc<Reload> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits for one that this was not told of yet; `None` once the agent or nameserver is gone.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Reload>> {
        self.0.changed().await.ok()?;
        Some(Arc::clone(&self.0.borrow_and_update()))
    }
}
