//! One reload, from a configuration to its effect. Blocks for files and runs plugin code, so it has
//! a thread for that; holds no lock meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use skymesh_plugin_host::{FreshSelector, PluginLoadError, PluginsConfig, Renewal, StrategyConfig};

use skymesh_reload::keys::{Role, When, when};
use skymesh_reload::{Applied, Change, between};
use skymesh_telemetry::{Exchanged, MetricsConfig, TraceConfig, out_of_range};
use skymesh_types::ServicePattern;

use super::FreshConfig;
use crate::codecs::Codecs;
use crate::config::{AgentConfig, ServicesConfig};
use crate::router::RouterCore;
use crate::runtime::{Hot, Runtime};

/// The configuration that holds.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) agent: AgentConfig,
    pub(super) services: ServicesConfig,
    pub(super) plugins: PluginsConfig,
    pub(super) metrics: MetricsConfig,
    pub(super) trace: TraceConfig,
}

/// What holds then, and what an attempt came to.
pub(super) type Outcome = (Holding, Applied<Vec<Arc<RouterCore>>>);

/// Everything that is ready to take effect.
#[derive(Debug, Default)]
struct Ready {
    codecs: Arc<Codecs>,
    selectors: Vec<(Arc<RouterCore>, Option<FreshSelector>)>,
    /// Why it can't take effect.
    errors: Vec<String>,
    /// What is optional and could not be had.
    warnings: Vec<String>,
}

/// # Errors
/// Why nothing has changed.
pub(super) fn attempt(
    runtime: &Arc<Runtime>,
    holding: &Holding,
    mut fresh: FreshConfig,
) -> Result<Outcome, Vec<String>> {
    // Named by code mostly, as a file for several processes can't.
    fresh.agent.app = fresh.agent.app.or_else(|| holding.agent.app.clone());
    // All faults are told at once, so the plugins are looked for whatever was found before.
    let mut faults = std::mem::take(&mut fresh.faults);
    let metrics = fresh.metrics.take().unwrap_or_else(|| holding.metrics.clone());
    let trace = fresh.trace.take().unwrap_or_else(|| holding.trace.clone());
    if faults.is_empty() {
        let ranges = fresh.agent.faults().into_iter();
        let ranges = ranges.chain(fresh.services.faults(&fresh.agent.inbox));
        faults.extend(ranges.map(|fault| fault.to_string()));
        faults.extend(out_of_range(&metrics, &trace));
        faults.extend(fresh.plugins.out_of_range().map(|error| error.to_string()));
    }
    if fresh.plugins.out_of_range().next().is_some() {
        // By such limits no plugin could be had.
        return Err(faults);
    }
    let (renewal, missing) = runtime.host.renew(fresh.plugins.clone());
    faults.extend(missing.iter().map(ToString::to_string));
    let mut ready = Ready::make(runtime, &renewal, &fresh);
    // The sinks come last: one may have to let go what the next one needs.
    let sinks = runtime.sinks();
    let plan = sinks.map(|sinks| sinks.plan(&renewal, &metrics, &trace)).transpose();
    let mut plan = plan.unwrap_or_else(|faults| {
        ready.errors.extend(faults);
        None
    });
    faults.append(&mut ready.errors);
    if !faults.is_empty() {
        return Err(faults);
    }
    if let (Some(sinks), Some(plan)) = (sinks, &mut plan) {
        sinks.hand_over(&runtime.host, &renewal, plan)?;
    }
    renewal.commit();
    let (mut holds, mut applied) = take_effect(runtime, holding, fresh, ready);
    applied.changed.extend(between("metrics", &holding.metrics, &metrics));
    applied.changed.extend(between("trace", &holding.trace, &trace));
    if let (Some(sinks), Some(plan)) = (sinks, plan) {
        let Exchanged { changed, faults } = sinks.apply(plan, &metrics, &trace);
        let sinks = changed.into_iter().map(|(table, sinks)| Change::of_sink(table, sinks));
        applied.changed.extend(sinks);
        applied.faults.extend(faults);
    }
    (holds.metrics, holds.trace) = (metrics, trace);
    Ok((holds, applied))
}

impl Ready {
    fn make(runtime: &Runtime, renewal: &Renewal<'_>, fresh: &FreshConfig) -> Self {
        let hot = runtime.hot.load();
        let limit = runtime.settings.agent.max_frame_bytes;
        let mut ready = Self::default();
        ready.select(renewal, &fresh.services, runtime.directory.routers());
        let codecs = hot.codecs.renewed(renewal, &fresh.services, limit, |pattern, error| {
            if let Some(strategy) = &fresh.services.0[pattern].codec {
                ready.note(pattern, "codec", strategy, error);
            }
        });
        ready.codecs = Arc::new(codecs);
        // Several routers may have met with the same.
        for lines in [&mut ready.errors, &mut ready.warnings] {
            lines.sort_unstable();
            lines.dedup();
        }
        ready
    }

    /// Each router's selector is made here, and may be refused though another of the same configuration
    /// is not. One that serves as it is configured is left alone, and none is made just to try it, for it
    /// may claim what only one can have.
    fn select(
        &mut self,
        renewal: &Renewal<'_>,
        services: &ServicesConfig,
        routers: Vec<Arc<RouterCore>>,
    ) {
        let mut met: BTreeSet<&ServicePattern> = BTreeSet::new();
        let mut had: Vec<&StrategyConfig> = Vec::new();
        for core in routers {
            let strategy = services.selector(&core.name);
            let rule = services.selector_rule(&core.name);
            let made = renewal.selector_for(&core.selector, &strategy);
            if let Some((pattern, strategy)) = rule
                && met.insert(pattern)
                && made.is_ok()
            {
                had.push(strategy);
            }
            let selector = made.unwrap_or_else(|error| {
                let (pattern, strategy) = rule.expect("invariant: the built-in one is always had");
                self.note(pattern, "selector", strategy, &error);
                renewal.fallback_for(&core.selector, strategy, &error)
            });
            self.selectors.push((core, selector));
        }
        // Those that no router has come to need yet.
        for (pattern, service) in &services.0 {
            let Some(strategy) = &service.selector else { continue };
            if met.contains(pattern) || had.contains(&strategy) {
                continue;
            }
            match renewal.selector(strategy) {
                Ok(_) => had.push(strategy),
                Err(error) => self.note(pattern, "selector", strategy, &error),
            }
        }
    }

    fn note(
        &mut self,
        pattern: &ServicePattern,
        key: &str,
        strategy: &StrategyConfig,
        error: &PluginLoadError,
    ) {
        let line = format!("services.\"{pattern}\".{key}: {error}");
        if strategy.required { &mut self.errors } else { &mut self.warnings }.push(line);
    }
}

/// Can't fail: whatever could has been tried before.
fn take_effect(
    runtime: &Arc<Runtime>,
    holding: &Holding,
    fresh: FreshConfig,
    ready: Ready,
) -> Outcome {
    let started = &runtime.settings.agent;
    let agent = started.with_hot(&fresh.agent);
    let mut changed = between("agent", &holding.agent, &agent);
    changed.extend(between("services", &holding.services, &fresh.services));
    changed.extend(between("plugins", &holding.plugins, &fresh.plugins));
    // Elections are the nameserver's.
    changed.retain(|change| when(Role::Agent, &change.what) == Some(When::Hot));
    let mut needs_restart = between("agent", started, &fresh.agent);
    needs_restart.retain(|change| when(Role::Agent, &change.what) == Some(When::Restart));

    let hot = Hot { agent: agent.clone(), services: fresh.services.clone(), codecs: ready.codecs };
    let before = runtime.hot.swap(Arc::new(hot));
    changed.extend(codec_changes(&before.codecs, &runtime.hot.load().codecs));
    let mut faults = ready.warnings;
    let mut routers = Vec::new();
    for (core, selector) in &ready.selectors {
        let Some(selector) = selector else { continue };
        let from = core.selector.strategy();
        core.selector.renew(selector);
        let to = core.selector.strategy();
        core.note_exchanged();
        // The built-in one that serves for another reason than before is the same selector.
        if from != to || !selector.is_builtin() {
            changed.push(Change::of(format!("selector of {}", core.name), from, to));
        }
        routers.push(Arc::clone(core));
    }
    // Routers that were opened meanwhile, by the old configuration.
    for core in runtime.directory.routers() {
        if !ready.selectors.iter().any(|(known, _)| Arc::ptr_eq(known, &core)) {
            if let Err(error) = runtime.reselect(&core) {
                faults.push(format!("selector of {}: {error}; the one before serves", core.name));
            }
            routers.push(core);
        }
    }
    // All of them: their stages may be other ones.
    runtime.directory.outdated(runtime.directory.routers().iter().map(|core| core.name.clone()));
    changed.extend(fresh.aside.take_effect());
    runtime.host.set_log_level(tracing::level_filters::LevelFilter::current());
    let (services, plugins) = (fresh.services, fresh.plugins);
    let holding = Holding { agent, services, plugins, ..holding.clone() };
    (holding, Applied { changed, needs_restart, faults, rest: routers })
}

fn codec_changes(old: &Codecs, new: &Codecs) -> Vec<Change> {
    let (old, new) = (old.strategies(), new.strategies());
    let changed =
        new.iter().filter(|(id, now)| old.get(*id) != Some(now)).map(|(id, now)| Change {
            what: format!("codec {id} of new connections"),
            from: old.get(id).map(|before| before.join(", ")),
            to: Some(now.join(", ")),
        });
    changed.collect()
}

#[cfg(test)]
mod tests;
