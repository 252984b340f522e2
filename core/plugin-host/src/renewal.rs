//! One attempt to make everything anew, from the files as they are now: for reloads. Nothing of it
//! shows outside before it is committed, and giving it up costs nothing but what was mapped.

mod sinks;

use skymesh_plugin_api::PluginKind;
use skymesh_plugin_api::abi::host::{ElectionInstance, SelectorInstance};

use crate::codec_slot::CodecSlot;
use crate::config::{PluginsConfig, QuarantineConfig, StrategyConfig};
use crate::election_slot::ElectionSlot;
use crate::error::PluginLoadError;
use crate::host::{BUILTIN, Made, PluginHost, Shelf};
use crate::kept::Kept;
use crate::self_test;
use crate::slot::{Origin, SelectorSlot};

impl PluginHost {
    /// Begins to renew: looks for the files of `config` and loads what it declares, while all that
    /// runs goes on. A file whose content is loaded already is not loaded again; a changed one under
    /// its old name is another library beside the old one, which stays mapped. Blocks for files.
    ///
    /// # Errors
    /// [`PluginLoadError`] of the first required library that can't be loaded; nothing has changed.
    pub fn renew(&self, config: PluginsConfig) -> Result<Renewal<'_>, PluginLoadError> {
        Ok(Renewal { host: self, shelf: Some(self.fill_shelf(config)?) })
    }
}

/// See the module. Dropped without [`commit`](Self::commit), it has changed nothing.
#[derive(Debug)]
pub struct Renewal<'a> {
    host: &'a PluginHost,
    /// `None` once it is committed.
    shelf: Option<Shelf>,
}

/// A selector that is ready to serve, and has passed its self-test.
#[derive(Debug, Clone)]
pub struct FreshSelector {
    made: FreshMade,
}

#[derive(Debug, Clone)]
enum FreshMade {
    Builtin,
    /// The built-in one, in place of an optional plugin, with the reason.
    Missing(Origin, String),
    Plugin(Made<SelectorInstance>),
}

/// An election algorithm that is ready to serve, and has passed its self-test.
#[derive(Debug, Clone)]
pub struct FreshElection {
    made: FreshRule,
}

#[derive(Debug, Clone)]
enum FreshRule {
    Builtin,
    /// The built-in one, in place of an optional plugin, with the reason.
    Missing(Origin, String),
    Plugin(Made<ElectionInstance>),
}

impl Renewal<'_> {
    /// Makes the selector that the configuration names, and tries it on a sample view.
    ///
    /// # Errors
    /// [`PluginLoadError`], whether it is `required` or not.
    pub fn selector(&self, strategy: &StrategyConfig) -> Result<FreshSelector, PluginLoadError> {
        if strategy.plugin == BUILTIN {
            return Ok(FreshSelector { made: FreshMade::Builtin });
        }
        let made = self.host.make_selector(self.shelf(), strategy)?;
        let budget = self.limits().pick_budget;
        let test = move |instance: &Kept<_>| self_test::selector(instance, budget);
        tested(made.supervision.name(), self_test::within_budget(made.instance.clone(), test))?;
        Ok(FreshSelector { made: FreshMade::Plugin(made) })
    }

    /// As [`selector`](Self::selector), for a slot: `None` where the slot's selector would be made of
    /// the same configuration and library again and is neither quarantined nor hangs, so that it may keep
    /// its state.
    ///
    /// # Errors
    /// As [`selector`](Self::selector).
    pub fn selector_for(
        &self,
        slot: &SelectorSlot,
        strategy: &StrategyConfig,
    ) -> Result<Option<FreshSelector>, PluginLoadError> {
        let origin = self.origin(PluginKind::Selector, strategy)?;
        if slot.serves(&origin) {
            return Ok(None);
        }
        self.selector(strategy).map(Some)
    }

    /// For a slot whose optional plugin can't be had, for that reason: the built-in selector, as at a
    /// start. `None` where what serves there was made of the same configuration: it goes on.
    pub fn fallback_for(
        &self,
        slot: &SelectorSlot,
        strategy: &StrategyConfig,
        reason: &PluginLoadError,
    ) -> Option<FreshSelector> {
        if slot.is_configured_as(strategy) {
            return None;
        }
        let origin = Origin { strategy: strategy.clone(), entry: None, limits: None };
        Some(FreshSelector { made: FreshMade::Missing(origin, reason.to_string()) })
    }

    /// Makes the codec that the configuration names, and sends an envelope through it; or answers
    /// the one of `known` that would be the same.
    ///
    /// # Errors
    /// As [`selector`](Self::selector).
    pub fn codec<'k>(
        &self,
        known: impl IntoIterator<Item = &'k CodecSlot>,
        strategy: &StrategyConfig,
    ) -> Result<CodecSlot, PluginLoadError> {
        let origin = self.origin(PluginKind::Codec, strategy)?;
        if let Some(known) = known.into_iter().find(|known| known.is_of(&origin)) {
            return Ok(known.clone());
        }
        let made = self.host.make_codec(self.shelf(), strategy)?;
        let budget = self.limits().codec_budget;
        let test = move |instance: &Kept<_>| self_test::codec(instance, budget);
        tested(made.supervision.name(), self_test::within_budget(made.instance.clone(), test))?;
        Ok(self.host.codec_slot(made))
    }

    /// Makes the election algorithm that the configuration names, for a slot, and asks it for leaders of
    /// sample ballots; `None` as in [`selector_for`](Self::selector_for).
    ///
    /// # Errors
    /// As [`selector`](Self::selector).
    pub fn election_for(
        &self,
        slot: &ElectionSlot,
        strategy: &StrategyConfig,
    ) -> Result<Option<FreshElection>, PluginLoadError> {
        let origin = self.origin(PluginKind::Election, strategy)?;
        if slot.serves(&origin) {
            return Ok(None);
        }
        if strategy.plugin == BUILTIN {
            return Ok(Some(FreshElection { made: FreshRule::Builtin }));
        }
        let made = self.host.make_election(self.shelf(), strategy)?;
        let budget = self.limits().election_budget;
        let test = move |instance: &Kept<_>| self_test::election(instance, budget);
        tested(made.supervision.name(), self_test::within_budget(made.instance.clone(), test))?;
        Ok(Some(FreshElection { made: FreshRule::Plugin(made) }))
    }

    /// As [`fallback_for`](Self::fallback_for), of an algorithm.
    pub fn election_fallback_for(
        &self,
        slot: &ElectionSlot,
        strategy: &StrategyConfig,
        reason: &PluginLoadError,
    ) -> Option<FreshElection> {
        if slot.is_configured_as(strategy) {
            return None;
        }
        let origin = Origin { strategy: strategy.clone(), entry: None, limits: None };
        Some(FreshElection { made: FreshRule::Missing(origin, reason.to_string()) })
    }

    /// From now on the host makes strategies of what was found here.
    pub fn commit(mut self) {
        if let Some(shelf) = self.shelf.take() {
            self.host.take_shelf(shelf);
        }
    }

    /// What a strategy of that configuration would be made of.
    fn origin(
        &self,
        kind: PluginKind,
        strategy: &StrategyConfig,
    ) -> Result<Origin, PluginLoadError> {
        let entry = match strategy.plugin.as_str() {
            BUILTIN => None,
            _ => Some(self.host.choose(self.shelf(), kind, strategy)?.entry),
        };
        let limits = entry.is_some().then(|| self.limits());
        Ok(Origin { strategy: strategy.clone(), entry, limits })
    }

    fn limits(&self) -> QuarantineConfig {
        self.shelf().config.quarantine
    }

    fn shelf(&self) -> &Shelf {
        self.shelf.as_ref().expect("invariant: only `commit` takes it, and the renewal with it")
    }
}

impl Drop for Renewal<'_> {
    fn drop(&mut self) {
        if let Some(shelf) = self.shelf.take() {
            self.host.give_up(shelf);
        }
    }
}

impl SelectorSlot {
    /// Puts a selector in place that was made by a [`Renewal`]. What was prepared before goes on
    /// with the old one, which ends with the last of that.
    pub fn renew(&self, fresh: &FreshSelector) {
        match &fresh.made {
            FreshMade::Builtin => self.use_builtin(),
            FreshMade::Missing(origin, reason) => self.use_instead(origin, reason),
            FreshMade::Plugin(made) => self.exchange(made),
        }
    }
}

impl ElectionSlot {
    /// Puts an algorithm in place that was made by a [`Renewal`]. An election that is under way ends
    /// with the old one.
    pub fn renew(&self, fresh: FreshElection) {
        match fresh.made {
            FreshRule::Builtin => self.use_builtin(),
            FreshRule::Missing(origin, reason) => self.use_instead(origin, reason),
            FreshRule::Plugin(made) => self.exchange(made),
        }
    }
}

impl FreshSelector {
    /// As [`SelectorSlot::strategy`].
    pub fn strategy(&self) -> &str {
        match &self.made {
            FreshMade::Builtin | FreshMade::Missing(..) => BUILTIN,
            FreshMade::Plugin(made) => made.supervision.name(),
        }
    }
}

fn tested(strategy: &str, outcome: Result<(), String>) -> Result<(), PluginLoadError> {
    outcome.map_err(|fault| PluginLoadError::SelfTest { strategy: strategy.to_owned(), fault })
}
