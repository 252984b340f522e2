//! The place of an election algorithm in the core: the strategy in it can be exchanged while
//! elections go on.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use skymesh_plugin_api::PluginKind;
use skymesh_plugin_api::abi::host::{ElectionCandidate, ElectionInstance, Office, Picked};

use crate::clock;
use crate::config::{QuarantineConfig, StrategyConfig};
use crate::failure::Failure;
use crate::host::{BUILTIN, Made};
use crate::kept::Kept;
use crate::slot::{Origin, SlotHealth};
use crate::supervision::Supervision;

/// The election algorithm of some service names. Cheap to clone; clones share the strategy, and its
/// exchange.
#[derive(Debug, Clone)]
pub struct ElectionSlot {
    current: Arc<ArcSwap<Strategy>>,
}

/// What is in a slot.
#[derive(Debug)]
struct Strategy {
    origin: Origin,
    /// `None` for the built-in one.
    instance: Option<Kept<ElectionInstance>>,
    /// Why the built-in one serves though a plugin was configured.
    instead: Option<String>,
    supervision: Arc<Supervision>,
}

/// What came of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The plugin's choice, by index into the candidates; `None` is nobody for now.
    Chosen(Option<usize>),
    /// The caller's own rule decides: there is no plugin, or it failed, or is quarantined.
    Builtin,
}

impl ElectionSlot {
    /// No plugin: the caller's own rule decides.
    pub fn builtin() -> Self {
        Self::holding(Strategy::builtin(None))
    }

    /// The built-in one in place of an optional plugin that can't be had.
    pub(crate) fn missing(strategy: &StrategyConfig, reason: String) -> Self {
        let origin = Origin::without_plugin(strategy.clone());
        Self::holding(Strategy { origin, ..Strategy::builtin(Some(reason)) })
    }

    pub(crate) fn plugin(made: Made<ElectionInstance>) -> Self {
        Self::holding(Strategy::plugin(made))
    }

    fn holding(strategy: Strategy) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(strategy)) }
    }

    /// Puts another strategy in place. An election that is under way ends with the old one.
    pub(crate) fn exchange(&self, made: Made<ElectionInstance>) {
        self.current.store(Arc::new(Strategy::plugin(made)));
    }

    /// Whether a strategy of that origin would be the one that serves here already. One that is
    /// quarantined, or hangs, does not serve: making it anew is what ends that.
    pub(crate) fn serves(&self, origin: &Origin) -> bool {
        let strategy = self.current.load();
        strategy.origin == *origin && strategy.supervision.is_fit(clock::now_ns())
    }

    /// Whether what serves here was made of that configuration, or in place of it.
    pub(crate) fn is_configured_as(&self, strategy: &StrategyConfig) -> bool {
        self.current.load().origin.strategy == *strategy
    }

    /// Puts the built-in rule in place of a plugin that can't be had.
    pub(crate) fn use_instead(&self, origin: Origin, reason: String) {
        self.current.store(Arc::new(Strategy { origin, ..Strategy::builtin(Some(reason)) }));
    }

    /// What serves here, as it is named in logs: `library/id` and the library's version, or
    /// `builtin`.
    pub fn strategy(&self) -> String {
        self.current.load().supervision.name().to_owned()
    }

    /// Puts the built-in rule in place, as [`builtin`](Self::builtin).
    pub fn use_builtin(&self) {
        self.current.store(Arc::new(Strategy::builtin(None)));
    }

    /// Whether a plugin is asked at all. Who makes candidates for it may spare that otherwise.
    pub fn asks_a_plugin(&self) -> bool {
        let strategy = self.current.load();
        strategy.instance.is_some() && !strategy.supervision.is_quarantined()
    }

    /// Sorts the candidates by instance id and asks the plugin, which may take as long as it likes;
    /// the answer's index is into the sorted list.
    pub fn elect(&self, candidates: &mut [ElectionCandidate], office: &Office) -> Verdict {
        let strategy = self.current.load_full();
        let supervision = &strategy.supervision;
        let Some(instance) = strategy.instance.as_ref().filter(|_| !supervision.is_quarantined())
        else {
            return Verdict::Builtin;
        };
        supervision.note_busy(clock::now_ns());
        let begun = Instant::now();
        let picked = instance.elect(candidates, office);
        supervision.note_idle();
        let failure = match picked {
            Picked::Panicked => Some(Failure::Panic),
            Picked::OutOfView => Some(Failure::NoCandidate),
            Picked::Index(_) | Picked::None => {
                let budget = supervision.budget();
                (begun.elapsed() > budget).then_some(Failure::Slow(budget))
            }
        };
        if let Some(failure) = failure {
            supervision.failed(failure, clock::now_ns());
        }
        match picked {
            Picked::Index(index) => Verdict::Chosen(Some(index)),
            Picked::None => Verdict::Chosen(None),
            Picked::Panicked | Picked::OutOfView => Verdict::Builtin,
        }
    }

    /// Whether the plugin has had a ballot for so long that nobody waits for its answer any more.
    pub fn note_late(&self, late: bool) {
        self.current.load().supervision.note_late(late);
    }

    /// How the strategy is doing.
    pub fn health(&self) -> SlotHealth {
        let strategy = self.current.load();
        let plugin = strategy.instance.is_some();
        SlotHealth::of(plugin, strategy.instead.as_deref(), &strategy.supervision)
    }
}

impl Strategy {
    fn builtin(instead: Option<String>) -> Self {
        let supervision =
            Supervision::new(PluginKind::Election, BUILTIN.into(), QuarantineConfig::default());
        let origin = Origin::builtin();
        Self { origin, instance: None, instead, supervision: Arc::new(supervision) }
    }

    fn plugin(made: Made<ElectionInstance>) -> Self {
        let Made { instance, supervision, origin } = made;
        Self { origin, instance: Some(instance), instead: None, supervision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_plugin_the_caller_decides() {
        let slot = ElectionSlot::builtin();
        let verdict = slot.elect(&mut [ElectionCandidate::default()], &Office::default());
        assert_eq!((verdict, slot.asks_a_plugin()), (Verdict::Builtin, false));
        assert_eq!(slot.health(), SlotHealth::Builtin);
        let slot = ElectionSlot::missing(&StrategyConfig::new("gone"), "not found".into());
        assert_eq!(slot.health(), SlotHealth::Missing { reason: "not found".into() });
        assert!(slot.health().is_degraded());
    }
}
