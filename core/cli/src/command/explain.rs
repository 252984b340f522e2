//! `skymesh explain`: where a running agent would send a message, and why there.

use clap::Args;
use skymesh::ServiceName;

use super::agent::RunningAgent;
use super::quiet_log;
use crate::failure::Failure;
use crate::output::{print, print_json};

/// Arguments of `skymesh explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The service that the message would go to, app.env.service
    name: ServiceName,
    /// The key that it would be routed by: a whole number, or a text
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    agent: RunningAgent,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Failure> {
        quiet_log()?;
        let Self { name, key, agent, json } = self;
        let asking = |agent: skymesh::agent_admin::AdminClient| async move {
            agent.explain(name.as_str(), key.as_deref()).await
        };
        let explained = agent.ask(asking)?;
        if json { print_json(&explained) } else { print(&explained.text()) }
    }
}
