//! A virtual fleet: servers with queues, clients that pick by a selector plugin, and a network, all
//! under one virtual clock. It shows in a second what a selector does in a minute of a slow node, of
//! churn, of skewed weights, of hot keys, or behind each of the mesh's stages, and the same seed always
//! shows the same.
//!
//! What this is not: a simulation of skymesh's protocols. Of the mesh there is what a selector
//! notices: views that come late, statistics that the host keeps of calls and pings, the agent's stages
//! (`skymesh-stages`) before and after it, and the host's own way of calling it, supervision included.
//!
//! ```
//! use skymesh_fleet::{Scenario, Settings, play};
//! use skymesh_plugin_host::SelectorSlot;
//!
//! let settings = Settings { duration: std::time::Duration::from_secs(5), ..Settings::default() };
//! let outcome = play(Scenario::Steady, &settings, 1, &mut || Ok(SelectorSlot::builtin()))?;
//! assert!(outcome.calls > 5_000 && outcome.failed == 0);
//! # Ok::<(), skymesh_plugin_host::PluginLoadError>(())
//! ```
//! No thread, no socket and no clock is used; `play` runs the plugin on the calling thread.

mod agenda;
mod client;
mod crowd;
mod dice;
mod latencies;
mod moves;
mod outcome;
mod scenario;
mod server;
mod tally;
mod world;

pub use latencies::Latencies;
pub use outcome::{KeysMoved, Outcome};
pub use scenario::{Scenario, Settings, Staging};
pub use world::play;
