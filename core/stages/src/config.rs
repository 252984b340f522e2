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

/// `[services."PATTERN".stages.outliers]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutliersConfig {
    /// From which (smoothed) share of failed calls on, in percent; 0 leaves nobody out. Default 0.
    pub errors_percent: u32,
    /// For how long at the first time; twice as long at the second, and so on. Then it begins with a
    /// clean sheet. Default 30 s, from 1 s.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// How many of a service's instances may be left out at once, in percent; one may always, the last
    /// one never. Default 10.
    pub max_percent: u32,
}

impl Default for OutliersConfig {
    fn default() -> Self {
        Self { errors_percent: 0, hold: Duration::from_secs(30), max_percent: 10 }
    }
}
