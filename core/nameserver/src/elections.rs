//! The election algorithms of the configuration, as the registry asks them. When to ask, and what
//! follows from an answer, is the registry's affair.

use std::sync::Arc;

use skymesh_naming::election::{Ballot, BallotEntry, Elector, FirstCome};
use skymesh_plugin_host::{
    ElectionCandidate, ElectionSlot, Office, PluginHost, PluginLoadError, PluginReport,
    PluginsConfig, SlotHealth, Verdict,
};
use skymesh_types::{ServiceName, ServicePattern};

use crate::config::ElectionsConfig;

/// Which slot elects for which names; the most specific pattern first.
#[derive(Debug, Clone)]
struct Rule {
    pattern: ServicePattern,
    slot: ElectionSlot,
}

/// All algorithms in use. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Elections {
    rules: Arc<[Rule]>,
    /// Keeps what the rules are made of; `None` where nothing is loaded.
    host: Option<Arc<PluginHost>>,
}

/// What elections are made with.
#[derive(Debug)]
pub(crate) enum Plugins {
    /// A host that the caller has made.
    Host(PluginHost),
    /// A configuration, from which a host is made if there is something to load.
    Config(Box<PluginsConfig>),
}

impl Elections {
    /// Loads what the configuration names.
    ///
    /// # Errors
    /// [`PluginLoadError`] of the first required algorithm that can't be had.
    pub(crate) fn load(
        config: &ElectionsConfig,
        plugins: Plugins,
    ) -> Result<Self, PluginLoadError> {
        let host = match plugins {
            Plugins::Host(host) => host,
            Plugins::Config(_) if config.0.is_empty() => {
                return Ok(Self { rules: Arc::new([]), host: None });
            }
            Plugins::Config(plugins) => PluginHost::new(what_there_is(*plugins))?,
        };
        let mut rules = Vec::new();
        for (pattern, strategy) in &config.0 {
            let slot = host.election(strategy)?;
            tracing::info!(%pattern, algorithm = strategy.plugin, "elections are by configuration");
            rules.push(Rule { pattern: pattern.clone(), slot });
        }
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.pattern.specificity()));
        Ok(Self { rules: rules.into(), host: Some(Arc::new(host)) })
    }

    /// What was loaded, and what became of it.
    pub(crate) fn report(&self) -> Vec<PluginReport> {
        self.host.as_ref().map(|host| host.report()).unwrap_or_default()
    }

    /// How the algorithm of each pattern is doing.
    pub(crate) fn health(&self) -> Vec<(ServicePattern, SlotHealth)> {
        self.rules.iter().map(|rule| (rule.pattern.clone(), rule.slot.health())).collect()
    }

    fn slot(&self, name: &ServiceName) -> Option<&ElectionSlot> {
        self.rules.iter().find(|rule| rule.pattern.matches(name)).map(|rule| &rule.slot)
    }
}

/// One file may serve a nameserver and its agents, and what the agents' strategies need does not have
/// to be on this host: a library that an election needs is missed when that is made.
fn what_there_is(mut plugins: PluginsConfig) -> PluginsConfig {
    for library in &mut plugins.load {
        library.required = false;
    }
    plugins
}

impl Elector for Elections {
    fn elect(&mut self, name: &ServiceName, ballot: &Ballot) -> Option<usize> {
        let verdict = match self.slot(name).filter(|slot| slot.asks_a_plugin()) {
            Some(slot) => {
                // In the order of the instance ids, which the plugin's candidates have as well.
                let mut candidates: Vec<_> = ballot.candidates.iter().map(candidate).collect();
                slot.elect(&mut candidates, &office(ballot))
            }
            None => Verdict::Builtin,
        };
        match verdict {
            Verdict::Chosen(chosen) => chosen,
            Verdict::Builtin => FirstCome.elect(name, ballot),
        }
    }
}

fn candidate(entry: &BallotEntry) -> ElectionCandidate {
    ElectionCandidate {
        instance: entry.instance.get(),
        handle: entry.handle.get(),
        attributes: String::from_utf8(entry.attributes.to_json())
            .expect("invariant: JSON text is UTF-8"),
        priority: entry.priority,
        joined: entry.joined,
        last_heard_ago_ns: nanoseconds(entry.silent_for),
        suspect: entry.suspect,
        draining: entry.draining,
    }
}

fn office(ballot: &Ballot) -> Office {
    let incumbent = ballot.incumbent.and_then(|index| ballot.candidates.get(index));
    Office {
        incumbent: incumbent.map(|entry| entry.handle.get()),
        term: ballot.term.0,
        now_ns: nanoseconds(ballot.now),
        led_for_ns: nanoseconds(ballot.led_for),
    }
}

/// 584 years at most.
fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
