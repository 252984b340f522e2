//! `priority`: the candidate of the highest priority leads. The priority is the one that a candidate stands
//! with, or an attribute of its instance, so that it can change while it stands and an operator can override
//! it (`skymesh attr set`).
//!
//! # How it picks
//! On a vacancy: the highest priority among those that do not drain and are not doubted; of equals the one
//! that stood first. An incumbent stays, unless `preempt` is true: then a candidate whose priority is higher
//! by at least `margin` takes over, and a draining leader makes way for any that does not drain. The leader
//! is revoked, and the new term begins when it has stood down, or its lease is over.
//!
//! A leader whose connection is lost is not replaced for that alone: it may be back within its lease, and
//! if not, the nameserver gives its seat away.
//!
//! # When not to use it
//! With `preempt` and an attribute that changes all the time, such as a load: leaders would change as often.
//! `margin` damps that; an attribute that changes in steps is better.
//!
//! # Configuration
//! See [`PriorityConfig`].

mod rank;

use serde::Deserialize;
use skymesh_plugin_api::{Ballot, Election, PluginError, export_plugin};

use crate::rank::Rank;

/// The algorithm; see the crate's documentation.
#[derive(Debug)]
pub struct Priority {
    config: PriorityConfig,
}

/// Its table in the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriorityConfig {
    /// The attribute that holds the priority, a whole number. Who has no such attribute, or no whole
    /// number in it, has the priority that it stands with, as all have without this key.
    pub attribute: Option<String>,
    /// Whether a higher priority takes the leadership from a lower one. Default false.
    pub preempt: bool,
    /// By how much a priority must be higher for that. Default 1, at least 1.
    pub margin: u32,
}

impl Default for PriorityConfig {
    fn default() -> Self {
        Self { attribute: None, preempt: false, margin: 1 }
    }
}

impl Election for Priority {
    const ID: &'static str = "priority";
    const DESCRIPTION: &'static str = "the highest priority leads, by attribute or by candidacy";
    const CONFIG_SCHEMA: &'static str = r#"{"type": "object", "additionalProperties": false,
        "properties": {
            "attribute": {"type": "string",
                "description": "the attribute that holds the priority, a whole number"},
            "preempt": {"type": "boolean", "default": false,
                "description": "a higher priority takes the leadership from a lower one"},
            "margin": {"type": "integer", "minimum": 1, "maximum": 4294967295, "default": 1,
                "description": "by how much a priority must be higher for that"}}}"#;
    type Config = PriorityConfig;

    fn new(config: PriorityConfig) -> Result<Self, PluginError> {
        match &config.attribute {
            Some(name) if name.is_empty() => {
                Err(PluginError::config("attribute", "the name of an attribute"))
            }
            _ => Ok(Self { config }),
        }
    }

    fn elect(&self, ballot: &Ballot<'_>) -> Option<usize> {
        let incumbent = ballot.incumbent();
        if !self.config.preempt && incumbent.is_some() {
            return incumbent;
        }
        let attribute = self.config.attribute.as_deref();
        let ranks: Vec<Rank> = ballot.candidates().map(|one| Rank::of(one, attribute)).collect();
        let best = (0..ranks.len()).min_by_key(|index| ranks[*index].order())?;
        let Some(incumbent) = incumbent else { return Some(best) };
        let (leads, better) = (&ranks[incumbent], &ranks[best]);
        Some(if better.outranks(leads, self.config.margin) { best } else { incumbent })
    }
}

export_plugin! { elections: [Priority] }

#[cfg(test)]
mod tests;
