//! One reload, from a configuration to its effect. Blocks for files and runs plugin code, so it has
//! a thread for that; holds no lock meanwhile.

use skymesh_plugin_host::{PluginKind, PluginsConfig};
use skymesh_reload::keys::{Role, When, when};
use skymesh_reload::{Applied, Change, between};
use skymesh_telemetry::{Exchanged, MetricsConfig, TraceConfig, out_of_range};

use super::FreshNameserver;
use super::subject::{NameserverReload, Rest};
use crate::config::ElectionsConfig;
use crate::elections::what_there_is;

/// The configuration that holds.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    pub(crate) elections: ElectionsConfig,
    pub(crate) plugins: PluginsConfig,
    pub(crate) metrics: MetricsConfig,
}

/// # Errors
/// Why nothing has changed.
pub(super) fn attempt(
    subject: &NameserverReload,
    holding: &Holding,
    fresh: FreshNameserver,
) -> Result<(Holding, Applied<Rest>), Vec<String>> {
    let FreshNameserver { nameserver, elections: configured, plugins, metrics, aside, mut faults } =
        fresh;
    let metrics = metrics.unwrap_or_else(|| holding.metrics.clone());
    let trace = TraceConfig::default();
    // All faults are told at once, so the plugins are looked for whatever was found before.
    if faults.is_empty() {
        faults.extend(nameserver.faults().iter().map(ToString::to_string));
        faults.extend(out_of_range(&metrics, &trace));
        faults.extend(plugins.out_of_range().map(|error| error.to_string()));
    }
    if plugins.out_of_range().next().is_some() {
        // By such limits no plugin could be had.
        return Err(faults);
    }
    let elections = &subject.elections;
    let (host, sinks) = (elections.host(), &subject.sinks);
    let shown = metrics.strategy();
    let own = configured.strategies().chain(shown.iter().map(|one| (PluginKind::Metrics, one)));
    let (renewal, missing) = host.renew(what_there_is(plugins.clone(), own));
    faults.extend(missing.iter().map(ToString::to_string));
    let mut rules = elections.renewed(&renewal, &configured);
    faults.append(&mut rules.errors);
    // The sink comes last: the old one may have to let go what the new one needs.
    let mut plan = match sinks.plan(&renewal, &metrics, &trace) {
        Ok(plan) if faults.is_empty() => plan,
        planned => {
            faults.extend(planned.err().into_iter().flatten());
            return Err(faults);
        }
    };
    sinks.hand_over(host, &renewal, &mut plan)?;
    renewal.commit();

    // Nothing below can fail.
    let mut changed = between("services", &holding.elections.keyed(), &configured.keyed());
    changed.extend(between("plugins", &holding.plugins, &plugins));
    changed.extend(between("metrics", &holding.metrics, &metrics));
    let mut needs_restart = between("nameserver", &subject.started, &nameserver);
    needs_restart.retain(|change| when(Role::Nameserver, &change.what) == Some(When::Restart));
    let rest = if rules.changed.is_empty() { Rest::Nothing } else { Rest::AskAnew };
    elections.exchange(rules.rules);
    changed.extend(rules.changed);
    let Exchanged { changed: shown, faults } = sinks.apply(plan, &metrics, &trace);
    changed.extend(shown.into_iter().map(|(table, sinks)| Change::of_sink(table, sinks)));
    changed.extend(aside.take_effect());
    host.set_log_level(tracing::level_filters::LevelFilter::current());
    let holding = Holding { elections: configured, plugins, metrics };
    let faults = rules.warnings.into_iter().chain(faults).collect();
    Ok((holding, Applied { changed, needs_restart, faults, rest }))
}
