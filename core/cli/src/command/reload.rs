//! `skymesh reload`: has a running agent read its configuration and plugins again.

use clap::Args;
use skymesh::{Change, ReloadOutcome};

use super::agent::RunningAgent;
use super::quiet_log;
use crate::failure::Failure;
use crate::output::{print, print_json};

/// Arguments of `skymesh reload`.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    agent: RunningAgent,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) fn run(self) -> Result<(), Failure> {
        quiet_log()?;
        let reload = self.agent.ask(|agent| async move { agent.reload().await })?;
        if self.json {
            print_json(&reload)?;
        } else {
            print(&text(&reload))?;
        }
        match reload.outcome {
            ReloadOutcome::Refused => Err(Failure::of(reload.faults)),
            _ => Ok(()),
        }
    }
}

fn text(reload: &skymesh::Reload) -> String {
    let version = reload.version;
    let first = match reload.outcome {
        ReloadOutcome::Applied => format!("configuration {version} holds"),
        ReloadOutcome::Unchanged => format!("nothing changed; configuration {version} holds"),
        ReloadOutcome::Refused => format!("refused; configuration {version} still holds"),
    };
    let lines = |changes: &[Change], title: &str| {
        changes.iter().map(|change| format!("  {title}{change}")).collect::<Vec<_>>()
    };
    let mut all = vec![first];
    all.extend(lines(&reload.changed, ""));
    all.extend(lines(&reload.needs_restart, "needs a restart: "));
    if reload.outcome != ReloadOutcome::Refused {
        all.extend(
            reload.faults.iter().map(|fault| format!("  optional, and not to be had: {fault}")),
        );
    }
    all.iter().map(|line| format!("{line}\n")).collect()
}
