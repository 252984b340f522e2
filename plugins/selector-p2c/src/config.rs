//! The configuration of the strategy: its keys, their defaults, ranges and costs.

use serde::Deserialize;

/// The same for tools, and for the check before the constructor runs.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "half_life_ms": {
      "description": "the latency of an instance that answers nothing halves in this time, in milliseconds",
      "type": "integer", "minimum": 10, "maximum": 3600000, "default": 10000
    },
    "error_penalty": {
      "description": "how much dearer errors make an instance: 20 doubles the cost at 5 % of errors",
      "type": "number", "minimum": 0, "maximum": 1000, "default": 20
    }
  }
}"#;

/// The strategy's table in the config file. No key costs anything per pick.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct P2cConfig {
    /// From 10 to 3 600 000 ms, default 10 s. The latency of an instance that has answered nothing
    /// counts half after this time, a quarter after twice as much, and as unknown after 16 times.
    /// Shorter asks a slow instance sooner whether it has recovered, and pays for it sooner.
    pub half_life_ms: u64,
    /// From 0 to 1000, default 20: with a share e of failed requests the cost is multiplied by
    /// 1 + error_penalty * e / (1 - e). 20 doubles it at 5 % of errors; 0 ignores errors, and an
    /// instance that fails at once then draws the traffic.
    pub error_penalty: f64,
}

impl Default for P2cConfig {
    fn default() -> Self {
        Self { half_life_ms: 10_000, error_penalty: 20.0 }
    }
}
