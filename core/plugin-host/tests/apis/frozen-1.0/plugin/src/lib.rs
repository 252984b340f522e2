//! Test fixture: a plugin library with well-behaved plugins of each kind. Not a strategy for use.

mod codecs;
mod sinks;

use serde::Deserialize;
use skymesh_plugin_api::{
    Ballot, Election, NoConfig, PluginError, Request, Selector, ShardedCounter, View, tracing,
};

pub use codecs::{Mirrored, Plain};
pub use sinks::{TallyMetrics, TallyTrace};

/// One after the other, per thread.
pub struct Cycle {
    start: u64,
    turn: ShardedCounter,
}

/// Configuration of [`Cycle`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CycleConfig {
    #[serde(default)]
    start: u64,
}

impl Selector for Cycle {
    const ID: &'static str = "cycle";
    const DESCRIPTION: &'static str = "one after the other";
    const CONFIG_SCHEMA: &'static str = r#"{"type": "object", "additionalProperties": false,
        "properties": {"start": {"type": "integer", "minimum": 0, "maximum": 1000}}}"#;
    type Config = CycleConfig;
    type Table = ();

    fn new(config: CycleConfig) -> Result<Self, PluginError> {
        tracing::info!(start = config.start, "cycle is ready");
        tracing::debug!("cycle has details");
        Ok(Self { start: config.start, turn: ShardedCounter::new() })
    }

    fn prepare(&self, _view: &View<'_>) {}

    fn pick(&self, view: &View<'_>, _table: &(), request: &Request) -> Option<usize> {
        let turn = self.turn.add(request.thread(), 1).wrapping_add(self.start);
        (!view.is_empty()).then(|| (turn % view.len() as u64) as usize)
    }
}

/// The instance of the highest id; keeps its index in a table.
pub struct Last;

impl Selector for Last {
    const ID: &'static str = "last";
    const DESCRIPTION: &'static str = "the highest instance id";
    const DETERMINISTIC: bool = true;
    type Config = NoConfig;
    type Table = Option<usize>;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn prepare(&self, view: &View<'_>) -> Option<usize> {
        view.len().checked_sub(1)
    }

    fn pick(&self, _view: &View<'_>, last: &Option<usize>, _request: &Request) -> Option<usize> {
        *last
    }
}

/// The highest priority; the incumbent among equals, else the lowest instance id.
pub struct Foremost;

impl Election for Foremost {
    const ID: &'static str = "foremost";
    const DESCRIPTION: &'static str = "the highest priority";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn elect(&self, ballot: &Ballot<'_>) -> Option<usize> {
        let highest = ballot.candidates().map(|one| one.priority()).max()?;
        let incumbent = ballot.incumbent().filter(|at| ballot.candidate(*at).priority() == highest);
        incumbent.or_else(|| ballot.candidates().position(|one| one.priority() == highest))
    }
}

skymesh_plugin_api::export_plugin! {
    selectors: [Cycle, Last],
    codecs: [Plain, Mirrored],
    elections: [Foremost],
    metrics: [TallyMetrics],
    traces: [TallyTrace],
}

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::conformance;

    use super::*;

    #[test]
    fn all_keep_their_contracts() {
        conformance::selector::<Cycle>();
        conformance::selector_with::<Cycle>(r#"{"start": 1000}"#);
        conformance::selector::<Last>();
        conformance::codec::<Plain>();
        conformance::codec::<Mirrored>();
        conformance::election::<Foremost>();
        conformance::metrics_with::<TallyMetrics>("{}");
        conformance::trace_with::<TallyTrace>("{}");
    }
}
