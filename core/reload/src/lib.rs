//! Reloads: how a process takes another configuration, or other plugin files, while it runs. Agents and
//! nameservers do it alike: one task, in which reloads take turns; what came of each, for the log, for
//! those who asked and for those who watch; and which keys take effect at all ([`keys`]).
//!
//! What this is not: the reload itself. What is read, tried and exchanged is the affair of a
//! [`Subject`]; loading plugins is `skymesh-plugin-host`'s.

mod aside;
mod desk;
mod difference;
mod files;
pub mod keys;
mod outcome;
mod reloader;

use std::future::Future;
use std::path::PathBuf;

pub use aside::Aside;
pub use desk::{Desk, Reloads, Requests};
pub use difference::between;
pub use outcome::{Change, Reload, ReloadOutcome};
pub use reloader::Reloader;

/// Where a configuration comes from, so that it can be read again. `F` is what its process takes of it.
pub trait ConfigSource<F>: Send + Sync + 'static {
    /// Reads it. Called on a thread that may wait for files.
    ///
    /// # Errors
    /// All that is wrong with it, one line each; then the reload is refused.
    fn read(&self) -> Result<F, Vec<String>>;

    /// The files that it is read from. Where files are watched, a change of one of them makes the
    /// process read again; a file that is left out is not noticed.
    fn files(&self) -> Vec<PathBuf>;
}

/// What is reloaded: an agent, or a nameserver.
pub trait Subject: Send + Sync + 'static {
    /// A configuration that was read anew.
    type Fresh: Send + 'static;
    /// What has still to become of a reload that took effect.
    type Rest: Send + 'static;

    /// Reads the configuration, unless it is given; tries all of it; and has it take effect as a whole,
    /// or not at all. Called on a thread that may wait for files and run plugin code; never twice at
    /// a time.
    ///
    /// # Errors
    /// Why nothing has changed.
    fn attempt(&self, fresh: Option<Self::Fresh>) -> Result<Applied<Self::Rest>, Vec<String>>;

    /// Waits until nothing goes by the configuration of before, so that who hears of the reload finds
    /// it in effect; must have a limit of time. Answers what could not be waited for.
    fn finish(&self, rest: Self::Rest) -> impl Future<Output = Vec<String>> + Send;

    /// The files that decide what a reload comes to.
    fn files(&self) -> Vec<PathBuf>;
}

/// What an attempt came to.
#[derive(Debug)]
pub struct Applied<R> {
    /// What is different now.
    pub changed: Vec<Change>,
    /// Keys that say something else than what the process runs by, and are read at a start only.
    pub needs_restart: Vec<Change>,
    /// What is optional and could not be had, and what of before has not ended in time.
    pub faults: Vec<String>,
    /// See [`Subject::finish`].
    pub rest: R,
}
