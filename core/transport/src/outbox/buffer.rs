//! The rules of the outbox, without sockets, tasks or a clock of its own: what is accepted, who
//! writes next, what is left over.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use skymesh_wire::HEADER_BYTES;

use super::Socket;
use super::unwritten::Unwritten;
use crate::config::OutboxConfig;

/// Why a connection takes no more frames.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it; everything accepted was written.
    Closed,
    /// This side gave it up, or its writer was dropped.
    Aborted,
    /// More control frames piled up than the peer may leave unread.
    ControlOverrun,
    /// Writing failed.
    Failed(Arc<io::Error>),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by this side"),
            Self::Aborted => f.write_str("given up by this side"),
            Self::ControlOverrun => f.write_str("the peer does not read: control frames piled up"),
            Self::Failed(error) => write!(f, "connection broke while writing: {error}"),
        }
    }
}

/// Counters of one outbox since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OutboxStats {
    /// Writes that the socket took, wholly or in part.
    pub writes: u64,
    /// Those of them that a pushing thread did itself.
    pub writes_in_place: u64,
    /// Bytes that the socket took.
    pub bytes: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Phase {
    Open,
    /// Writing what was accepted.
    Closing,
    /// The writer is to end at once.
    Aborting(CloseReason),
    /// The writer has ended.
    Ended(CloseReason),
}

/// Whose share of the buffer a push takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Messages,
    Control,
}

#[derive(Debug)]
pub(super) enum Refused {
    Full { buffered: usize },
    Closed(CloseReason),
    TooLarge { length: usize, limit: usize },
}

/// What has to follow a push or a write, outside the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    WakeWriter,
    WriteInPlace,
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

#[derive(Debug)]
pub(super) struct Buffer {
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
    pub(super) socket: Option<Arc<Socket>>,
    /// A write runs.
    busy: bool,
    /// The socket took no more; the writer task waits until it does.
    blocked: bool,
    /// The writer task was woken and has not looked yet.
    woken: bool,
    last_write: Option<Instant>,
    pub(super) waiting: usize,
    stats: OutboxStats,
}

impl Buffer {
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
            last_write: None,
            waiting: 0,
            stats: OutboxStats::default(),
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.queue.len() + self.batch_left
    }

    pub(super) fn stats(&self) -> OutboxStats {
        self.stats
    }

    /// Whether a push of that share would be taken now.
    #[inline]
    pub(super) fn check(&self, share: Share) -> Result<(), Refused> {
        self.check_open()?;
        let full = match share {
            Share::Messages => self.buffered() >= self.config.buffer_bytes,
            Share::Control => self.queued_control + self.batch_control >= self.config.control_bytes,
        };
        if full { Err(Refused::Full { buffered: self.buffered() }) } else { Ok(()) }
    }

    #[inline]
    fn check_open(&self) -> Result<(), Refused> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Closing => Err(Refused::Closed(CloseReason::Closed)),
            Phase::Aborting(reason) | Phase::Ended(reason) => Err(Refused::Closed(reason.clone())),
        }
    }

    /// Appends after [`check`](Self::check) agreed.
    #[inline]
    pub(super) fn append(
        &mut self,
        share: Share,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Next, Refused> {
        let idle = self.buffered() == 0;
        let start = self.queue.len();
        let mut tail = Tail { queue: &mut self.queue, keep: start };
        append(tail.queue);
        check_frames(&tail.queue[start..], self.config.max_frame_bytes)?;
        tail.keep = tail.queue.len();
        drop(tail);
        let appended = self.queue.len() - start;
        if appended == 0 {
            return Ok(Next::Nothing);
        }
        if share == Share::Control {
            self.queued_control += appended;
        }
        Ok(self.after_push(idle))
    }

    #[inline]
    fn after_push(&mut self, idle: bool) -> Next {
        // Whoever writes now looks at the queue when done; a blocked socket wakes the writer task.
        if self.busy || self.blocked || self.socket.is_none() {
            return Next::Nothing;
        }
        let in_place = if idle {
            self.last_write.is_none_or(|at| at.elapsed() >= self.config.idle_gap)
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
    pub(super) fn attach(&mut self, socket: Arc<Socket>, greeting: Vec<u8>) {
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
                if !matches!(self.phase, Phase::Aborting(_)) {
                    self.phase = Phase::Aborting(CloseReason::Failed(Arc::new(error)));
                }
            }
        }
        if self.batch_left == 0 {
            self.batch_control = 0;
            batch.bytes.clear();
            batch = Batch { bytes: batch.bytes, ..Batch::default() };
        }
        self.batch = batch;
        if self.buffered() == 0 {
            self.free_burst();
        }
        // The writer task goes on by itself.
        let rest = self.buffered() > 0 || !matches!(self.phase, Phase::Open);
        if rest && by == By::Pusher { self.wake_writer() } else { Next::Nothing }
    }

    fn free_burst(&mut self) {
        for buffer in [&mut self.queue, &mut self.batch.bytes] {
            if buffer.capacity() > self.config.keep_bytes {
                *buffer = Vec::new();
            }
        }
    }

    /// Whether so much has gone out that those who wait may go on.
    pub(super) fn is_drained(&self) -> Result<bool, Refused> {
        self.check_open()?;
        Ok(self.buffered() <= self.config.buffer_bytes / 2)
    }

    /// Whether somebody waits for room, and there is.
    pub(super) fn has_news_for_waiting(&self) -> bool {
        self.waiting > 0 && self.buffered() <= self.config.buffer_bytes / 2
    }

    /// Goes on towards the end; never back.
    pub(super) fn set_phase(&mut self, phase: Phase) {
        let forward = match (&self.phase, &phase) {
            (_, Phase::Ended(_)) => !matches!(self.phase, Phase::Ended(_)),
            (Phase::Open, _) | (Phase::Closing, Phase::Aborting(_)) => true,
            _ => false,
        };
        if forward {
            self.phase = phase;
        }
    }

    pub(super) fn ended(&self) -> Option<CloseReason> {
        match &self.phase {
            Phase::Ended(reason) => Some(reason.clone()),
            _ => None,
        }
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
