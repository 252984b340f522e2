//! The limits of one connection: each with its meaning, default and behaviour at the limit.

use std::time::Duration;

use skymesh_types::limits;

/// How one connection is read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadConfig {
    /// Largest frame body from a peer that has introduced itself, in bytes. Default
    /// [`limits::FRAME_BYTES`]. A larger one ends the connection with a reason. Until
    /// [`introduced`](crate::FrameReader::introduced), [`limits::GREETING_BYTES`] holds.
    pub max_frame_bytes: usize,
    /// A peer that has begun a frame must bring the rest of it, or at least 16 KiB of it, within
    /// every span of this length. Default 10 s. One that does not is cut off: it would hold memory
    /// for nothing. A pause between frames may last for ever.
    pub stall: Duration,
    /// Most bytes asked of the socket in one read. Default 64 KiB. A connection that brings little
    /// reads in smaller pieces; larger reads than this gain no speed and pin more memory for as long
    /// as one payload of them lives.
    pub read_bytes: usize,
}

impl Default for ReadConfig {
    fn default() -> Self {
        Self {
            max_frame_bytes: limits::FRAME_BYTES,
            stall: Duration::from_secs(10),
            read_bytes: 64 * 1024,
        }
    }
}

/// How one connection is written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutboxConfig {
    /// Bytes that may wait for the socket. Default 1 MiB. At the limit `try_push` says full and
    /// `push` waits until half of it has gone out. One frame may overshoot, so the memory is bounded
    /// by this plus `max_frame_bytes`, twice (two buffers take turns).
    pub buffer_bytes: usize,
    /// Bytes of control frames that may wait for the socket, apart from `buffer_bytes`, so that they
    /// get through when it is full. Default 64 KiB. When they pile up beyond this, the pushing
    /// thread writes; if the socket takes no more, the peer is not reading at all and the connection
    /// is closed with [`CloseReason::ControlOverrun`]. While another thread's write runs they may
    /// take `buffer_bytes`, and the connection is closed at that.
    ///
    /// [`CloseReason::ControlOverrun`]: crate::CloseReason::ControlOverrun
    pub control_bytes: usize,
    /// Largest frame body that may be pushed, in bytes. Default [`limits::FRAME_BYTES`]. A larger
    /// one is refused to the caller: the peer would cut the connection for it.
    pub max_frame_bytes: usize,
    /// A frame that finds the outbox idle, and its last write at least this long ago, is written by
    /// the pushing thread itself. Default 5 us. Lower means more and smaller writes under a stream
    /// of frames, higher means one more hop to the writer task for frames sent now and then.
    pub idle_gap: Duration,
    /// Waiting bytes at which the pushing thread writes itself instead of leaving it to the writer
    /// task. Default 128 KiB: enough to spread the cost of a write, and still in the processor's
    /// second-level cache.
    pub write_mark_bytes: usize,
    /// Memory that each of the two buffers may keep for ever. Default 256 KiB; what a burst took
    /// beyond it is freed after a second without writes. Owners of thousands of mostly idle
    /// connections want less.
    pub keep_bytes: usize,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            buffer_bytes: 1024 * 1024,
            control_bytes: 64 * 1024,
            max_frame_bytes: limits::FRAME_BYTES,
            idle_gap: Duration::from_micros(5),
            write_mark_bytes: 128 * 1024,
            keep_bytes: 256 * 1024,
        }
    }
}
