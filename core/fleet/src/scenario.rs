//! What happens to a fleet, and how large it is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use skymesh_stages::{OutliersConfig, StagesConfig};

/// What is out of the ordinary in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing: equal servers, keys of equal weight.
    Steady,
    /// From a quarter to three quarters of the run, all that the first server answers comes 2 s late,
    /// pings included.
    SlowNode,
    /// The same, and pings are as fast as ever: only calls show that the service is slow.
    SlowService,
    /// Every two seconds a server dies with all that it works on, or a dead one comes back.
    Churn,
    /// Weights of 50, 100, 200 and 400 by turns; the servers have as many workers as that means.
    SkewedWeights,
    /// A few keys make most of the calls: the n-th most frequent key has 1/n of the first one's.
    HotKeys,
    /// Every fourth server, and every fourth client, is in a zone of its own, 2 ms away from the
    /// others. From the middle to three quarters of the run all but one of its servers are dead, which
    /// is too few. Stage: zone preference, from 2 instances on.
    Zones,
    /// Every client chooses from a third of the servers only. Stage: subsets.
    Subsets,
    /// From a quarter to three quarters of the run the first server answers nine of ten calls with an
    /// error, at once. Stage: outlier ejection, for 5 s at the first time.
    FailingNode,
    /// Servers die and come back by turns, with empty caches: at first they take eight times as long
    /// for a call, and 5 s to be as fast as the others. Calls have no key. Stage: slow start over 10 s.
    ColdStart,
    /// From a quarter to three quarters of the run a third of the servers is dead, and held as suspect
    /// because so many are lost at once. Stage: health.
    MassLoss,
    /// Every server drains for half a second, is gone for a second and comes back, one after the other.
    /// Stage: draining.
    RollingRestart,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Steady,
        Self::SlowNode,
        Self::SlowService,
        Self::Churn,
        Self::SkewedWeights,
        Self::HotKeys,
        Self::Zones,
        Self::Subsets,
        Self::FailingNode,
        Self::ColdStart,
        Self::MassLoss,
        Self::RollingRestart,
    ];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::SlowNode => "slow-node",
            Self::SlowService => "slow-service",
            Self::Churn => "churn",
            Self::SkewedWeights => "skewed-weights",
            Self::HotKeys => "hot-keys",
            Self::Zones => "zones",
            Self::Subsets => "subsets",
            Self::FailingNode => "failing-node",
            Self::ColdStart => "cold-start",
            Self::MassLoss => "mass-loss",
            Self::RollingRestart => "rolling-restart",
        }
    }

    /// The stages that its clients have before their selectors.
    pub(crate) fn stages(self, instances: u32) -> StagesConfig {
        let default = StagesConfig::default();
        match self {
            Self::Zones => StagesConfig { zone_min_instances: 2, ..default },
            Self::Subsets => StagesConfig { subset_size: instances.div_ceil(3), ..default },
            Self::FailingNode => {
                let hold = Duration::from_secs(5);
                let outliers =
                    OutliersConfig { errors_percent: 50, hold, ..OutliersConfig::default() };
                StagesConfig { outliers, ..default }
            }
            Self::ColdStart => StagesConfig { slow_start: Duration::from_secs(10), ..default },
            _ => default,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.as_str() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is no scenario; there are {all}")
        })
    }
}

/// Whether the clients have stages before their selectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Staging {
    /// Those that the scenario is about; draining and health always.
    #[default]
    OfScenario,
    /// None at all: what selectors do by themselves.
    Off,
}

/// How large the fleet is, and how busy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How many servers there are. At least 1. Default: 11.
    pub instances: u32,
    /// How many clients there are, each with a view, statistics and an instance of the plugin of its
    /// own. At least 1. Default: 8.
    pub clients: u32,
    /// How long clients make calls; the run ends with the last answer. Default: 60 s.
    pub duration: Duration,
    /// Which share of the workers' time the calls take, from 0 to 1. Default: 0.5.
    pub load: f64,
    /// What happens before a selector is asked. Default: the scenario's stages.
    pub stages: Staging,
}

impl Default for Settings {
    fn default() -> Self {
        let (duration, stages) = (Duration::from_secs(60), Staging::OfScenario);
        Self { instances: 11, clients: 8, duration, load: 0.5, stages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.to_string().parse(), Ok(scenario));
        }
        let error = "slow".parse::<Scenario>().unwrap_err();
        assert!(error.starts_with("`slow` is no scenario; there are steady, slow-node"), "{error}");
    }
}
