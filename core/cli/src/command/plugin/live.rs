//! `skymesh plugin list --agent`: the plugins of a running agent, and which selector serves which
//! service.

use skymesh::agent_admin::LivePlugins;

use super::list::{Form, table};
use crate::command::agent::RunningAgent;
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::table::Table;

pub(super) fn run(agent: String, form: Form) -> Result<(), Failure> {
    let asked = RunningAgent::named(agent).ask(|agent| async move { agent.plugins().await })?;
    match form {
        Form::Json => print_json(&asked),
        Form::Table => print(&text(&asked)),
    }
}

fn text(live: &LivePlugins) -> String {
    let mut text = table(&live.plugins);
    if !live.routers.is_empty() {
        let mut routers = Table::new(["SERVICE", "SELECTOR", "HEALTH"]);
        for router in &live.routers {
            routers.row([router.name.clone(), router.selector.clone(), router.health.clone()]);
        }
        text = format!("{text}\n{}", routers.text());
    }
    let retired = live.plugins.iter().filter(|row| row.state == skymesh::PluginState::Retired);
    let retired = retired.count();
    format!("{text}\nlast reload: {}; {retired} retired\n", live.reload)
}
