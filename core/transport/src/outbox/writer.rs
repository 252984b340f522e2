//! The task that serves an outbox: it writes what no pushing thread wrote, waits for the socket when
//! it takes no more, and says in the end what was left over.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::buffer::By;
use super::phase::{CloseReason, Phase};
use super::unwritten::Unwritten;
use super::write::Step;
use super::{Shared, Socket};

/// How long nothing is written before the memory of a burst is freed.
const QUIET: Duration = Duration::from_secs(1);

/// How writing came to its end.
#[derive(Debug)]
#[must_use = "frames may have been left unwritten"]
#[non_exhaustive]
pub struct WriteEnd {
    /// Why it ended.
    pub reason: CloseReason,
    /// What was accepted and not written; empty if the reason is [`CloseReason::Closed`].
    pub unwritten: Unwritten,
}

/// Serves one outbox. Dropping it, or the future of [`run`](Self::run), closes the outbox and loses
/// what was not written.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes `greeting` (whole frames, or empty), then whatever was and is pushed, until the outbox
    /// is closed, its last handle is dropped or the socket fails. Shuts the write side down at the
    /// end. Not cancel safe: see [`Writer`].
    pub async fn run(self, socket: Socket, greeting: Vec<u8>) -> WriteEnd {
        let socket = Arc::new(socket);
        self.shared.lock().attach(Arc::clone(&socket), greeting);
        let reason = loop {
            match self.shared.write_once(By::Writer) {
                Step::Wrote => consume_budget().await,
                Step::Idle => self.idle().await,
                Step::Ended(reason) => break reason,
                Step::Blocked => tokio::select! {
                    // An error shows in the next write as well.
                    _ = socket.writable() => {}
                    // Perhaps the outbox was given up.
                    () = self.shared.work.notified() => {}
                },
            }
        };
        // Before anyone hears of the end: the last to drop the socket shuts it down.
        drop(socket);
        self.end(reason)
    }

    /// Waits for work; frees the memory of a burst when it has been quiet for a while.
    async fn idle(&self) {
        let work = self.shared.work.notified();
        if !self.shared.lock().watch_burst() {
            return work.await;
        }
        if timeout(QUIET, work).await.is_err() {
            self.shared.lock().free_burst();
        }
    }

    /// Ends an outbox that will get no connection, e.g. because its peer is gone.
    pub fn abandon(self) -> WriteEnd {
        self.end(CloseReason::Aborted)
    }

    fn end(&self, reason: CloseReason) -> WriteEnd {
        let mut buffer = self.shared.lock();
        let unwritten = buffer.take_unwritten();
        buffer.set_phase(Phase::Ended(reason.clone()));
        drop(buffer);
        self.shared.room.notify_waiters();
        self.shared.ended.notify_waiters();
        WriteEnd { reason, unwritten }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.shared.lock().ended().is_none() {
            let _ = self.end(CloseReason::Aborted);
        }
    }
}
