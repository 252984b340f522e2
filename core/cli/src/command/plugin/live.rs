//! `skymesh plugin list --agent` and `--nameserver`: the plugins of a running process, and which strategy
//! serves which names.

use skymesh::agent_admin::LivePlugins;
use skymesh::{NameserverPlugins, PluginReport, PluginState, Reload};

use super::list::{Form, table};
use crate::command::agent::RunningAgent;
use crate::command::operator::Operator;
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::table::Table;

pub(super) fn of_agent(agent: String, form: Form) -> Result<(), Failure> {
    let asked = RunningAgent::named(agent).ask(|agent| async move { agent.plugins().await })?;
    let LivePlugins { plugins, routers, reload } = &asked;
    let routers = routers.iter().map(|one| [&one.name, &one.selector, &one.health]);
    match form {
        Form::Json => print_json(&asked),
        Form::Table => print(&text(plugins, "SERVICE", "SELECTOR", routers, reload)),
    }
}

pub(super) fn of_nameserver(operator: Operator, form: Form) -> Result<(), Failure> {
    let asked = operator.perform(|mut operator| async move { operator.plugins().await })?;
    let NameserverPlugins { plugins, elections, reload } = &asked;
    let elections = elections.iter().map(|one| [&one.pattern, &one.algorithm, &one.health]);
    match form {
        Form::Json => print_json(&asked),
        Form::Table => print(&text(plugins, "SERVICES", "ELECTION", elections, reload)),
    }
}

fn text<'a>(
    plugins: &[PluginReport],
    names: &'static str,
    strategy: &'static str,
    rows: impl Iterator<Item = [&'a String; 3]>,
    reload: &Reload,
) -> String {
    let mut text = table(plugins);
    let mut rows = rows.peekable();
    if rows.peek().is_some() {
        let mut serving = Table::new([names, strategy, "HEALTH"]);
        rows.for_each(|row| serving.row(row.map(String::clone)));
        text = format!("{text}\n{}", serving.text());
    }
    let retired = plugins.iter().filter(|row| row.state == PluginState::Retired).count();
    format!("{text}\nlast reload: {}; {retired} retired\n", told(reload))
}

/// One that found nothing to change, and none at all, leave the same.
fn told(reload: &Reload) -> String {
    if *reload == Reload::start() {
        return "none has changed anything since the start".to_owned();
    }
    reload.to_string()
}
