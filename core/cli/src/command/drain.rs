//! `skymesh drain`: an instance takes nothing new from now on.

use clap::Args;
use skymesh::ServiceUrl;

use super::operator::Operator;
use crate::failure::Failure;
use crate::output::print;

/// Arguments of `skymesh drain`.
#[derive(Debug, Args)]
pub(super) struct Drain {
    /// Which instance: app.env.service/instance
    url: ServiceUrl,
    #[command(flatten)]
    operator: Operator,
}

impl Drain {
    pub(super) fn run(self) -> Result<(), Failure> {
        let url = &self.url;
        let draining =
            |mut operator: skymesh::AdminClient| async move { operator.drain(url).await };
        let revision = self.operator.perform(draining)?;
        print(&format!("{url} drains; revision {revision}\n"))
    }
}
