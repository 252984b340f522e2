//! What a running nameserver says of its plugins.

use serde::{Deserialize, Serialize};
use skymesh_plugin_host::{PluginReport, SlotHealth};
use skymesh_reload::Reload;

use crate::NameserverHandle;

/// The plugins of a running nameserver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NameserverPlugins {
    /// Every plugin that was asked for, and what became of it.
    pub plugins: Vec<PluginReport>,
    /// Which algorithm picks the leaders of which names; the more specific pattern first.
    pub elections: Vec<LiveElection>,
    /// The newest reload.
    pub reload: Reload,
}

/// The algorithm of the names that a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveElection {
    /// The pattern.
    pub pattern: String,
    /// `library/id` and the library's version, or `builtin`.
    pub algorithm: String,
    /// `healthy`, or what is wrong with it.
    pub health: String,
}

impl NameserverPlugins {
    pub(super) fn of(nameserver: &NameserverHandle) -> Self {
        let elections = nameserver.elections.strategies().into_iter();
        let elections = elections.map(|(pattern, algorithm, health)| LiveElection {
            pattern: pattern.to_string(),
            algorithm,
            health: words(&health),
        });
        Self {
            plugins: nameserver.plugins(),
            elections: elections.collect(),
            reload: Reload::clone(&nameserver.desk.latest()),
        }
    }
}

fn words(health: &SlotHealth) -> String {
    match health {
        SlotHealth::Builtin | SlotHealth::Healthy { failures: 0, .. } => "healthy".to_owned(),
        SlotHealth::Healthy { failures, .. } => {
            format!("healthy; {failures} elections failed or were slow")
        }
        SlotHealth::Missing { reason } => format!("missing, the built-in rule serves: {reason}"),
        SlotHealth::Quarantined { failures, .. } => {
            format!(
                "quarantined after {failures} failures, the built-in rule serves until a reload"
            )
        }
        // There may be more some day.
        other => format!("{other:?}"),
    }
}
