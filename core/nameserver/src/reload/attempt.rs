//! One reload, from a configuration to its effect. Blocks for files and runs plugin code, so it has
//! a thread for that; holds no lock meanwhile.

use skymesh_plugin_host::PluginsConfig;
use skymesh_reload::keys::{Role, When, when};
use skymesh_reload::{Applied, between};

use super::FreshNameserver;
use super::subject::{NameserverReload, Rest};
use crate::config::ElectionsConfig;
use crate::elections::what_there_is;

/// The configuration that holds.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) elections: ElectionsConfig,
    pub(super) plugins: PluginsConfig,
}

/// # Errors
/// Why nothing has changed.
pub(super) fn attempt(
    subject: &NameserverReload,
    holding: &Holding,
    fresh: FreshNameserver,
) -> Result<(Holding, Applied<Rest>), Vec<String>> {
    let FreshNameserver { nameserver, elections: configured, plugins, aside } = fresh;
    let faults: Vec<String> = nameserver.faults().iter().map(ToString::to_string).collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let elections = &subject.elections;
    let there_is = what_there_is(plugins.clone(), configured.strategies());
    let renewal = elections.host().renew(there_is);
    let renewal = renewal.map_err(|error| vec![error.to_string()])?;
    let rules = elections.renewed(&renewal, &configured);
    if !rules.errors.is_empty() {
        return Err(rules.errors);
    }
    renewal.commit();

    // Nothing below can fail.
    let mut changed = between("services", &holding.elections.keyed(), &configured.keyed());
    changed.extend(between("plugins", &holding.plugins, &plugins));
    let mut needs_restart = between("nameserver", &subject.started, &nameserver);
    needs_restart.retain(|change| when(Role::Nameserver, &change.what) == Some(When::Restart));
    let rest = if rules.changed.is_empty() { Rest::Nothing } else { Rest::AskAnew };
    elections.exchange(rules.rules);
    changed.extend(rules.changed);
    let (cold, after) = aside.take_effect();
    needs_restart.extend(cold);
    changed.extend(after);
    elections.host().set_log_level(tracing::level_filters::LevelFilter::current());
    let holding = Holding { elections: configured, plugins };
    Ok((holding, Applied { changed, needs_restart, faults: rules.warnings, rest }))
}
