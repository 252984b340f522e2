//! What may wait in an inbox.

use serde::{Deserialize, Serialize};

use super::RangeError;

/// The least window of a sender; what a sender assumes until its peer has said more.
pub(crate) const MIN_WINDOW_BYTES: u64 = 64 * 1024;

/// Limits of an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboxConfig {
    /// What one sending process may have on its way to one instance before its `send` waits, in
    /// bytes; each message counts its payload and 64 more. Default 1 MiB, from 64 KiB. Restart.
    pub window_bytes: u64,
    /// What may wait in one inbox from all senders together, in bytes. Messages beyond it are
    /// refused to their sender and counted. Who sends for the first time counts 512 and its attributes
    /// until the inbox is read. Default 64 MiB; at least the window. Restart.
    pub limit_bytes: u64,
}

impl Default for InboxConfig {
    fn default() -> Self {
        Self { window_bytes: 1024 * 1024, limit_bytes: 64 * 1024 * 1024 }
    }
}

impl InboxConfig {
    pub(super) fn faults(&self) -> Option<RangeError> {
        if self.window_bytes < MIN_WINDOW_BYTES {
            let expected = "at least 65536 (64 KiB)";
            return Some(RangeError::range(
                "agent.inbox.window_bytes",
                &self.window_bytes,
                expected,
            ));
        }
        let key = "agent.inbox.limit_bytes";
        (self.limit_bytes < self.window_bytes)
            .then(|| RangeError::range(key, &self.limit_bytes, "at least window_bytes"))
    }
}
