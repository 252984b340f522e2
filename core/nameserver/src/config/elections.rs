//! Which algorithm picks the leaders of which service names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skymesh_plugin_host::StrategyConfig;
use skymesh_types::ServicePattern;

/// The election algorithms by exact service name or pattern; of several that match a name, the most
/// specific one counts. A name that none matches has the built-in rule: an incumbent stays, and a
/// vacancy goes to the candidate that was heard last.
///
/// In a configuration file these are the keys `election` of the tables `[services."PATTERN"]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ElectionsConfig(pub BTreeMap<ServicePattern, StrategyConfig>);
