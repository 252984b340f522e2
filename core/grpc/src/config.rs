//! The limits and times of one instance's virtual connections.

use std::time::Duration;

/// So much may be sent on a new connection before its receiver has said anything. A part of the
/// protocol: both sides count with it.
pub const INITIAL_WINDOW_BYTES: u64 = 64 * 1024;

/// How an instance's virtual connections behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcConfig {
    /// Most bytes that wait unread on one connection; who sends more than that breaks it. Larger
    /// ones carry more on long lines; memory is at most this times `max_connections` (a v1
    /// peer knows no window: 16 MiB is the limit there, far above what HTTP/2 has under way). Default
    /// 1 MiB; less than [`INITIAL_WINDOW_BYTES`] counts as that.
    pub window_bytes: u64,
    /// A connection on which nothing is sent or received for so long is closed. Both sides do it,
    /// so the shorter one counts. Calls that wait keep theirs open by HTTP/2 pings
    /// ([`ping_interval`](Self::ping_interval)). Default 60 s, as in the origin.
    pub idle: Duration,
    /// How often a [`MeshChannel`](crate::MeshChannel) pings the server of calls that wait. Must
    /// be less than `idle` on both sides, or calls that are silent for long break. Default 20 s.
    pub ping_interval: Duration,
    /// How long a peer may take to accept a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// Most virtual connections of this instance, whoever opened them. One beyond is refused.
    /// Default 4 096.
    pub max_connections: usize,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            window_bytes: 1024 * 1024,
            idle: Duration::from_secs(60),
            ping_interval: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(5),
            max_connections: 4_096,
        }
    }
}

impl GrpcConfig {
    pub(crate) fn window(&self) -> u64 {
        self.window_bytes.max(INITIAL_WINDOW_BYTES)
    }
}
