//! The place of a selector in the core: the strategy in it can be exchanged while others pick.

use std::sync::Arc;

use arc_swap::ArcSwap;
use skymesh_plugin_api::abi::host::SelectorInstance;
use skymesh_plugin_api::{Member, PluginKind, Roster};

use crate::clock;
use crate::config::{QuarantineConfig, StrategyConfig};
use crate::failure::Failure;
use crate::host::{BUILTIN, Made};
use crate::kept::Kept;
use crate::pace::Pace;
use crate::prepared::Prepared;
use crate::supervision::Supervision;

/// A service name's selector. Cheap to clone; clones share the strategy, and its exchange.
#[derive(Debug, Clone)]
pub struct SelectorSlot {
    current: Arc<ArcSwap<Strategy>>,
}

/// What a strategy was made of: where both are equal, another one would be the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    pub(crate) strategy: StrategyConfig,
    /// The library's place in the host's list; `None` for what needs no plugin, or found none.
    pub(crate) entry: Option<usize>,
    /// What its calls are held to.
    pub(crate) limits: Option<QuarantineConfig>,
}

impl Origin {
    /// Of the built-in one, whatever the configuration says beside that.
    pub(crate) fn builtin() -> Self {
        Self::without_plugin(StrategyConfig::new(BUILTIN))
    }

    /// Of the built-in one, in place of what that configuration names.
    pub(crate) fn without_plugin(strategy: StrategyConfig) -> Self {
        Self { strategy, entry: None, limits: None }
    }
}

/// What is in a slot.
#[derive(Debug)]
struct Strategy {
    origin: Origin,
    /// `None` for the built-in one.
    instance: Option<Kept<SelectorInstance>>,
    /// Why the built-in one serves though a plugin was configured.
    instead: Option<String>,
    supervision: Arc<Supervision>,
    version: u64,
}

/// How a slot's strategy is doing. The built-in one is a random pick for selectors, and the rule that an
/// incumbent stays for elections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotHealth {
    /// The built-in one serves, as configured.
    Builtin,
    /// The built-in one serves instead of an optional plugin that could not be had.
    Missing {
        /// Why.
        reason: String,
    },
    /// The plugin serves.
    Healthy {
        /// `library/id` and the library's version.
        strategy: String,
        /// Calls that failed, for which the built-in one served.
        failures: u64,
    },
    /// The plugin has not prepared its table for the newest membership in time, and the one before serves;
    /// or it has not come back with a ballot, and the built-in rule decides.
    Late {
        /// `library/id` and the library's version.
        strategy: String,
    },
    /// The plugin panicked when it was to prepare its table for the newest membership; the built-in one
    /// picks from that.
    Unprepared {
        /// `library/id` and the library's version.
        strategy: String,
    },
    /// The plugin failed too often; the built-in one serves until a reload.
    Quarantined {
        /// `library/id` and the library's version.
        strategy: String,
        /// Calls that failed.
        failures: u64,
    },
}

impl SlotHealth {
    /// Of a slot that has a plugin, or has none, with the reason if it should.
    pub(crate) fn of(plugin: bool, instead: Option<&str>, supervision: &Supervision) -> Self {
        let (strategy, failures) = (supervision.name().to_owned(), supervision.failures());
        match (plugin, instead) {
            (false, None) => Self::Builtin,
            (false, Some(reason)) => Self::Missing { reason: reason.to_owned() },
            (true, _) if supervision.is_quarantined() => Self::Quarantined { strategy, failures },
            (true, _) if supervision.is_late() => Self::Late { strategy },
            (true, _) if supervision.is_unprepared() => Self::Unprepared { strategy },
            (true, _) => Self::Healthy { strategy, failures },
        }
    }

    /// Whether something other than what is configured serves.
    pub fn is_degraded(&self) -> bool {
        !matches!(self, Self::Builtin | Self::Healthy { .. })
    }
}

impl SelectorSlot {
    /// The built-in selector: a random healthy instance.
    pub fn builtin() -> Self {
        Self::holding(Strategy::builtin(None))
    }

    /// The built-in one in place of an optional plugin that can't be had.
    pub(crate) fn missing(strategy: &StrategyConfig, reason: String) -> Self {
        let origin = Origin::without_plugin(strategy.clone());
        Self::holding(Strategy { origin, ..Strategy::builtin(Some(reason)) })
    }

    pub(crate) fn plugin(made: Made<SelectorInstance>) -> Self {
        Self::holding(Strategy::plugin(made))
    }

    fn holding(strategy: Strategy) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(strategy)) }
    }

    /// Puts another strategy in place. What was prepared before goes on with the old one.
    pub(crate) fn exchange(&self, made: &Made<SelectorInstance>) {
        self.replace(|version| Strategy { version, ..Strategy::plugin(made.clone()) });
    }

    /// Puts in place what is made for the next version. What was there is late for nobody any more.
    fn replace(&self, next: impl Fn(u64) -> Strategy) {
        let old = self.current.rcu(|old| next(old.version + 1));
        old.supervision.note_late(false);
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

    /// Puts the built-in selector in place of a plugin that can't be had.
    pub(crate) fn use_instead(&self, origin: &Origin, reason: &str) {
        self.replace(|version| Strategy {
            version,
            origin: origin.clone(),
            ..Strategy::builtin(Some(reason.to_owned()))
        });
    }

    /// What serves here, as it is named in logs: `library/id` and the library's version, or
    /// `builtin`.
    pub fn strategy(&self) -> String {
        self.current.load().supervision.name().to_owned()
    }

    /// Puts the built-in selector in place, as [`builtin`](Self::builtin).
    pub fn use_builtin(&self) {
        self.replace(|version| Strategy { version, ..Strategy::builtin(None) });
    }

    /// Counts the exchanges. What was [prepared](Prepared::version) at a lower version picks by the
    /// old strategy until it is prepared anew.
    pub fn version(&self) -> u64 {
        self.current.load().version
    }

    /// Lets the strategy compute what it needs for a membership. Off the message path: may take
    /// milliseconds for large ones. If the plugin panics, the built-in selector serves this one.
    pub fn prepare(&self, members: Vec<Member>) -> Prepared {
        self.prepare_roster(Arc::new(Roster::new(members)))
    }

    /// As [`prepare`](Self::prepare), for a membership that is there already, such as after an
    /// exchange: `slot.prepare_roster(prepared.roster().clone())`.
    pub fn prepare_roster(&self, roster: Arc<Roster>) -> Prepared {
        let strategy = self.current.load();
        let (supervision, version) = (strategy.supervision.clone(), strategy.version);
        let Some(instance) = &strategy.instance else {
            return Prepared::builtin(roster, supervision, version);
        };
        match instance.prepare(roster.clone()) {
            Ok(prepared) => {
                supervision.note_prepared(true);
                Prepared::plugin(prepared, supervision, version)
            }
            Err(_) => {
                supervision.note_prepared(false);
                supervision.failed(Failure::PanicInPrepare, clock::now_ns());
                Prepared::builtin(roster, supervision, version)
            }
        }
    }

    /// A table of nobody, which asks nothing of the strategy.
    pub fn unprepared(&self) -> Prepared {
        let strategy = self.current.load();
        let roster = Arc::new(Roster::new(Vec::new()));
        Prepared::builtin(roster, strategy.supervision.clone(), strategy.version)
    }

    /// Whether [`prepare`](Self::prepare) takes too long, at that [`version`](Self::version) of the slot.
    pub fn note_late(&self, version: u64, late: bool) {
        let strategy = self.current.load();
        if strategy.version == version {
            strategy.supervision.note_late(late);
        }
    }

    /// How long its picks take, by samples. Nothing of the built-in one, which is not timed.
    pub fn pace(&self) -> Pace {
        self.current.load().supervision.pace()
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
            Supervision::new(PluginKind::Selector, BUILTIN.into(), QuarantineConfig::default());
        let origin = Origin::builtin();
        Self { origin, instance: None, instead, supervision: Arc::new(supervision), version: 0 }
    }

    fn plugin(made: Made<SelectorInstance>) -> Self {
        let Made { instance, supervision, origin } = made;
        Self { origin, instance: Some(instance), instead: None, supervision, version: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(suspect: &[bool]) -> Vec<Member> {
        let member = |(index, suspect): (usize, &bool)| Member {
            suspect: *suspect,
            ..Member::new(index as u64 + 1)
        };
        suspect.iter().enumerate().map(member).collect()
    }

    #[test]
    fn the_builtin_prefers_healthy_instances_and_spreads() {
        let slot = SelectorSlot::builtin();
        assert_eq!(slot.prepare(Vec::new()).pick(Some(7)), None);
        // (which are suspect, which may be picked)
        let cases: [(&[bool], &[usize]); 3] =
            [(&[false; 3], &[0, 1, 2]), (&[true, false, false], &[1, 2]), (&[true, true], &[0, 1])];
        for (suspect, expected) in cases {
            let prepared = slot.prepare(members(suspect));
            let mut counts = vec![0; suspect.len()];
            for _ in 0..3_000 {
                counts[prepared.pick(None).unwrap()] += 1;
            }
            for (index, count) in counts.iter().enumerate() {
                assert_eq!(*count > 800, expected.contains(&index), "{suspect:?}: {counts:?}");
            }
        }
        assert_eq!(slot.health(), SlotHealth::Builtin);
    }
}
