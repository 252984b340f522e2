//! What commands that ask a running agent have in common: which one, and the conversation.

use std::future::Future;

use clap::Args;
use skymesh::agent_admin::{AdminClient, AskError, find, sockets};

use crate::failure::{Failure, failed};

/// Which running agent.
#[derive(Debug, Args)]
pub(super) struct RunningAgent {
    /// A running agent of this host and user: the id of its process, or its socket [default: the
    /// only one there is]
    #[arg(long, value_name = "PID|SOCKET")]
    agent: Option<String>,
}

impl RunningAgent {
    /// One that is named.
    pub(super) fn named(agent: String) -> Self {
        Self { agent: Some(agent) }
    }

    /// Asks it one thing.
    pub(super) fn ask<F, T>(self, what: impl FnOnce(AdminClient) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, AskError>>,
    {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async { what(self.client().await?).await.map_err(failed) })
    }

    async fn client(self) -> Result<AdminClient, Failure> {
        let found = self.agent.as_deref().map_or_else(sockets, find);
        match found.as_slice() {
            [one] => Ok(AdminClient::new(one)),
            [] => Err(failed(match self.agent {
                Some(pid) => format!("process {pid} has no agent of this user's with a socket"),
                None => {
                    "no agent of this user's runs here; name its socket with --agent".to_owned()
                }
            })),
            several => {
                let mut lines = vec!["several agents run here; name one with --agent:".to_owned()];
                for path in several {
                    let who = AdminClient::new(path).about().await;
                    let who = who.map(|about| format!("app {}, {}", about.app, about.address));
                    let shown = path.display();
                    lines.push(format!(
                        "{shown} ({})",
                        who.unwrap_or_else(|error| error.to_string())
                    ));
                }
                Err(Failure::of(lines))
            }
        }
    }
}
