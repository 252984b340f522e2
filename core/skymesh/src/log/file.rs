//! `[log.file]`: the log in files, and for how long. What writes them is the rest of this folder.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;

/// `[log.file]`: the log in a file that is rotated, in place of standard error. All keys are hot.
///
/// The newest lines are in `path`; at a rotation it becomes `path.1`, and so on up to `path.<keep>`. So all
/// of it takes at most `(keep + 1) * rotate_bytes`, whatever is logged. A file has one process: one
/// that another process writes is refused, so processes of one configuration are told theirs by
/// `SKYMESH_LOG__FILE__PATH`.
///
/// Who logs does not wait for the disk: lines wait for a thread that writes them. What has no room is lost,
/// counted ([`lost_lines`](crate::log::lost_lines)), and told in the log once there is room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogFileConfig {
    /// The file. Its folder must be there. Default: none, so the log goes to standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// No file grows beyond this, 64 KiB to 1 TiB, but for a single line that is longer. Default 16 MiB.
    pub rotate_bytes: u64,
    /// Files also end with such a period, 1m to 366days, counted from midnight UTC: `1day` is a file for each
    /// day. Default `0s`: by size only.
    #[serde(with = "humantime_serde")]
    pub rotate_every: Duration,
    /// How many old files are kept, 0 to 1000. Default 5.
    pub keep: u32,
    /// Bytes that may wait for the disk, 64 KiB to 1 GiB. Default 1 MiB.
    pub queue_bytes: u64,
}

impl Default for LogFileConfig {
    fn default() -> Self {
        Self {
            path: None,
            rotate_bytes: 16 * MIB,
            rotate_every: Duration::ZERO,
            keep: 5,
            queue_bytes: MIB,
        }
    }
}

impl LogFileConfig {
    /// The key, the value and what was expected, where something is out of range.
    pub(crate) fn faults(&self) -> Vec<(&'static str, String)> {
        let [minute, year] = [60, 366 * 24 * 60 * 60].map(Duration::from_secs);
        let every = self.rotate_every;
        let range = |ok: bool, value: String, expected: &str| {
            (!ok).then(|| format!("{value} is out of range: {expected}"))
        };
        let checks = [
            (
                "path",
                (self.path.as_ref().is_some_and(|path| path.as_os_str().is_empty()))
                    .then(|| "is empty; leave it out for standard error".to_owned()),
            ),
            (
                "rotate_bytes",
                range(
                    (MIB / 16..=MIB * MIB).contains(&self.rotate_bytes),
                    self.rotate_bytes.to_string(),
                    "65536 (64 KiB) to 1099511627776 (1 TiB)",
                ),
            ),
            (
                "rotate_every",
                range(
                    every.is_zero() || (minute..=year).contains(&every),
                    format!("{every:?}"),
                    "0s, or 1m to 366days",
                ),
            ),
            ("keep", range(self.keep <= 1000, self.keep.to_string(), "0 to 1000")),
            (
                "queue_bytes",
                range(
                    (MIB / 16..=1024 * MIB).contains(&self.queue_bytes),
                    self.queue_bytes.to_string(),
                    "65536 (64 KiB) to 1073741824 (1 GiB)",
                ),
            ),
        ];
        checks.into_iter().filter_map(|(key, fault)| Some((key, fault?))).collect()
    }

    /// Which period a moment is in; always the same where files end by size only.
    pub(super) fn period(&self, at: SystemTime) -> u64 {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        since.checked_div(self.rotate_every.as_secs()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        assert_eq!(LogFileConfig::default().faults(), []);
        let odd = LogFileConfig {
            path: Some("".into()),
            rotate_bytes: 1,
            rotate_every: Duration::from_secs(59),
            keep: 1001,
            queue_bytes: 0,
        };
        let keys: Vec<&str> = odd.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["path", "rotate_bytes", "rotate_every", "keep", "queue_bytes"]);
    }

    #[test]
    fn periods_begin_at_midnight() {
        let days =
            LogFileConfig { rotate_every: Duration::from_secs(86_400), ..LogFileConfig::default() };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(days.period(at(86_399)), 0);
        assert_eq!(days.period(at(86_400)), 1);
        assert_eq!(LogFileConfig::default().period(at(86_400)), 0);
    }
}
