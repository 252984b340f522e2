//! Ranges of `[services."PATTERN".stages]`.

use std::time::Duration;

use skymesh_stages::{OutliersConfig, StagesConfig};

use super::RangeError;

/// Every value that is out of its range; `key` is the table's.
pub(super) fn faults(stages: &StagesConfig, key: &str) -> Vec<RangeError> {
    let OutliersConfig { errors_percent, hold, max_percent, .. } = &stages.outliers;
    let held = humantime_serde::re::humantime::format_duration(*hold);
    let checks = [
        (*errors_percent <= 100, "errors_percent", errors_percent.to_string(), "0 to 100"),
        (*max_percent <= 100, "max_percent", max_percent.to_string(), "0 to 100"),
        (*hold >= Duration::from_secs(1), "hold", held.to_string(), "at least 1s"),
    ];
    let wrong = checks.into_iter().filter(|(good, ..)| !good);
    let fault = |(_, name, value, expected): (bool, &str, String, &'static str)| {
        RangeError::range(format!("{key}.outliers.{name}"), &value, expected)
    };
    wrong.map(fault).collect()
}
