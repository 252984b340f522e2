//! `skymesh reload`: has a running agent, or a nameserver, read its configuration and plugins again.

use std::path::PathBuf;

use clap::Args;
use skymesh::{Change, ReloadOutcome};

use super::agent::RunningAgent;
use super::operator::Operator;
use super::{ConfigFile, quiet_log};
use crate::failure::Failure;
use crate::output::{print, print_json};

/// Arguments of `skymesh reload`. An agent of this host and user is asked at its own socket; a nameserver
/// at its port, as by `skymesh kick`, from any host, by who has its token.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    agent: RunningAgent,
    /// Reload the nameserver at host:port instead of an agent; like `skymesh kick`, this needs its token
    #[arg(long, value_name = "ADDR", conflicts_with = "agent")]
    nameserver: Option<String>,
    /// The file with the nameserver's token [default: nameserver.admin.token_file of the
    /// configuration, or admin.token in its nameserver.store.path]
    #[arg(long, value_name = "FILE", requires = "nameserver")]
    token_file: Option<PathBuf>,
    /// The configuration file that says where the nameserver's token is; what is reloaded is the file
    /// that the nameserver was started with
    #[arg(long = "config", value_name = "FILE", requires = "nameserver")]
    path: Option<PathBuf>,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) fn run(self) -> Result<(), Failure> {
        let reload = match self.nameserver {
            Some(nameserver) => {
                let file = ConfigFile { path: self.path };
                let operator = Operator::named(nameserver, self.token_file, file);
                operator.perform(|mut operator| async move { operator.reload().await })?
            }
            None => {
                quiet_log()?;
                self.agent.ask(|agent| async move { agent.reload().await })?
            }
        };
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
    let lines = |changes: &[Change], title: &str| {
        changes.iter().map(|change| format!("  {title}{change}")).collect::<Vec<_>>()
    };
    let mut all = vec![reload.verdict()];
    all.extend(lines(&reload.changed, ""));
    all.extend(lines(&reload.needs_restart, "needs a restart: "));
    if reload.outcome != ReloadOutcome::Refused {
        all.extend(reload.faults.iter().map(|fault| format!("  warning: {fault}")));
    }
    all.iter().map(|line| format!("{line}\n")).collect()
}
