//! Leader election on the agent's side: who of this process stands and leads, who leads elsewhere,
//! and what receivers make of messages that have to do with leaders.
//!
//! What a leadership is and when it ends is decided by [`Leaderships`](skymesh_naming::Leaderships),
//! sans-io and simulated; [`Elections`] is the shell around it. A leadership ends by the clock of
//! this process, whatever the network does; fences hold even where that clock is wrong.

mod admission;
mod belief;
mod candidate;
mod elections;
mod known;
mod leadership;
mod route;
mod standing;
mod watch;

pub(crate) use admission::{Admission, Barred};
pub(crate) use belief::Belief;
pub use candidate::RunForLeader;
pub(crate) use elections::{Elections, WatchChange, result};
pub(crate) use known::Lead;
pub use leadership::{Guard, Leadership, NotLeading};
pub(crate) use route::{addressed, deliver, resolve, try_deliver};
pub use standing::{Leader, Standing};
pub use watch::Election;
