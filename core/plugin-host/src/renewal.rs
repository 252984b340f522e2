//! One attempt to make everything anew, from the files as they are now: for reloads. Nothing of it
//! shows outside before it is committed, and giving it up costs nothing but what was mapped.

mod sinks;

use skymesh_plugin_api::PluginKind;
use skymesh_plugin_api::abi::host::{CreateError, ElectionInstance, Library, SelectorInstance};

use crate::codec_slot::CodecSlot;
use crate::config::{PluginsConfig, QuarantineConfig, StrategyConfig};
use crate::election_slot::ElectionSlot;
use crate::error::PluginLoadError;
use crate::host::{BUILTIN, Choice, Made, PluginHost, Shelf};
use crate::kept::Kept;
use crate::self_test;
use crate::slot::{Origin, SelectorSlot};

impl PluginHost {
    /// Begins to renew: looks for the files of `config` and loads what it declares, while all that
    /// runs goes on. A file whose content is loaded already is not loaded again; a changed one under
    /// its old name is another library beside the old one, which stays mapped. Blocks for files.
    ///
    /// Answers beside it why required libraries can't be loaded, so that everything that is wrong can be
    /// told at once: the renewal goes on without them. If there are any, it is not to be committed.
    pub fn renew(&self, config: PluginsConfig) -> (Renewal<'_>, Vec<PluginLoadError>) {
        let (shelf, missing) = self.fill_shelf(config);
        (Renewal { host: self, shelf: Some(shelf) }, missing)
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
    made: Fresh<SelectorInstance>,
}

/// An election algorithm that is ready to serve, and has passed its self-test.
#[derive(Debug, Clone)]
pub struct FreshElection {
    made: Fresh<ElectionInstance>,
}

#[derive(Debug, Clone)]
enum Fresh<I> {
    Builtin,
    /// The built-in one, in place of an optional plugin, with the reason.
    Missing(Origin, String),
    Plugin(Made<I>),
}

impl Renewal<'_> {
    /// Makes the selector that the configuration names, and tries it on a sample view.
    ///
    /// # Errors
    /// [`PluginLoadError`], whether it is `required` or not.
    pub fn selector(&self, strategy: &StrategyConfig) -> Result<FreshSelector, PluginLoadError> {
        let fresh = self.fresh_selector(strategy, |_| false)?;
        Ok(fresh.expect("invariant: nothing there is taken for the same"))
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
        self.fresh_selector(strategy, |origin| slot.serves(origin))
    }

    fn fresh_selector(
        &self,
        strategy: &StrategyConfig,
        serves: impl FnOnce(&Origin) -> bool,
    ) -> Result<Option<FreshSelector>, PluginLoadError> {
        let budget = self.limits().pick_budget;
        let test = move |instance: &SelectorInstance| self_test::selector(instance, budget);
        let (kind, create) = (PluginKind::Selector, Library::selector);
        let made = self.fresh(kind, strategy, serves, create, test)?;
        Ok(made.map(|made| FreshSelector { made }))
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
        Some(FreshSelector {
            made: Fresh::Missing(Origin::without_plugin(strategy.clone()), reason.to_string()),
        })
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
        let (origin, choice) = self.origin(PluginKind::Codec, strategy)?;
        if let Some(known) = known.into_iter().find(|known| known.is_of(&origin)) {
            return Ok(known.clone());
        }
        let made = self.make(choice, PluginKind::Codec, strategy, Library::codec)?;
        let budget = self.limits().codec_budget;
        let made = tried(made, move |instance| self_test::codec(instance, budget))?;
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
        let budget = self.limits().election_budget;
        let test = move |instance: &ElectionInstance| self_test::election(instance, budget);
        let (kind, create) = (PluginKind::Election, Library::election);
        let made = self.fresh(kind, strategy, |origin| slot.serves(origin), create, test)?;
        Ok(made.map(|made| FreshElection { made }))
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
        Some(FreshElection {
            made: Fresh::Missing(Origin::without_plugin(strategy.clone()), reason.to_string()),
        })
    }

    /// From now on the host makes strategies of what was found here.
    pub fn commit(mut self) {
        if let Some(shelf) = self.shelf.take() {
            self.host.take_shelf(shelf);
        }
    }

    /// For kinds that have a built-in one. `None` where `serves` says of the origin that it would be the
    /// same.
    fn fresh<I: Clone + Send + 'static>(
        &self,
        kind: PluginKind,
        strategy: &StrategyConfig,
        serves: impl FnOnce(&Origin) -> bool,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
        test: impl FnOnce(&I) -> Result<(), self_test::Fault> + Send + 'static,
    ) -> Result<Option<Fresh<I>>, PluginLoadError> {
        if strategy.plugin == BUILTIN {
            // Whatever else is said of it.
            return Ok((!serves(&Origin::builtin())).then_some(Fresh::Builtin));
        }
        let (origin, choice) = self.origin(kind, strategy)?;
        if serves(&origin) {
            return Ok(None);
        }
        let made = self.make(choice, kind, strategy, create)?;
        Ok(Some(Fresh::Plugin(tried(made, test)?)))
    }

    /// What a plugin of that configuration would be made of.
    fn origin(
        &self,
        kind: PluginKind,
        strategy: &StrategyConfig,
    ) -> Result<(Origin, Choice), PluginLoadError> {
        let choice = self.host.choose(self.shelf(), kind, strategy)?;
        let (entry, limits) = (Some(choice.entry), Some(self.limits()));
        Ok((Origin { strategy: strategy.clone(), entry, limits }, choice))
    }

    fn make<I: Send + 'static>(
        &self,
        choice: Choice,
        kind: PluginKind,
        strategy: &StrategyConfig,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
    ) -> Result<Made<I>, PluginLoadError> {
        self.host.make_of(choice, &self.shelf().config, kind, strategy, create)
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
            Fresh::Builtin => self.use_builtin(),
            Fresh::Missing(origin, reason) => self.use_instead(origin, reason),
            Fresh::Plugin(made) => self.exchange(made),
        }
    }
}

impl ElectionSlot {
    /// Puts an algorithm in place that was made by a [`Renewal`]. An election that is under way ends
    /// with the old one.
    pub fn renew(&self, fresh: FreshElection) {
        match fresh.made {
            Fresh::Builtin => self.use_builtin(),
            Fresh::Missing(origin, reason) => self.use_instead(origin, reason),
            Fresh::Plugin(made) => self.exchange(made),
        }
    }
}

impl FreshSelector {
    /// Whether it is no plugin's: the built-in one, as configured or in place of one.
    pub fn is_builtin(&self) -> bool {
        !matches!(self.made, Fresh::Plugin(_))
    }

    /// As [`SelectorSlot::strategy`].
    pub fn strategy(&self) -> &str {
        match &self.made {
            Fresh::Builtin | Fresh::Missing(..) => BUILTIN,
            Fresh::Plugin(made) => made.supervision.name(),
        }
    }
}

/// Answers what was made, if it passes a test within its time.
fn tried<I: Clone + Send + 'static>(
    made: Made<I>,
    test: impl FnOnce(&I) -> Result<(), self_test::Fault> + Send + 'static,
) -> Result<Made<I>, PluginLoadError> {
    let test = move |instance: &Kept<I>| test(instance);
    let outcome = self_test::within_budget(made.instance.clone(), test);
    tested(made.supervision.name(), outcome).map(|()| made)
}

fn tested(strategy: &str, outcome: Result<(), String>) -> Result<(), PluginLoadError> {
    outcome.map_err(|fault| PluginLoadError::SelfTest { strategy: strategy.to_owned(), fault })
}
