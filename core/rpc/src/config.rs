//! The limits and defaults of one instance's RPC.

use std::time::Duration;

/// How an instance calls and serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcConfig {
    /// How long a call may take that says nothing else. Every call has a deadline: one that could
    /// wait for ever would, some day. Default 30 s.
    pub deadline: Duration,
    /// Most calls of this instance that wait for their answer. A call beyond fails at once with
    /// `resource exhausted`, not processed. Each takes about 200 bytes. Default 65 536.
    pub max_pending_calls: usize,
    /// Most handlers of this instance that run at a time (one that ends without ever waiting does
    /// not count). A request beyond is answered with `resource exhausted`, not processed; a notify
    /// beyond is dropped and counted. To make callers wait instead, put tower's concurrency limit
    /// into the chain, below this limit. Default 8 192.
    pub max_running_calls: usize,
    /// What payloads of v1 peers are.
    pub v1: V1Payloads,
}

/// What the plain messages of v1 peers are, which have no kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum V1Payloads {
    /// Calls and answers where they have that layout, else plain messages. The default.
    #[default]
    Calls,
    /// Always plain messages.
    Plain,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            max_pending_calls: 65_536,
            max_running_calls: 8_192,
            v1: V1Payloads::default(),
        }
    }
}
