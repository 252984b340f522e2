//! What happens to a fleet, and how large it is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

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
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Steady,
        Self::SlowNode,
        Self::SlowService,
        Self::Churn,
        Self::SkewedWeights,
        Self::HotKeys,
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
}

impl Default for Settings {
    fn default() -> Self {
        Self { instances: 11, clients: 8, duration: Duration::from_secs(60), load: 0.5 }
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
