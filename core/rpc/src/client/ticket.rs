//! One open call: its slot among the pending ones, and what happens when it is given up.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use skymesh_agent::{Destination, Outgoing, RequestOutcome, Resolved, SendError};
use skymesh_types::Handle;
use skymesh_wire::Kind;
use tokio::time::{Instant, timeout_at};

use super::pending::Outcome;
use crate::shared::Shared;
use crate::status::{Code, Status};
use crate::wire;

/// Most cancels of an instance that wait for room towards their callee. Each waits at most for its
/// call's deadline; one beyond is dropped and counted, and the callee stops at the deadline too.
const WAITING_CANCELS: usize = 1024;

/// See the module. Dropping it while the call waits takes the call back.
#[derive(Debug)]
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    resolved: Resolved,
    correlation: u64,
    deadline: Instant,
    began: Instant,
    /// Whether anything of it may be on its way.
    sent: bool,
}

impl Ticket {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        resolved: Resolved,
        deadline: Instant,
    ) -> Result<Self, Status> {
        let opened = shared.pending.open(resolved.handle)?;
        resolved.stats.began();
        let correlation = opened.correlation;
        let shared = Arc::clone(shared);
        let began = Instant::now();
        let ticket = Self { shared, resolved, correlation, deadline, began, sent: false };
        if !opened.watched {
            ticket.shared.watch(&ticket.resolved);
        }
        ticket.shared.wake_driver();
        Ok(ticket)
    }

    pub(crate) fn correlation(&self) -> u64 {
        self.correlation
    }

    pub(crate) fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// From now on the callee may know of the call.
    pub(crate) fn note_sent(&mut self) {
        self.sent = true;
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = std::task::ready!(self.shared.pending.poll(self.correlation, cx));
        self.note_outcome(outcome.as_ref().err().map(Status::code));
        Poll::Ready(outcome)
    }

    /// The deadline has passed: the callee stops by itself. The owner of a key is told all the same: a
    /// request that was held while its key moved says what time was left before that.
    pub(crate) fn expire(&mut self) {
        self.note_outcome(Some(Code::DeadlineExceeded));
        self.sent = self.resolved.is_by_key();
    }

    /// Lets the selectors know how it went, and how long it took. A call that fails on the way says
    /// nothing of how fast the instance answers; one that runs into its deadline does.
    fn note_outcome(&self, code: Option<Code>) {
        let failed = code.is_some_and(|code| {
            use Code::{DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown};
            matches!(code, DeadlineExceeded | Internal | ResourceExhausted | Unavailable | Unknown)
        });
        if !failed || code == Some(Code::DeadlineExceeded) {
            self.resolved.note_latency(self.began.elapsed());
        }
        let outcome = if failed { RequestOutcome::Failed } else { RequestOutcome::Answered };
        self.resolved.note_outcome(outcome);
    }

    /// Tells the callee that nobody waits any more. A request by key may be held on its way, where a cancel
    /// to the callee would overtake it, so one goes the request's own way too, behind it. A cancel of
    /// what does not run there changes nothing.
    #[cold]
    fn cancel(&self, callee: Handle) {
        // A v1 peer has no word for it.
        if self.resolved.protocol < 2 {
            return;
        }
        self.post_cancel(callee);
        if self.resolved.is_by_key() {
            self.post_cancel(self.resolved.clone());
        }
    }

    fn post_cancel(&self, to: impl Destination + Clone + Send + 'static) {
        let correlation = self.correlation;
        let cancel = move || Outgoing {
            kind: Kind::REQUEST.0,
            flags: wire::CANCEL,
            correlation,
            ..Outgoing::default()
        };
        if !matches!(self.shared.instance.try_post(to.clone(), cancel()), Err(SendError::Full)) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let waiting = shared.waiting_cancels.fetch_add(1, Relaxed);
        let runtime = tokio::runtime::Handle::try_current();
        let (Ok(runtime), true) = (runtime, waiting < WAITING_CANCELS) else {
            shared.waiting_cancels.fetch_sub(1, Relaxed);
            shared.counters.cancels_dropped.add(1);
            return;
        };
        let deadline = self.deadline;
        runtime.spawn(async move {
            let _ = timeout_at(deadline, shared.instance.post(to, cancel())).await;
            shared.waiting_cancels.fetch_sub(1, Relaxed);
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let waits_for = self.shared.pending.close(self.correlation);
        self.resolved.stats.ended();
        if let Some(callee) = waits_for.filter(|_| self.sent) {
            self.cancel(callee);
        }
    }
}
