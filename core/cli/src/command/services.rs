//! `skymesh services`: what a nameserver knows.

mod ask;
mod listing;

use clap::Args;
use skymesh::ServicePattern;

use super::{ConfigFile, quiet_log};
use crate::failure::{Failure, failed};
use crate::output::{print, print_json};
use ask::ask;

/// Arguments of `skymesh services`.
#[derive(Debug, Args)]
pub(super) struct Services {
    /// Only services that match: app.env.service, with * for whole parts
    pattern: Option<ServicePattern>,
    /// The nameserver, host:port [default: agent.nameserver of the configuration, or
    /// 127.0.0.1:9100]
    #[arg(long, value_name = "ADDR")]
    nameserver: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Services {
    pub(super) fn run(self) -> Result<(), Failure> {
        quiet_log()?;
        let agent = self.file.load()?.agent;
        let nameserver = self.nameserver.unwrap_or(agent.nameserver);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let asking = ask(&nameserver, self.pattern.as_ref(), agent.dial_timeout);
        let listing = runtime.block_on(asking).map_err(failed)?;
        if self.json { print_json(&listing) } else { print(&listing.table()) }
    }
}
