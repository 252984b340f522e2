//! Which instances of a service its selector gets to choose from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `[services."PATTERN".stages]`: what happens to a service's instances before any selector sees them.
/// Instances that drain are always left out, and suspect ones while others are healthy. The stages
/// follow each other in the order of these keys, and none takes the last instance away. All keys are
/// hot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StagesConfig {
    /// Leaves out, for a while, instances whose answers to calls are mostly errors.
    pub outliers: OutliersConfig,
    /// Only instances of the own zone (`agent.zone`) while at least so many of them are healthy; 0
    /// looks at no zones. Default 0.
    pub zone_min_instances: u32,
    /// At most so many instances, other ones for each agent: connections stay few in a large mesh. Each
    /// instance is in about equally many agents' subsets. Not with selectors by key, for which all
    /// agents must choose from the same instances. 0 takes all. Default 0.
    pub subset_size: u32,
    /// For how long an instance that has come gets less than its share, from a twentieth growing to the
    /// whole; messages by key go where their key belongs all the same. 0 s trusts it at once. Default
    /// 0 s.
    #[serde(with = "humantime_serde")]
    pub slow_start: Duration,
}

/// `[services."PATTERN".stages.outliers]`: what is observed are calls, RPC and gRPC, of this process. A
/// plain message has no answer that could be an error, so a service that gets nothing but messages
/// has no outliers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutliersConfig {
    /// From which share of failed calls on, in percent, smoothed over the last 16 or so; 0 leaves nobody
    /// out. Failed is what is the instance's fault or that of the way to it. Default 0.
    pub errors_percent: u32,
    /// For how long at the first time; two times as long at the second, three times at the third, up to
    /// `max_hold`. Then its share of failed calls begins at 0. Each `hold` in service without being left
    /// out again takes one of these times back. Default 30 s, from 1 s.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// For how long at most; less than `hold` counts as that. An instance that is broken for long is
    /// tried once in this time, and one that was repaired waits as long at worst. Default 5 min.
    #[serde(with = "humantime_serde")]
    pub max_hold: Duration,
    /// How many of a service's instances may be left out at once, in percent; one may always, the last
    /// one never. Default 10.
    pub max_percent: u32,
}

impl Default for OutliersConfig {
    fn default() -> Self {
        Self {
            errors_percent: 0,
            hold: Duration::from_secs(30),
            max_hold: Duration::from_secs(300),
            max_percent: 10,
        }
    }
}
