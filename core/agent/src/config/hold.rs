//! How much is kept of messages by key while their keys move.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use skymesh_naming::placement::HoldLimits;

use super::RangeError;

/// `[agent.hold]`: limits of what is kept for one stateful service while its keys move, or while who
/// owns them is in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldConfig {
    /// Messages that are kept. At the limit `send` waits and `try_send` says full. Default 10000, at
    /// least 1. Restart.
    pub messages: usize,
    /// What they may take together, in bytes; each counts its payload and 64 more. One fits in any case.
    /// As above at the limit. Default 16 MiB, at least 64 KiB. Restart.
    pub limit_bytes: usize,
    /// How long one is kept. Longer than the nameserver's `round`, so only a nameserver out of reach
    /// lets it run out: then messages go by the last placement that is known, and those that came back
    /// are given back to their sender. Default 4 s, from 100 ms to 1 min. Restart.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
}

impl Default for HoldConfig {
    fn default() -> Self {
        let HoldLimits { parcels, bytes, time } = HoldLimits::default();
        Self { messages: parcels, limit_bytes: bytes, time }
    }
}

impl HoldConfig {
    pub(crate) fn limits(&self) -> HoldLimits {
        HoldLimits { parcels: self.messages, bytes: self.limit_bytes, time: self.time }
    }

    pub(super) fn faults(&self) -> Vec<RangeError> {
        let mut faults = Vec::new();
        if self.messages == 0 {
            faults.push(RangeError::range("agent.hold.messages", &self.messages, "at least 1"));
        }
        if self.limit_bytes < 64 * 1024 {
            let expected = "at least 65536 (64 KiB)";
            faults.push(RangeError::range("agent.hold.limit_bytes", &self.limit_bytes, expected));
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(60)).contains(&self.time) {
            let time = humantime_serde::re::humantime::format_duration(self.time);
            faults.push(RangeError::range("agent.hold.time", &time, "100ms to 1m"));
        }
        faults
    }
}
