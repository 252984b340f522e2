//! `skymesh kick`: takes an instance or a session offline.

use clap::Args;
use skymesh::{Handle, KickTarget, ServiceUrl, SessionId};

use super::operator::Operator;
use crate::failure::Failure;
use crate::output::print;

/// Arguments of `skymesh kick`.
#[derive(Debug, Args)]
pub(super) struct Kick {
    #[command(flatten)]
    target: Target,
    /// Why, for the agent that is kicked and its log
    #[arg(long, value_name = "TEXT", default_value = "kicked off by an operator")]
    reason: String,
    #[command(flatten)]
    operator: Operator,
}

/// Exactly one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The instance that is registered at app.env.service/instance now
    url: Option<ServiceUrl>,
    /// One incarnation, by its handle; a later one at the same place is spared
    #[arg(long, value_name = "NUMBER", value_parser = handle)]
    handle: Option<Handle>,
    /// Every instance of a session, and its connection; numbers are in `skymesh services`
    #[arg(long, value_name = "NUMBER", value_parser = session)]
    session: Option<SessionId>,
}

impl Kick {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (target, whom) = match self.target {
            Target { url: Some(url), .. } => (KickTarget::Url(url.clone()), url.to_string()),
            Target { handle: Some(handle), .. } => {
                (KickTarget::Instance(handle), format!("handle {handle}"))
            }
            Target { session: Some(session), .. } => {
                (KickTarget::Session(session), format!("session {session}"))
            }
            // clap has refused it already.
            Target { .. } => return Ok(()),
        };
        let reason = self.reason;
        let kicking =
            |mut operator: skymesh::AdminClient| async move { operator.kick(target, reason).await };
        let revision = self.operator.perform(kicking)?;
        print(&format!("kicked {whom} off; revision {revision}\n"))
    }
}

fn handle(text: &str) -> Result<Handle, String> {
    Handle::new(number(text)?).map_err(|error| error.to_string())
}

fn session(text: &str) -> Result<SessionId, String> {
    SessionId::new(number(text)?).map_err(|error| error.to_string())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("not a number: {error}"))
}
