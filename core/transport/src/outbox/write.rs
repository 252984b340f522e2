//! One write from the outbox to the socket, by whoever is at it. The lock is not held meanwhile.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::buffer::{By, Next};
use super::phase::CloseReason;

/// What the outbox writes to.
pub(super) type Socket = crate::connection::WriteHalf;

/// Most bytes given to the socket in one call: a call that copies more keeps its thread from other
/// tasks for too long.
const WRITE_BYTES: usize = 256 * 1024;

/// What one step of writing came to.
#[derive(Debug)]
pub(super) enum Step {
    /// Something went out; there may be more.
    Wrote,
    /// The socket takes no more for now.
    Blocked,
    /// Nothing to do, or somebody else is at it.
    Idle,
    /// There will be nothing to do any more.
    Ended(CloseReason),
}

impl Shared {
    /// Does what a push asked for.
    #[inline]
    pub(super) fn follow_up(&self, next: Next) {
        match next {
            Next::Nothing => {}
            Next::WakeWriter => self.work.notify_one(),
            Next::WriteInPlace => {
                let _ = self.write_once(By::Pusher);
            }
        }
    }

    /// Writes once, without waiting.
    pub(super) fn write_once(&self, by: By) -> Step {
        let mut buffer = self.lock();
        let mut batch = match buffer.begin(by) {
            Ok(Some(batch)) => batch,
            Ok(None) => return Step::Idle,
            Err(reason) => return Step::Ended(reason),
        };
        let Some(socket) = buffer.socket.as_ref().map(Arc::clone) else {
            unreachable!("invariant: writes begin after a socket was attached")
        };
        drop(buffer);

        let rest = batch.rest();
        let result = match socket.try_write(&rest[..rest.len().min(WRITE_BYTES)]) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        };
        // The last to hold the socket shuts it down: that must not be a thread which only helped.
        drop(socket);

        let step = match &result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::Blocked,
            _ => Step::Wrote,
        };
        let mut buffer = self.lock();
        let next = buffer.end(by, std::mem::take(&mut batch), result, Instant::now());
        let room = buffer.has_news_for_waiting();
        drop(buffer);
        if next == Next::WakeWriter {
            self.work.notify_one();
        }
        if room {
            self.room.notify_one();
        }
        step
    }
}
