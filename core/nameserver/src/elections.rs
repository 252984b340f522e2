//! The election algorithms of the configuration, as the registry asks them. When to ask, and what
//! follows from an answer, is the registry's affair; on which thread, and whose turn it is, that of
//! `elections/booth.rs` and what is beside it.

mod booth;
mod desk;
mod stillness;

use std::sync::Arc;

use arc_swap::ArcSwap;
use skymesh_naming::election::{Ballot, Elector, FirstCome};
use skymesh_plugin_host::{
    ElectionSlot, PluginHost, PluginKind, PluginReport, PluginsConfig, Renewal, SlotHealth,
    StrategyConfig, Verdict,
};
use skymesh_reload::Change;
use skymesh_types::{ServiceName, ServicePattern};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::ElectionsConfig;
use crate::keeper::Event;
use crate::start::BindError;
use booth::{Answer, Booth};
use stillness::Stillness;

/// What a change is from, or to, where no rule has the pattern.
const NO_RULE: &str = "no rule";

/// Which algorithm elects for which names.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pattern: ServicePattern,
    booth: Booth,
}

/// All algorithms in use. Cheap to clone; clones share them, and their exchange.
#[derive(Debug, Clone)]
pub(crate) struct Elections {
    rules: Arc<ArcSwap<Vec<Rule>>>,
    /// What the rules are made of.
    host: Arc<PluginHost>,
}

/// All algorithms, as the registry asks them.
#[derive(Debug)]
pub(crate) struct Electorate {
    elections: Elections,
    /// For answers that come later.
    events: mpsc::Sender<Event>,
    /// One for all rules: it is the same registry that stands still.
    stillness: Stillness,
}

/// Rules that are ready to take the place of those that hold.
#[derive(Debug, Default)]
pub(crate) struct FreshRules {
    pub(crate) rules: Vec<Rule>,
    /// Which algorithms are other ones then.
    pub(crate) changed: Vec<Change>,
    /// Why they can't take effect.
    pub(crate) errors: Vec<String>,
    /// What is optional and could not be had.
    pub(crate) warnings: Vec<String>,
}

impl Elections {
    /// Loads what the configuration names.
    ///
    /// # Errors
    /// [`BindError::Election`] of the first required algorithm that can't be had.
    pub(crate) fn load(config: &ElectionsConfig, host: Arc<PluginHost>) -> Result<Self, BindError> {
        let mut rules = Vec::new();
        for (pattern, strategy) in &config.0 {
            let slot = host.election(strategy).map_err(|error| BindError::Election {
                pattern: pattern.clone(),
                error: Box::new(error),
            })?;
            tracing::info!(%pattern, algorithm = strategy.plugin, "elections are by configuration");
            rules.push(Rule { pattern: pattern.clone(), booth: Booth::new(slot) });
        }
        Ok(Self { rules: Arc::new(ArcSwap::from_pointee(sorted(rules))), host })
    }

    /// Makes the rules of another configuration, while those that hold go on. An algorithm that would be
    /// the same keeps its slot, and with it its record.
    pub(crate) fn renewed(&self, renewal: &Renewal<'_>, config: &ElectionsConfig) -> FreshRules {
        let held = self.rules.load_full();
        let mut fresh = FreshRules::default();
        for (pattern, strategy) in &config.0 {
            let rule = held.iter().find(|rule| rule.pattern == *pattern);
            let from = rule.map_or_else(|| NO_RULE.to_owned(), |rule| rule.booth.slot().strategy());
            let known =
                rule.map_or_else(|| Booth::new(ElectionSlot::builtin()), |rule| rule.booth.clone());
            let made = renewal.election_for(known.slot(), strategy).or_else(|error| {
                let line = format!("services.\"{pattern}\".election: {error}");
                if strategy.required {
                    fresh.errors.push(line);
                    return Err(());
                }
                fresh.warnings.push(line);
                Ok(renewal.election_fallback_for(known.slot(), strategy, &error))
            });
            let booth = match made {
                Ok(Some(made)) => {
                    // In a slot of its own: the others do not change before all of them do.
                    let slot = ElectionSlot::builtin();
                    slot.renew(made);
                    // The built-in one that serves for another reason than before is the same rule.
                    if slot.asks_a_plugin() || slot.strategy() != from {
                        fresh.changed.push(exchanged(pattern, from, slot.strategy()));
                    }
                    Booth::new(slot)
                }
                Ok(None) => {
                    // A broader rule, or none, was asked before: vacancies are for this one now.
                    if rule.is_none() {
                        fresh.changed.push(exchanged(pattern, from, known.slot().strategy()));
                    }
                    known
                }
                Err(()) => continue,
            };
            fresh.rules.push(Rule { pattern: pattern.clone(), booth });
        }
        for rule in held.iter().filter(|rule| !config.0.contains_key(&rule.pattern)) {
            fresh.changed.push(exchanged(
                &rule.pattern,
                rule.booth.slot().strategy(),
                NO_RULE.to_owned(),
            ));
        }
        fresh.rules = sorted(fresh.rules);
        fresh
    }

    /// From now on elections go by these rules; one that is under way ends by the old ones.
    pub(crate) fn exchange(&self, rules: Vec<Rule>) {
        self.rules.store(Arc::new(rules));
    }

    /// What a registry asks, whose keeper takes those events.
    pub(crate) fn electorate(&self, events: mpsc::Sender<Event>) -> Electorate {
        Electorate { elections: self.clone(), events, stillness: Stillness::new(Instant::now()) }
    }

    /// What all of it is made of.
    pub(crate) fn host(&self) -> &Arc<PluginHost> {
        &self.host
    }

    /// What was loaded, and what became of it.
    pub(crate) fn report(&self) -> Vec<PluginReport> {
        self.host.report()
    }

    /// The algorithm of each pattern, and how it is doing.
    pub(crate) fn strategies(&self) -> Vec<(ServicePattern, String, SlotHealth)> {
        let rules = self.rules.load();
        let all = rules.iter().map(|rule| (&rule.pattern, rule.booth.slot()));
        all.map(|(pattern, slot)| (pattern.clone(), slot.strategy(), slot.health())).collect()
    }

    fn booth(&self, name: &ServiceName) -> Option<Booth> {
        let rules = self.rules.load();
        rules.iter().find(|rule| rule.pattern.matches(name)).map(|rule| rule.booth.clone())
    }
}

/// The most specific pattern first.
fn sorted(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.pattern.specificity()));
    rules
}

fn exchanged(pattern: &ServicePattern, from: String, to: String) -> Change {
    Change::of(format!("election of {pattern}"), from, to)
}

/// One file may serve a nameserver and its agents, and what the agents' strategies need does not have
/// to be on this host: a declared library is missed where one of `strategies` is to come from it, and
/// where there are none, none is looked for.
pub(crate) fn what_there_is<'a>(
    mut plugins: PluginsConfig,
    strategies: impl IntoIterator<Item = (PluginKind, &'a StrategyConfig)>,
) -> PluginsConfig {
    let own: Vec<(String, bool)> = strategies
        .into_iter()
        .filter_map(|(kind, strategy)| Some((strategy.library_of(kind)?, strategy.required)))
        .collect();
    if own.is_empty() {
        plugins.load.clear();
    }
    for declared in &mut plugins.load {
        declared.required &= own.iter().any(|(name, required)| *required && declared.names(name));
    }
    plugins
}

impl Elector for Electorate {
    fn elect(&mut self, name: &ServiceName, ballot: &Ballot) -> Option<usize> {
        if ballot.candidates.is_empty() {
            return None;
        }
        let booth = self.elections.booth(name).filter(|booth| booth.slot().asks_a_plugin());
        let answer = booth.map(|booth| booth.ask(name, ballot, &mut self.stillness, &self.events));
        match answer.unwrap_or(Answer::Is(Verdict::Builtin)) {
            Answer::Is(Verdict::Chosen(chosen)) => chosen,
            Answer::Is(Verdict::Builtin) => FirstCome.elect(name, ballot),
            Answer::Later => ballot.incumbent,
        }
    }
}
