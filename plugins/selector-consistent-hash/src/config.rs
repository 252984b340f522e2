//! The configuration of the strategy: its keys, their defaults, ranges and costs.

use serde::Deserialize;

/// `SCHEMA` says the same for tools; the conformance suite compares the two.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "slots": {
      "description": "size of the table that keys are looked up in; must be the same in all processes",
      "enum": [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576, 2097152, 4194304],
      "default": 524288
    },
    "bounded_load": {
      "description": "no instance gets more than this times its share of this process's requests in flight; off unless given",
      "type": "number", "minimum": 1.05, "maximum": 10
    },
    "suspects": {
      "description": "avoid: keys of suspect instances move to others for the time being; keep: they stay",
      "enum": ["avoid", "keep"],
      "default": "avoid"
    }
  }
}"#;

/// The strategy's table in the config file.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsistentHashConfig {
    /// How many slots the table has: a power of two from 1024 to 4194304, default 524288. Frozen
    /// for a service: **all processes must have the same**, and a change moves nearly all keys.
    /// More slots share the keys out more evenly, and cost 2 bytes each, per service and process
    /// (4 bytes beyond 65536 instances), and 15 to 40 ns each at a change of the membership.
    pub slots: u32,
    /// Bounded loads: no instance gets more than this many times its share (by weight) of the
    /// requests that this process has in flight, rounded up; what is above goes to the key's next
    /// choices. From 1.05 to 10, off by default. Lower is more even and sends more requests away
    /// from their key's instance. Costs 5 to 10 ns a pick. Only requests count as in flight, so it
    /// does nothing for one-way messages.
    pub bounded_load: Option<f64>,
    /// What becomes of the keys of suspect instances. Default `avoid`.
    pub suspects: Suspects,
}

/// What becomes of the keys of suspect instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Suspects {
    /// They move to other instances, and come back when the doubt has ended. Processes that doubt
    /// different instances disagree for that time. If all are suspect, all serve.
    Avoid,
    /// They stay: a key has one instance at a time, though it may be dead.
    Keep,
}

impl Default for ConsistentHashConfig {
    fn default() -> Self {
        Self { slots: 1 << 19, bounded_load: None, suspects: Suspects::Avoid }
    }
}
