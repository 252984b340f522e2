//! Stages: which instances of a service its selector gets to choose from, and who gets less than it
//! chose while it is new. They are the core's, so they work with every selector.
//!
//! * Before a pick, when a view is made: [`sift`] leaves out who drains, who is suspect, who was
//!   ejected ([`Ejections`]), who is in another zone and who is not of this agent's subset.
//! * After a pick: [`Choice`] brings the selector's index back to the whole membership, and gives new
//!   instances a growing part only.
//!
//! What this is not: a clock, a task or a lock. Time and randomness come in; the agent calls it with the
//! real ones, `skymesh-fleet` with virtual ones.

mod choice;
mod config;
mod outliers;
mod sieve;
mod slow_start;

pub use choice::{Choice, Entrant};
pub use config::{OutliersConfig, StagesConfig};
pub use outliers::{Ejections, Observed, Reviewed};
pub use sieve::{Candidate, Chooser, Stage, ZONE, sift};
