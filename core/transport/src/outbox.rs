//! The writing side of a connection: a bounded buffer of whole frames that anyone may append to,
//! and the writes that carry it to the socket. It does not know what the frames say.
//!
//! Everything that gathers while one write runs goes out in the next. Three can start a write: the
//! writer task ([`Writer::run`]), a thread that pushes to an idle outbox, and a thread whose push
//! passes the write mark; one write runs at a time. The buffer's rules are in `buffer`, the writes
//! in `write`.

mod buffer;
mod phase;
mod unwritten;
mod write;
mod writer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::config::OutboxConfig;
use buffer::{Buffer, By, Share};
use phase::{Phase, Refused};
use write::Socket;

pub use buffer::{OutboxStats, Turn};
pub use phase::CloseReason;
pub use unwritten::Unwritten;
pub use writer::{WriteEnd, Writer};

/// Why nothing was pushed just now.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TryPushError {
    /// The buffer is at its limit: the peer reads more slowly than this side sends.
    #[error("outbox is full: {buffered} bytes wait for the peer to read; wait or send less")]
    Full {
        /// Bytes that wait for the socket.
        buffered: usize,
    },
    /// The connection is closing or closed.
    #[error("connection is closed: {0}")]
    Closed(CloseReason),
    /// The frame is over `max_frame_bytes`.
    #[error("a frame of {length} bytes is over the limit of {limit} bytes: send it in parts")]
    TooLarge {
        /// Its body, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Why nothing was pushed and never will be.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The connection is closing or closed.
    #[error("connection is closed: {0}")]
    Closed(CloseReason),
    /// The frame is over `max_frame_bytes`.
    #[error("a frame of {length} bytes is over the limit of {limit} bytes: send it in parts")]
    TooLarge {
        /// Its body, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// What all handles and the writer of one connection share.
#[derive(Debug)]
struct Shared {
    /// Held for the append of a frame and for bookkeeping, never during a write.
    buffer: Mutex<Buffer<Socket>>,
    /// Tells the writer task that there is work.
    work: Notify,
    /// Tells those who wait, one after the other, that there is room.
    room: Notify,
    /// Tells everyone that the writer has ended.
    ended: Notify,
    /// Living [`Outbox`] handles.
    handles: AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer<Socket>> {
        // A panic while appending was cleaned up by the buffer itself; nothing is ever half done.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_phase(&self, phase: Phase) {
        self.lock().set_phase(phase);
        self.work.notify_one();
        self.room.notify_waiters();
    }
}

/// A handle to push frames to one connection; clones are cheap and push to the same one.
///
/// It may exist, and take frames up to its limit, before the connection does. When the last handle
/// is dropped, what was accepted is still written, then the connection closes.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
}

impl Outbox {
    /// An outbox and the writer that will serve it. Give the writer to a task that calls
    /// [`Writer::run`] once there is a connection.
    pub fn new(config: OutboxConfig) -> (Self, Writer) {
        let shared = Arc::new(Shared {
            buffer: Mutex::new(Buffer::new(config)),
            work: Notify::new(),
            room: Notify::new(),
            ended: Notify::new(),
            handles: AtomicUsize::new(1),
        });
        (Self { shared: Arc::clone(&shared) }, Writer::new(shared))
    }

    /// Pushes what `append` appends: whole frames only, mostly one. It runs under a lock of this
    /// connection, so it must be short and must not run foreign code (let a plugin write to a
    /// buffer of your own first). Frames go out in the order of the pushes.
    ///
    /// Nothing appended is nothing pushed, and no error. The calling thread may do one non-blocking
    /// write to the socket.
    ///
    /// # Errors
    /// [`TryPushError`]; nothing was pushed then, and `append` may not have been called.
    #[inline]
    pub fn try_push(&self, append: impl FnOnce(&mut Vec<u8>)) -> Result<(), TryPushError> {
        self.take_turn(append).map(|_| ())
    }

    /// As [`try_push`](Self::try_push), for a task that pushes in a loop: the turn says when it is
    /// to let others run.
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push).
    #[inline]
    pub fn take_turn(&self, append: impl FnOnce(&mut Vec<u8>)) -> Result<Turn, TryPushError> {
        self.append(Share::Messages, append).map_err(|(refused, _)| refused.into())
    }

    /// As [`try_push`](Self::try_push), but waits while the outbox is full; those who wait are served
    /// in turn. A task that pushes in a loop yields to others now and then.
    ///
    /// Cancel safe: if dropped before it is ready, nothing was pushed.
    ///
    /// # Errors
    /// [`PushError`]; nothing was pushed then.
    pub async fn push(&self, append: impl FnOnce(&mut Vec<u8>)) -> Result<(), PushError> {
        let refused = match self.append(Share::Messages, append) {
            Ok(turn) => {
                turn.pay().await;
                return Ok(());
            }
            Err((Refused::Full { .. }, Some(append))) => return self.push_later(append).await,
            Err((refused, _)) => refused,
        };
        Err(refused.into_lasting())
    }

    /// Pushes control frames. They have their own share of the buffer, so they get through when it
    /// is full of messages. The calling thread may write to the socket, without waiting.
    ///
    /// # Errors
    /// [`PushError`]. A peer that lets `control_bytes` of them pile up, while the socket takes no
    /// more, is not reading at all: the connection is closed with [`CloseReason::ControlOverrun`],
    /// and this says so.
    pub fn push_control(&self, append: impl FnOnce(&mut Vec<u8>)) -> Result<(), PushError> {
        let mut append = append;
        loop {
            let refused = match self.append(Share::Control, append) {
                Ok(_) => return Ok(()),
                Err((refused @ Refused::Full { .. }, Some(back))) => {
                    append = back;
                    refused
                }
                Err((refused, _)) => return Err(refused.into_lasting()),
            };
            // A burst may come faster than the writer task gets its turn. Whether the peer reads is
            // for the socket to say.
            if self.shared.lock().is_overrun() {
                self.shared.set_phase(Phase::Aborting(CloseReason::ControlOverrun));
                return Err(refused.into_lasting());
            }
            let _ = self.shared.write_once(By::Pusher);
        }
    }

    /// Waits until the buffer has drained to half its limit, or the connection is closed: for owners
    /// that drop or collapse what a full outbox did not take. Cancel safe.
    ///
    /// # Errors
    /// [`PushError::Closed`] if the connection is closing or closed.
    pub async fn writable(&self) -> Result<(), PushError> {
        let mut waiting = self.wait_for_room();
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.shared.lock().is_drained() {
                Ok(true) => break,
                Ok(false) => {}
                Err(refused) => return Err(refused.into_lasting()),
            }
            room.await;
        }
        waiting.pass_on();
        Ok(())
    }

    /// Takes no more pushes, writes what was accepted, shuts the write side down and waits for that.
    /// A peer that reads nothing makes it wait for ever: put it under a deadline, then
    /// [`abort`](Self::abort). Cancel safe: closing goes on without it. Without a running writer it
    /// waits for one.
    pub async fn close(&self) -> CloseReason {
        self.shared.set_phase(Phase::Closing);
        self.closed().await
    }

    /// Takes no more pushes and gives up what was not written; the writer hands that to its owner.
    pub fn abort(&self) {
        self.shared.set_phase(Phase::Aborting(CloseReason::Aborted));
    }

    /// Waits until the writer has ended, for whatever reason. Cancel safe.
    pub async fn closed(&self) -> CloseReason {
        loop {
            let ended = self.shared.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(reason) = self.shared.lock().ended() {
                return reason;
            }
            ended.await;
        }
    }

    /// Bytes that wait for the socket now.
    pub fn buffered(&self) -> usize {
        self.shared.lock().buffered()
    }

    /// What has gone out so far.
    pub fn stats(&self) -> OutboxStats {
        self.shared.lock().stats()
    }

    /// One attempt. Gives `append` back if it was not called.
    #[inline]
    fn append<F: FnOnce(&mut Vec<u8>)>(
        &self,
        share: Share,
        append: F,
    ) -> Result<Turn, (Refused, Option<F>)> {
        let mut buffer = self.shared.lock();
        if let Err(refused) = buffer.check(share) {
            return Err((refused, Some(append)));
        }
        match buffer.append(share, Instant::now, append) {
            Ok((next, turn)) => {
                drop(buffer);
                self.shared.follow_up(next);
                Ok(turn)
            }
            Err(refused) => Err((refused, None)),
        }
    }

    /// The slow path of [`push`](Self::push): waits for room in turn.
    async fn push_later<F: FnOnce(&mut Vec<u8>)>(&self, append: F) -> Result<(), PushError> {
        let mut waiting = self.wait_for_room();
        let mut append = append;
        let refused = loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            // Listening comes before looking, or the room made in between would go unheard.
            room.as_mut().enable();
            match self.append(Share::Messages, append) {
                Ok(_) => {
                    waiting.pass_on();
                    return Ok(());
                }
                Err((Refused::Full { .. }, Some(back))) => append = back,
                Err((refused, _)) => break refused,
            }
            room.await;
        };
        waiting.pass_on();
        Err(refused.into_lasting())
    }

    fn wait_for_room(&self) -> Waiting<'_> {
        self.shared.lock().waiting += 1;
        Waiting { shared: &self.shared }
    }
}

impl Clone for Outbox {
    fn clone(&self) -> Self {
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.set_phase(Phase::Closing);
        }
    }
}

/// One that waits for room; counted, so that writes notify only if somebody listens.
struct Waiting<'a> {
    shared: &'a Shared,
}

impl Waiting<'_> {
    /// Wakes the next in turn if there is still room after this one.
    fn pass_on(&mut self) {
        let buffer = self.shared.lock();
        let next = buffer.waiting > 1 && buffer.check(Share::Messages).is_ok();
        drop(buffer);
        if next {
            self.shared.room.notify_one();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.lock().waiting -= 1;
    }
}

impl From<Refused> for TryPushError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full { buffered } => Self::Full { buffered },
            Refused::Closed(reason) => Self::Closed(reason),
            Refused::TooLarge { length, limit } => Self::TooLarge { length, limit },
        }
    }
}

impl Refused {
    /// For callers that don't take "full" for an answer: to them it means closed.
    fn into_lasting(self) -> PushError {
        match self {
            Self::Full { .. } => PushError::Closed(CloseReason::ControlOverrun),
            Self::Closed(reason) => PushError::Closed(reason),
            Self::TooLarge { length, limit } => PushError::TooLarge { length, limit },
        }
    }
}
