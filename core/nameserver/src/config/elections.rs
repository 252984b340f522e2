//! Which algorithm picks the leaders of which service names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skymesh_plugin_host::{PluginKind, StrategyConfig};
use skymesh_types::ServicePattern;

/// The election algorithms by exact service name or pattern; of several that match a name, the most
/// specific one counts. A name that none matches has the built-in rule: an incumbent stays, and a
/// vacancy goes to the candidate that was heard last.
///
/// In a configuration file these are the keys `election` of the tables `[services."PATTERN"]`. Hot: an
/// algorithm that is exchanged is asked at once where nobody leads; who leads stays until a candidate
/// comes, goes or changes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ElectionsConfig(pub BTreeMap<ServicePattern, StrategyConfig>);

/// What `[services]` says of one pattern's elections.
#[derive(Debug, Serialize)]
pub(crate) struct Keyed<'a> {
    election: &'a StrategyConfig,
}

impl ElectionsConfig {
    pub(crate) fn strategies(&self) -> impl Iterator<Item = (PluginKind, &StrategyConfig)> {
        self.0.values().map(|strategy| (PluginKind::Election, strategy))
    }

    /// By the keys that a configuration file has for it.
    pub(crate) fn keyed(&self) -> BTreeMap<&ServicePattern, Keyed<'_>> {
        self.0.iter().map(|(pattern, election)| (pattern, Keyed { election })).collect()
    }
}
