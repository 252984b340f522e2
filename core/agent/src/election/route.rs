//! Messages to whoever leads: they carry the term, and go on to the next leader where nothing was
//! accepted yet. What a receiver in another process refuses is told to the sender and not sent
//! again: it could overtake what was sent since, or arrive twice.

use std::sync::Arc;

use skymesh_naming::election::Term;
use skymesh_wire::{Envelope, Kind};
use tokio::time::{Instant, timeout_at};

use super::Election;
use super::known::Lead;
use crate::destination::{NoRoute, Resolved};
use crate::peer::{NeverPosted, Post, Route};
use crate::runtime::Runtime;
use crate::send::{SendError, not_at_once, refused};

impl Election {
    /// Hands the route to the leader, and its term, to `post`.
    pub(crate) fn with_route<R>(
        &self,
        post: impl FnOnce(&Route, &Lead) -> R,
    ) -> Result<R, NoRoute> {
        // Whether nothing was heard yet or nobody leads: what is to be waited for is a leader, not a
        // word on the instances, which a caller would wait for where the answer is "loading".
        let nobody = || NoRoute::Never(SendError::NoLeader(self.name().clone()));
        let lead = self.core.lead().ok_or_else(nobody)?;
        let directory = &self.runtime.directory;
        let route = directory.route(&self.runtime, lead.handle).or_else(|| {
            // The router's view may be a moment behind.
            let url = self.standing().leader().map(|leader| leader.url.clone())?;
            directory.find(&self.runtime, &url).filter(|route| route.handle == lead.handle)
        });
        Ok(post(&*route.ok_or_else(nobody)?, &lead))
    }

    /// Waits until messages may go to another leader than `before`.
    async fn another(&self, before: Option<&Lead>) {
        let mut standing = self.core.subscribe_changes();
        let mut members = self.router.core.subscribe_changes();
        loop {
            standing.borrow_and_update();
            members.borrow_and_update();
            let other = self.with_route(|_, lead| Some(lead) != before);
            if matches!(other, Ok(true)) {
                return;
            }
            tokio::select! {
                // The election and the router keep the senders.
                _ = standing.changed() => {}
                _ = members.changed() => {}
                () = self.runtime.stopped.cancelled() => return,
            }
        }
    }
}

/// The message with the leader's term, if it has one, unless its source sends it as leader itself.
pub(crate) fn addressed<'a>(post: &Post<'a>, term: Option<Term>) -> Post<'a> {
    let mut envelope = post.envelope;
    if let Some(term) = term
        && envelope.kind.0 & Kind::BY_LEADER == 0
    {
        envelope =
            Envelope { kind: Kind(envelope.kind.0 | Kind::TO_LEADER), epoch: term.0, ..envelope };
    }
    Post { sender: post.sender, envelope, live: None }
}

/// Posts to the leader, without waiting.
pub(crate) fn try_deliver(
    runtime: &Arc<Runtime>,
    election: &Election,
    post: &Post<'_>,
) -> Result<(), SendError> {
    match election.with_route(|route, lead| route.post(&addressed(post, lead.term)))? {
        Ok(_) => Ok(()),
        Err(not_posted) => Err(not_at_once(runtime, post, not_posted)),
    }
}

/// Posts to the leader, and waits for one and for room. Cancel safe: a dropped future has sent
/// nothing, or everything.
pub(crate) async fn deliver(
    runtime: &Arc<Runtime>,
    election: &Election,
    post: &Post<'_>,
) -> Result<(), SendError> {
    let mut patience = None;
    loop {
        let mut tried = None;
        let posted = election.with_route(|route, lead| {
            tried = Some(Lead { handle: lead.handle, term: lead.term });
            route.post(&addressed(post, lead.term))
        });
        let problem = match posted {
            Ok(Ok(turn)) => {
                turn.pay().await;
                return Ok(());
            }
            Ok(Err(not_posted)) => match not_posted.passed().await {
                Ok(()) => continue,
                Err(NeverPosted::Gone) => SendError::Gone,
                Err(NeverPosted::Refused(refusal)) => {
                    let error = refused(runtime, post, refusal);
                    turned_down(election, tried.as_ref(), error)?
                }
            },
            Err(no_route) => no_route.into(),
        };
        next_leader(election, tried.as_ref(), &mut patience, problem).await?;
    }
}

/// Heeds what a receiver of this process says that does not lead; whatever else it says is an error.
fn turned_down(
    election: &Election,
    tried: Option<&Lead>,
    error: SendError,
) -> Result<SendError, SendError> {
    let SendError::NotLeader { term, leader } = error else { return Err(error) };
    if let Some(tried) = tried {
        election.core.hint(tried.handle, term, leader);
    }
    Ok(error)
}

/// Waits for a leader other than the one that was tried, up to `agent.resolve_timeout` in all.
async fn next_leader(
    election: &Election,
    tried: Option<&Lead>,
    patience: &mut Option<Instant>,
    problem: SendError,
) -> Result<(), SendError> {
    let runtime = &election.runtime;
    let wait = runtime.resolve_timeout();
    let deadline = *patience.get_or_insert_with(|| Instant::now() + wait);
    let found = timeout_at(deadline, election.another(tried)).await;
    if runtime.stopped.is_cancelled() {
        return Err(SendError::Stopped);
    }
    found.map_err(|_| match problem {
        SendError::Gone | SendError::Loading(_) => SendError::NoLeader(election.name().clone()),
        other => other,
    })
}

/// Who leads, as a destination that was looked up; waits for a leader as `send` does.
pub(crate) async fn resolve(
    runtime: &Arc<Runtime>,
    election: &Election,
) -> Result<Resolved, SendError> {
    let mut patience = None;
    loop {
        let problem = match election.with_route(Resolved::led) {
            Ok(resolved) => return Ok(resolved),
            Err(_) if runtime.stopped.is_cancelled() => return Err(SendError::Stopped),
            Err(no_route) => no_route.into(),
        };
        next_leader(election, None, &mut patience, problem).await?;
    }
}
