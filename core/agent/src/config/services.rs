//! `[services]`: what holds for which service names. One file serves a nameserver and its agents, so
//! the table also has what only the nameserver reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skymesh_plugin_host::StrategyConfig;
use skymesh_types::{ServiceName, ServicePattern};

use super::{InboxConfig, RangeError, StagesConfig, stages};

/// `[services."PATTERN"]`: how this process treats the services that match.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// Picks the instance for each message. Default: the built-in random one. Hot: the next message
    /// is picked by the new one. One that is the same, of an unchanged library, keeps its state.
    pub selector: Option<StrategyConfig>,
    /// Which instances the selector gets to choose from. Default: all that do not drain, healthy ones
    /// first. Hot.
    pub stages: Option<StagesConfig>,
    /// The form of messages to it. Default: the v1 message form. Hot: for connections that are made
    /// from then on, between agents that were told of it when their instances were registered. Two
    /// services may have two versions of one plugin, or two tables. Agents tell each other the plugin's
    /// id only, and of each id one reads, the one of the highest version: all that have an id in a mesh
    /// must understand each other, so a form that does not needs an id of its own.
    pub codec: Option<StrategyConfig>,
    /// Picks its leader, where there is an election: read by the nameserver, where it is hot (an
    /// incumbent stays until its ballot changes); an agent does not look at it. Default: the built-in
    /// rule, by which an incumbent stays.
    pub election: Option<StrategyConfig>,
    /// What may wait in the inbox of one of its instances in this process, in bytes. Default:
    /// `agent.inbox.limit_bytes`. Hot: for instances that are registered from then on.
    pub inbox_limit_bytes: Option<u64>,
}

/// `[services]`: by exact service name or pattern.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServicesConfig(pub BTreeMap<ServicePattern, ServiceConfig>);

/// The `use` of the selector that needs no plugin.
const BUILTIN_SELECTOR: &str = "builtin";

impl ServicesConfig {
    /// The selector configured for a service; the built-in one if there is none.
    pub(crate) fn selector(&self, name: &ServiceName) -> StrategyConfig {
        let configured = self.selector_rule(name).map(|(_, strategy)| strategy);
        configured.cloned().unwrap_or_else(|| StrategyConfig::new(BUILTIN_SELECTOR))
    }

    /// The selector configured for a service, and where; `None` if none is.
    pub(crate) fn selector_rule(
        &self,
        name: &ServiceName,
    ) -> Option<(&ServicePattern, &StrategyConfig)> {
        self.rule(name, |service| service.selector.as_ref())
    }

    /// The stages configured for a service; the defaults if there are none.
    pub(crate) fn stages(&self, name: &ServiceName) -> StagesConfig {
        self.find(name, |service| service.stages.as_ref()).cloned().unwrap_or_default()
    }

    /// What the most specific matching pattern with that key says.
    pub fn find<'a, T>(
        &'a self,
        name: &ServiceName,
        key: impl Fn(&'a ServiceConfig) -> Option<&'a T>,
    ) -> Option<&'a T> {
        self.rule(name, key).map(|(_, value)| value)
    }

    fn rule<'a, T>(
        &'a self,
        name: &ServiceName,
        key: impl Fn(&'a ServiceConfig) -> Option<&'a T>,
    ) -> Option<(&'a ServicePattern, &'a T)> {
        let matching = self.0.iter().filter(|(pattern, _)| pattern.matches(name));
        let said = matching.filter_map(|(pattern, config)| Some((pattern, key(config)?)));
        said.max_by_key(|(pattern, _)| pattern.specificity())
    }
}

impl ServicesConfig {
    /// Checks every service's limits.
    ///
    /// # Errors
    /// [`RangeError`] names the first of [`faults`](Self::faults).
    pub fn validate(&self, inbox: &InboxConfig) -> Result<(), RangeError> {
        self.faults(inbox).into_iter().next().map_or(Ok(()), Err)
    }

    /// Every value that is out of its range.
    pub fn faults(&self, inbox: &InboxConfig) -> Vec<RangeError> {
        let limits = self.0.iter().filter_map(|(pattern, service)| {
            let limit = service.inbox_limit_bytes?;
            let key = || format!("services.\"{pattern}\".inbox_limit_bytes");
            let expected = "at least agent.inbox.window_bytes";
            (limit < inbox.window_bytes).then(|| RangeError::range(key(), &limit, expected))
        });
        let of_stages = self.0.iter().flat_map(|(pattern, service)| {
            let key = || format!("services.\"{pattern}\".stages");
            service.stages.as_ref().map_or_else(Vec::new, |one| stages::faults(one, &key()))
        });
        limits.chain(of_stages).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_that_says_something_counts() {
        let services: ServicesConfig = serde_json::from_value(serde_json::json!({
            "a.*.*": { "inbox_limit_bytes": 5000 },
            "a.b.c": {},
            "*.b.c": { "inbox_limit_bytes": 6000 },
        }))
        .unwrap();
        let find = |name: &str| {
            services.find(&name.parse().unwrap(), |s| s.inbox_limit_bytes.as_ref()).copied()
        };
        assert_eq!(find("a.b.c"), Some(5000));
        assert_eq!(find("x.b.c"), Some(6000));
        assert_eq!(find("x.y.z"), None);
    }
}
