//! Reloads of a nameserver: other election algorithms, or other plugin files, take effect while it
//! serves. All is read, loaded and tried first; then it takes effect as a whole, or nothing of it does.
//!
//! Who leads stays: the new algorithm is asked at once where nobody leads, and of a leader when its
//! ballot changes the next time. Terms are the registry's and count on.
//!
//! What this is not: the task, and the form of outcomes, which are `skymesh-reload`'s.

mod attempt;
mod fresh;
mod handle;
mod subject;

pub(crate) use attempt::Holding;
pub use fresh::FreshNameserver;
pub(crate) use subject::NameserverReload;

/// Where reloads are asked for and told of.
pub(crate) type Desk = skymesh_reload::Desk<FreshNameserver>;
