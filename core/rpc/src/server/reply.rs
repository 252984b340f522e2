//! The way back to a caller.

use std::sync::Arc;

use skymesh_agent::SendError;
use skymesh_types::Handle;

use super::Running;
use crate::outgoing::{Letter, NOTIFY};
use crate::response::Response;
use crate::shared::Shared;
use crate::status::{Processing, Status};

/// Where the outcome of one call goes.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    shared: Arc<Shared>,
    to: Handle,
    /// [`NOTIFY`] if nobody waits.
    correlation: u64,
    protocol: u32,
}

impl Reply {
    pub(crate) fn new(shared: &Arc<Shared>, to: Handle, correlation: u64, protocol: u32) -> Self {
        Self { shared: Arc::clone(shared), to, correlation, protocol }
    }

    /// Whether somebody waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.correlation != NOTIFY
    }

    /// Which call of whom.
    pub(crate) fn key(&self) -> (Handle, u64) {
        (self.to, self.correlation)
    }

    /// Sends the outcome, and waits for room towards the caller.
    pub(crate) async fn send(&self, outcome: Result<Response, Status>) {
        let Some(letter) = self.letter(outcome) else { return };
        match letter.try_post(&self.shared.instance, self.to) {
            Err(SendError::Full) => {}
            posted => return self.note(posted),
        }
        let posted = letter.post(&self.shared.instance, self.to).await;
        self.note(posted);
    }

    /// Sends a failure; where there is no room at once, a task of its own waits for it. It counts
    /// among the running handlers, so that a caller that does not read can't pile such tasks up:
    /// beyond their limit the failure is dropped and counted, and the caller's deadline ends the
    /// call.
    pub(crate) fn refuse(&self, status: Status) {
        let Some(letter) = self.letter(Err(status)) else { return };
        match letter.try_post(&self.shared.instance, self.to) {
            Err(SendError::Full) if self.shared.running.has_room() => {
                let reply = self.clone();
                let none = Self { correlation: NOTIFY, ..self.clone() };
                Running::spawn(&self.shared, none, async move {
                    let posted = letter.post(&reply.shared.instance, reply.to).await;
                    reply.note(posted);
                });
            }
            posted => self.note(posted),
        }
    }

    fn letter(&self, outcome: Result<Response, Status>) -> Option<Letter> {
        let counters = &self.shared.counters;
        let correlation = self.correlation;
        if correlation == NOTIFY {
            match outcome {
                Err(status) if status.processing() == Processing::NotProcessed => {
                    counters.notifies_dropped.add(1);
                }
                Err(_) => counters.notifies_failed.add(1),
                Ok(_) => {}
            }
            return None;
        }
        if self.protocol >= 2 {
            return Some(Letter::Response { correlation, outcome });
        }
        let letter = outcome.ok().map(|response| Letter::v1(None, correlation, response.payload));
        match letter {
            Some(Ok(letter)) => Some(letter),
            Some(Err(_)) | None => {
                counters.v1_failures_untold.add(1);
                None
            }
        }
    }

    fn note(&self, posted: Result<(), SendError>) {
        match posted {
            Ok(()) => {}
            Err(error @ (SendError::TooLarge { .. } | SendError::Codec(_))) => {
                // The caller learns why; this is small enough.
                let status = Status::out_of_range(format!("the answer can't be sent: {error}"));
                let reply =
                    Letter::Response { correlation: self.correlation, outcome: Err(status) };
                if self.protocol < 2 || reply.try_post(&self.shared.instance, self.to).is_err() {
                    self.shared.counters.responses_undeliverable.add(1);
                }
            }
            Err(_) => self.shared.counters.responses_undeliverable.add(1),
        }
    }
}
