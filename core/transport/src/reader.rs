//! Frames from a socket. Reads in large pieces, hands out every whole frame of them in place, holds
//! little while idle and watches over a frame that does not come to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use skymesh_wire::{FrameDecoder, FrameTooLarge, Frames};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::ReadConfig;

/// Most memory that a connection with nothing to read holds, and the size of its first read.
const IDLE_BYTES: usize = 4 * 1024;

/// A frame that stays unfinished must grow by this much, or end, within every `stall`. One byte now
/// and then would otherwise hold a connection, and what is buffered for it, for ever.
const PROGRESS_BYTES: usize = 16 * 1024;

/// Why a connection can't be read on. It has to be closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The connection broke, e.g. the peer's process was killed.
    #[error("connection broke while reading: {0}")]
    Io(#[from] io::Error),
    /// The peer announced a frame over the limit.
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
    /// The peer closed the connection within a frame.
    #[error("peer closed the connection with {missing} bytes of a frame still to come")]
    Truncated {
        /// Bytes that were missing, as far as known.
        missing: usize,
    },
    /// The peer began a frame and did not go on.
    #[error(
        "peer stalled within a frame: {missing} bytes still missing after {stall:?} of nothing much"
    )]
    Stalled {
        /// Bytes that were missing, as far as known.
        missing: usize,
        /// [`ReadConfig::stall`].
        stall: Duration,
    },
}

/// Watches over the unfinished frame at the front of the buffer.
#[derive(Debug)]
struct Watch {
    /// When it must have grown to `need` bytes.
    alarm: Pin<Box<Sleep>>,
    need: usize,
    /// False while the timer is kept for later but no frame is being waited for.
    armed: bool,
}

/// The reading half of a connection.
#[derive(Debug)]
pub struct FrameReader {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    decoder: FrameDecoder,
    max_frame_bytes: usize,
    stall: Duration,
    /// What one read asks for now, between [`IDLE_BYTES`] and `max_read_bytes`: it doubles when a
    /// read brings as much and halves when it brings a quarter or less.
    read_bytes: usize,
    max_read_bytes: usize,
    watch: Option<Watch>,
}

impl FrameReader {
    pub(crate) fn new(socket: OwnedReadHalf, config: &ReadConfig) -> Self {
        Self {
            socket,
            buffer: BytesMut::new(),
            decoder: FrameDecoder::new(),
            max_frame_bytes: config.max_frame_bytes,
            stall: config.stall,
            read_bytes: IDLE_BYTES,
            max_read_bytes: config.read_bytes.max(IDLE_BYTES),
            watch: None,
        }
    }

    /// The peer has introduced itself: from the next frame on, `max_frame_bytes` holds. Who dialled
    /// may say so at once if it trusts the address.
    pub fn introduced(&mut self) {
        self.decoder.set_limit(self.max_frame_bytes);
    }

    /// All whole frames of one read, or `None` once the peer has closed the connection between two
    /// frames. Cancel safe: what was read stays for the next call.
    ///
    /// # Errors
    /// [`ReadError`]; nothing more can be read then.
    pub async fn next(&mut self) -> Result<Option<Frames>, ReadError> {
        loop {
            if let Some(frames) = self.decoder.take(&mut self.buffer)? {
                if let Some(watch) = &mut self.watch {
                    watch.armed = false;
                }
                return Ok(Some(frames));
            }
            if poll_fn(|context| self.poll_read(context)).await? == 0 {
                return match self.decoder.missing(&self.buffer) {
                    0 => Ok(None),
                    missing => Err(ReadError::Truncated { missing }),
                };
            }
        }
    }

    /// Leaves spare room for one read and returns how much there is. By what has come, never by what
    /// a peer announced: a large frame doubles the buffer as it arrives.
    fn make_room(&mut self) -> usize {
        let spare = self.buffer.capacity() - self.buffer.len();
        let wanted = self.read_bytes.max(self.buffer.len());
        if spare < wanted.min(self.decoder.missing(&self.buffer).max(self.read_bytes / 2)) {
            self.buffer.reserve(wanted);
        }
        self.buffer.capacity() - self.buffer.len()
    }

    fn adapt(&mut self, read: usize, room: usize) {
        if read == room {
            self.read_bytes = (self.read_bytes * 2).min(self.max_read_bytes);
        } else if read <= self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(IDLE_BYTES);
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, ReadError>> {
        let room = self.make_room();
        match pin!(self.socket.read_buf(&mut self.buffer)).poll(context) {
            Poll::Ready(read) => {
                let read = read?;
                self.adapt(read, room);
                Poll::Ready(Ok(read))
            }
            Poll::Pending if self.buffer.is_empty() => {
                // Nothing may come for hours.
                if self.buffer.capacity() > IDLE_BYTES {
                    self.buffer = BytesMut::new();
                }
                Poll::Pending
            }
            Poll::Pending => self.poll_stall(context),
        }
    }

    /// Waits within a frame: ready once the peer has stalled.
    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, ReadError>> {
        let has = self.buffer.len();
        let deadline = || Instant::now() + self.stall;
        let watch = self.watch.get_or_insert_with(|| Watch {
            alarm: Box::pin(sleep_until(deadline())),
            need: has + PROGRESS_BYTES,
            armed: true,
        });
        if !watch.armed || has >= watch.need {
            watch.alarm.as_mut().reset(deadline());
            watch.need = has + PROGRESS_BYTES;
            watch.armed = true;
        }
        watch.alarm.as_mut().poll(context).map(|()| {
            let missing = self.decoder.missing(&self.buffer);
            Err(ReadError::Stalled { missing, stall: self.stall })
        })
    }
}
