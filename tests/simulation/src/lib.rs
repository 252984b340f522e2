//! The real cores of skymesh in a simulated world: every node has a clock of its own that runs at a
//! wrong rate, the network delays, holds back and breaks, processes stop and die, and the nameserver
//! starts again with what its store had. An oracle that sees true time says what must not happen.
//!
//! One seed is one run, always the same. No socket, no thread inside a run, no real clock.

mod agenda;
mod agent;
mod clock;
mod dice;
mod elector;
mod faults;
mod keyed;
mod message;
mod nameserver;
mod network;
mod oracle;
mod register;
mod scenario;
mod sweep;
mod trace;
mod world;
mod writer;

pub use oracle::{Broken, Counts, Violation};
pub use scenario::{Clocks, Disk, Plant, Report, Rule, Scenario, Stage};
pub use sweep::{StopAt, Sweep, sweep};
