//! What a selector is told of one message. Everything in it comes from the host.

use crate::abi::layout::{HAS_KEY, Request};

impl Request {
    /// A request as the host makes it. Authors need this in tests only.
    #[inline]
    pub const fn new(key: Option<u64>, entropy: u64, now_ns: u64, thread: u32) -> Self {
        let (key, flags) = match key {
            Some(key) => (key, HAS_KEY),
            None => (0, 0),
        };
        Self { key, entropy, now_ns, thread, flags, reserved: [0; 2] }
    }

    /// The caller's routing key, if it gave one. Integers arrive as they are, text as its hash.
    #[inline]
    pub const fn key(&self) -> Option<u64> {
        if self.flags & HAS_KEY == 0 { None } else { Some(self.key) }
    }

    /// 64 random bits, fresh for each pick. Not for secrets.
    #[inline]
    pub const fn entropy(&self) -> u64 {
        self.entropy
    }

    /// The host's coarse monotonic clock in nanoseconds: it may lag by some milliseconds, and its
    /// zero is arbitrary. The same clock as [`InstanceStats::last_sample_ns`].
    ///
    /// [`InstanceStats::last_sample_ns`]: crate::InstanceStats::last_sample_ns
    #[inline]
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// A small dense number of the calling thread, from 0. Numbers of ended threads are used
    /// again. It indexes per-thread shards, so that threads do not fight for one cache line.
    #[inline]
    pub const fn thread(&self) -> u32 {
        self.thread
    }
}
