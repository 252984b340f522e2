//! The configuration of the strategy: its keys, their defaults, ranges and costs.

use serde::Deserialize;

/// The same for tools, and for the check before the constructor runs.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "sharpness": {
      "description": "the cheaper of two wins with odds of (dearer / cheaper) to this power",
      "type": "integer", "minimum": 1, "maximum": 4, "default": 2
    },
    "error_penalty": {
      "description": "how much dearer errors make an instance: 20 doubles the cost at 5 % of errors",
      "type": "number", "minimum": 0, "maximum": 1000, "default": 20
    },
    "stale_after_ms": {
      "description": "samples older than this count as unknown, in milliseconds",
      "type": "integer", "minimum": 100, "maximum": 3600000, "default": 30000
    }
  }
}"#;

/// The strategy's table in the config file. No key costs anything per pick.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QualityConfig {
    /// From 1 to 4, default 2. The cheaper of two instances wins with odds of (dearer / cheaper) to
    /// this power. Higher leaves slow instances less, and lets small or chance differences between
    /// equal ones grow: with 3, one that looks 10 % nearer gets about 14 % more, with 1 about 5 %.
    pub sharpness: u32,
    /// From 0 to 1000, default 20: with a share e of failed requests the cost is multiplied by
    /// 1 + error_penalty * e / (1 - e). 20 doubles it at 5 % of errors; 0 ignores errors.
    pub error_penalty: f64,
    /// From 100 to 3 600 000 ms, default 30 s. Statistics whose newest sample is older count as
    /// unknown. Keep it at several times the interval of pings and requests, or all is unknown.
    pub stale_after_ms: u64,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self { sharpness: 2, error_penalty: 20.0, stale_after_ms: 30_000 }
    }
}
