//! The kind `selector`: picks one instance for one message. Nothing here keeps a membership.

use crate::config::NO_CONFIG;
use crate::{PluginError, Request, View};

/// Picks an instance for each message sent by service name.
///
/// The host calls [`prepare`](Self::prepare) whenever the membership changes and then
/// [`pick`](Self::pick) for every message, from many threads at once, always with the view that the
/// table was prepared from. A selector therefore keeps no membership of its own, and an index
/// always refers to the snapshot that it was picked from.
///
/// Contract, and what happens when it is broken:
/// * `pick` answers an index below `view.len()`. Else the host serves that message by its own
///   random pick and counts the failure; repeated failures put the selector into quarantine.
/// * `pick` does not block, allocate or log. It runs on the sender's thread: whatever it costs is
///   paid by every message.
/// * `pick` does not panic. A panic is caught and treated like an index out of the view.
pub trait Selector: Send + Sync + Sized + 'static {
    /// The name in configurations, `[a-z0-9_]+`, unique within the library.
    const ID: &'static str;
    /// One line for `skymesh plugin list`.
    const DESCRIPTION: &'static str = "";
    /// JSON Schema of [`Config`](Self::Config). The SDK enforces its `type`, `properties`,
    /// `additionalProperties`, `required`, `enum`, `minimum` and `maximum` before
    /// [`new`](Self::new) is called.
    const CONFIG_SCHEMA: &'static str = NO_CONFIG;
    /// Whether equal views and equal keys always give equal picks, in every process. The view is all that
    /// [`View`] shows, the statistics as well: one that reads them in [`pick`](Self::pick) may say so, and then
    /// picks equally only where these are equal. It may not go by what it was asked before, nor by statistics
    /// of the time of [`prepare`](Self::prepare).
    const DETERMINISTIC: bool = false;

    /// The strategy's table in the config file. Keys that it does not read are refused, with or
    /// without `#[serde(deny_unknown_fields)]`. [`NoConfig`](crate::NoConfig) if there are none.
    type Config: serde::de::DeserializeOwned;
    /// What is worth computing once per membership: a ring, a permutation. `()` if nothing is.
    type Table: Send + Sync + 'static;

    /// Makes the selector. May allocate and log.
    ///
    /// # Errors
    /// [`PluginError::config`] where a value is of the right type and still makes no sense.
    fn new(config: Self::Config) -> Result<Self, PluginError>;

    /// Computes the table for a membership. Called off the message path; may allocate and log.
    /// The view may be empty.
    fn prepare(&self, view: &View<'_>) -> Self::Table;

    /// Picks an index into `view`, or `None` where no instance may be used (an empty view).
    fn pick(&self, view: &View<'_>, table: &Self::Table, request: &Request) -> Option<usize>;
}
