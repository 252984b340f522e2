//! The rules of the outbox, without sockets, tasks or a clock of its own: what is accepted, who
//! writes next, what is left over.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use skymesh_wire::HEADER_BYTES;
use tokio::task::coop::consume_budget;

use super::phase::{CloseReason, Phase, Refused};
use super::unwritten::Unwritten;
use crate::config::OutboxConfig;

/// Counters of one outbox since it was made, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OutboxStats {
    /// Writes that the socket took, wholly or in part.
    pub writes: u64,
    /// Those of them that a pushing thread did itself.
    pub writes_in_place: u64,
    /// Bytes that the socket took.
    pub bytes: u64,
    /// Memory that is held for frames now, used or not. What a write has taken while it runs is not
    /// counted.
    pub held_bytes: usize,
}

/// Whose share of the buffer a push takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Messages,
    Control,
}

/// What has to follow a push or a write, outside the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    WakeWriter,
    WriteInPlace,
}

/// Bytes pushed that make one turn: some 50 us of a pushing thread.
const TURN_BYTES: usize = 128 * 1024;

/// A write of a lone frame costs a thread as much time as pushing this many bytes.
const LONE_WRITE_BYTES: usize = 8 * 1024;

/// Part of tokio's budget (128 in all) that a task pays per [`Turn`]: it yields every fourth turn, or
/// earlier if it has spent its budget on other things as well.
const TURN_BUDGET: usize = 32;

/// Whether a pushing task, which never has to wait while there is room, is to let others run.
/// Counted for all who push to one outbox together, so each pays in proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may push on.
    GoesOn,
    /// It is to [`pay`](Self::pay) before it pushes on.
    Pays,
}

impl Turn {
    /// Lets other tasks run now and then, as this turn asks. Cancel safe.
    #[inline]
    pub async fn pay(self) {
        if self == Self::Pays {
            for _ in 0..TURN_BUDGET {
                consume_budget().await;
            }
        }
    }
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Writer,
    Pusher,
}

/// Frames on their way to the socket, and how far they got.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) written: usize,
    /// Leading bytes that are the connection's greeting and not somebody's frames.
    pub(super) greeting: usize,
}

impl Batch {
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }
}

/// The state of an outbox. `S` is the socket, which is only kept here for those who write.
#[derive(Debug)]
pub(super) struct Buffer<S> {
    config: OutboxConfig,
    phase: Phase,
    /// Whole frames that no write has taken yet.
    queue: Vec<u8>,
    queued_control: usize,
    /// What a write has taken. While one runs, its writer holds the bytes and this is empty.
    batch: Batch,
    /// Bytes of the batch that the socket has not taken, also while a write runs.
    batch_left: usize,
    batch_control: usize,
    /// There is a connection.
    pub(super) socket: Option<Arc<S>>,
    /// A write runs.
    busy: bool,
    /// The socket took no more; the writer task waits until it does.
    blocked: bool,
    /// The writer task was woken and has not looked yet.
    woken: bool,
    /// The writer task knows that a burst left memory behind.
    burst_watched: bool,
    last_write: Option<Instant>,
    /// What the present turn has cost so far, in bytes.
    turn: usize,
    pub(super) waiting: usize,
    stats: OutboxStats,
}

impl<S> Buffer<S> {
    pub(super) fn new(config: OutboxConfig) -> Self {
        Self {
            config,
            phase: Phase::Open,
            queue: Vec::new(),
            queued_control: 0,
            batch: Batch::default(),
            batch_left: 0,
            batch_control: 0,
            socket: None,
            busy: false,
            blocked: false,
            woken: false,
            burst_watched: false,
            last_write: None,
            turn: 0,
            waiting: 0,
            stats: OutboxStats::default(),
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.queue.len() + self.batch_left
    }

    pub(super) fn stats(&self) -> OutboxStats {
        let held_bytes = self.queue.capacity() + self.batch.bytes.capacity();
        OutboxStats { held_bytes, ..self.stats }
    }

    /// Whether a push of that share would be taken now.
    #[inline]
    pub(super) fn check(&self, share: Share) -> Result<(), Refused> {
        self.phase.check_open()?;
        let full = match share {
            Share::Messages => self.buffered() >= self.config.buffer_bytes,
            Share::Control => self.control() >= self.most_control(),
        };
        if full { Err(Refused::Full { buffered: self.buffered() }) } else { Ok(()) }
    }

    /// Bytes of control frames that wait for the socket.
    fn control(&self) -> usize {
        self.queued_control + self.batch_control
    }

    /// While a write runs, nobody can tell whether the peer reads: until it ends, control frames may
    /// take as much as messages.
    fn most_control(&self) -> usize {
        let OutboxConfig { control_bytes, buffer_bytes, .. } = self.config;
        if self.busy { control_bytes.max(buffer_bytes) } else { control_bytes }
    }

    /// Whether control frames are at their limit and no write of a pushing thread can change that:
    /// the peer does not read.
    pub(super) fn is_overrun(&self) -> bool {
        let stuck = self.socket.is_none() || self.blocked || self.busy;
        stuck && self.control() >= self.most_control()
    }

    /// Appends after [`check`](Self::check) agreed. Reads the clock only if the outbox is idle.
    #[inline]
    pub(super) fn append(
        &mut self,
        share: Share,
        clock: fn() -> Instant,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Next, Turn), Refused> {
        let idle = self.buffered() == 0;
        let start = self.queue.len();
        let mut tail = Tail { queue: &mut self.queue, keep: start };
        append(tail.queue);
        check_frames(&tail.queue[start..], self.config.max_frame_bytes)?;
        tail.keep = tail.queue.len();
        drop(tail);
        let appended = self.queue.len() - start;
        if appended == 0 {
            return Ok((Next::Nothing, Turn::GoesOn));
        }
        if share == Share::Control {
            self.queued_control += appended;
        }
        let next = self.after_push(idle, clock);
        self.turn += appended;
        if idle && next == Next::WriteInPlace {
            self.turn += LONE_WRITE_BYTES;
        }
        let turn = if self.turn < TURN_BYTES {
            Turn::GoesOn
        } else {
            self.turn = 0;
            Turn::Pays
        };
        Ok((next, turn))
    }

    #[inline]
    fn after_push(&mut self, idle: bool, clock: fn() -> Instant) -> Next {
        // Whoever writes now looks at the queue when done; a blocked socket wakes the writer task.
        if self.busy || self.blocked || self.socket.is_none() {
            return Next::Nothing;
        }
        let in_place = if idle {
            self.last_write.is_none_or(|at| clock() - at >= self.config.idle_gap)
        } else {
            self.buffered() >= self.config.write_mark_bytes
        };
        if in_place {
            return Next::WriteInPlace;
        }
        self.wake_writer()
    }

    fn wake_writer(&mut self) -> Next {
        if std::mem::replace(&mut self.woken, true) { Next::Nothing } else { Next::WakeWriter }
    }

    /// There is a connection now; `greeting` goes out before everything else.
    pub(super) fn attach(&mut self, socket: Arc<S>, greeting: Vec<u8>) {
        self.socket = Some(socket);
        self.batch_left = greeting.len();
        self.batch = Batch { greeting: greeting.len(), bytes: greeting, written: 0 };
    }

    /// Takes the next batch for a write, if there is something and nobody else writes. `Err` tells
    /// the writer task that it is done.
    pub(super) fn begin(&mut self, by: By) -> Result<Option<Batch>, CloseReason> {
        if by == By::Writer {
            self.woken = false;
            // Only the writer waits for the socket, so it is here because the socket is ready.
            self.blocked = false;
        }
        match &self.phase {
            Phase::Open => {}
            Phase::Closing if self.buffered() > 0 || self.busy => {}
            Phase::Closing => return Err(CloseReason::Closed),
            Phase::Aborting(_) | Phase::Ended(_) if self.busy => return Ok(None),
            Phase::Aborting(reason) | Phase::Ended(reason) => return Err(reason.clone()),
        }
        if self.busy || self.blocked || self.buffered() == 0 {
            return Ok(None);
        }
        if self.batch_left == 0 {
            std::mem::swap(&mut self.queue, &mut self.batch.bytes);
            self.batch_left = self.batch.bytes.len();
            self.batch_control = std::mem::take(&mut self.queued_control);
        }
        self.busy = true;
        Ok(Some(std::mem::take(&mut self.batch)))
    }

    /// Takes the batch back after one write, with what came of it.
    pub(super) fn end(
        &mut self,
        by: By,
        mut batch: Batch,
        result: io::Result<usize>,
        now: Instant,
    ) -> Next {
        self.busy = false;
        if self.phase.ended().is_some() {
            // The writer was dropped meanwhile, and with it what was not written.
            return Next::Nothing;
        }
        self.last_write = Some(now);
        match result {
            Ok(written) => {
                batch.written += written;
                self.batch_left -= written;
                self.stats.writes += 1;
                self.stats.writes_in_place += u64::from(by == By::Pusher);
                self.stats.bytes += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.phase.advance(Phase::Aborting(CloseReason::Failed(Arc::new(error))));
            }
        }
        if self.batch_left == 0 {
            self.batch_control = 0;
            batch.bytes.clear();
            batch = Batch { bytes: batch.bytes, ..Batch::default() };
        }
        self.batch = batch;
        // The writer task goes on by itself.
        let rest = self.buffered() > 0
            || !matches!(self.phase, Phase::Open)
            || (self.holds_burst() && !self.burst_watched);
        if rest && by == By::Pusher { self.wake_writer() } else { Next::Nothing }
    }

    /// Whether a burst left more memory behind than may be kept. The writer task then frees it, but
    /// not before some quiet time: under a steady stream, every batch would have to grow anew.
    pub(super) fn watch_burst(&mut self) -> bool {
        self.burst_watched = self.holds_burst();
        self.burst_watched
    }

    fn holds_burst(&self) -> bool {
        self.queue.capacity().max(self.batch.bytes.capacity()) > self.config.keep_bytes
    }

    /// Frees what a burst left behind, unless bytes wait again.
    pub(super) fn free_burst(&mut self) {
        if self.buffered() == 0 && !self.busy {
            self.queue = Vec::new();
            self.batch.bytes = Vec::new();
        }
    }

    /// Whether so much has gone out that those who wait may go on.
    pub(super) fn is_drained(&self) -> Result<bool, Refused> {
        self.phase.check_open()?;
        Ok(self.buffered() <= self.config.buffer_bytes / 2)
    }

    /// Whether somebody waits for room, and there is.
    pub(super) fn has_news_for_waiting(&self) -> bool {
        self.waiting > 0 && self.buffered() <= self.config.buffer_bytes / 2
    }

    pub(super) fn set_phase(&mut self, phase: Phase) {
        self.phase.advance(phase);
    }

    pub(super) fn ended(&self) -> Option<CloseReason> {
        self.phase.ended().cloned()
    }

    /// What was accepted and never (wholly) written. Leaves nothing behind.
    pub(super) fn take_unwritten(&mut self) -> Unwritten {
        self.socket = None;
        self.batch_left = 0;
        Unwritten::new(std::mem::take(&mut self.batch), std::mem::take(&mut self.queue))
    }
}

/// Cuts off what an append left unfinished if it panics or is refused.
struct Tail<'a> {
    queue: &'a mut Vec<u8>,
    keep: usize,
}

impl Drop for Tail<'_> {
    fn drop(&mut self) {
        self.queue.truncate(self.keep);
    }
}

/// Every frame must be whole and within the limit.
#[inline]
fn check_frames(mut frames: &[u8], limit: usize) -> Result<(), Refused> {
    while let Some((header, rest)) = frames.split_first_chunk::<HEADER_BYTES>() {
        let length = u32::from_be_bytes(*header) as usize;
        if length > limit {
            return Err(Refused::TooLarge { length, limit });
        }
        let Some(rest) = rest.get(length..) else { break };
        frames = rest;
    }
    assert!(frames.is_empty(), "a push appended {} bytes that are no whole frame", frames.len());
    Ok(())
}

#[cfg(test)]
mod tests;
