//! The serving side: methods by name, and the handlers that run.

mod methods;
mod reply;
mod running;
mod serve;

pub use methods::Methods;
use reply::Reply;
pub(crate) use running::Running;
pub(crate) use serve::Server;
