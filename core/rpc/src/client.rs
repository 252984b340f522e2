//! The calling side: the calls that wait, and the future and service that make them.

mod call;
mod notifier;
mod pending;
mod service;
mod ticket;

pub use call::Call;
pub use notifier::Notifier;
pub(crate) use pending::{Completed, Pending};
pub use service::Client;
pub(crate) use ticket::Ticket;
