//! The front door: from the configuration's names to working strategies, and the list of what is
//! loaded. Called at start and on changes of the configuration, never per message.

mod elections;
mod resolve;
mod shelf;
mod sinks;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use skymesh_plugin_api::abi::host::{CodecInstance, CreateError, Library, SelectorInstance};
use skymesh_plugin_api::{LinkedPlugin, Manifest, PluginKind};
use tracing::level_filters::LevelFilter;

use crate::catalogue::Entry;
use crate::codec_slot::CodecSlot;
use crate::config::{LoadConfig, PluginsConfig, StrategyConfig};
use crate::error::PluginLoadError;
use crate::haste::Haste;
use crate::kept::Kept;
use crate::linked;
use crate::log;
use crate::patience::in_time;
use crate::report::PluginReport;
use crate::slot::{Origin, SelectorSlot};
use crate::supervision::Supervision;
pub(crate) use resolve::{Choice, found_at};
pub(crate) use shelf::Shelf;

/// The `use` that names the selector, or the election rule, which needs no plugin.
pub(crate) const BUILTIN: &str = "builtin";

/// Loads libraries and makes strategies of their plugins. Shared by reference; its lock is never
/// held while a library's code runs.
#[derive(Debug)]
pub struct PluginHost {
    /// What strategies are made of now.
    shelf: ArcSwap<Shelf>,
    /// In the order of loading; libraries are never removed.
    entries: Mutex<Vec<Entry>>,
    /// Of the last renewal, if it was not committed: what it found is shown, and what it looked for is
    /// watched, until there is another.
    given_up: Mutex<Option<Arc<Shelf>>>,
}

/// A strategy's instance, fresh from its plugin.
#[derive(Debug, Clone)]
pub(crate) struct Made<I> {
    pub(crate) instance: Kept<I>,
    pub(crate) supervision: Arc<Supervision>,
    pub(crate) origin: Origin,
}

impl PluginHost {
    /// Loads the libraries of the `[[plugins.load]]` entries. One that is not `required` and can't
    /// be loaded is reported with a warning.
    ///
    /// # Errors
    /// [`PluginLoadError`] of the first value that is out of its range, or the first required library that
    /// can't be loaded.
    pub fn new(config: PluginsConfig) -> Result<Self, PluginLoadError> {
        Self::with_linked(config, [])
    }

    /// As [`new`](Self::new), with libraries that are linked into this executable, besides those that were
    /// [linked](crate::link) for all hosts. Where a library
    /// file offers the same plugin, the file is used.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_linked(
        config: PluginsConfig,
        linked: impl IntoIterator<Item = LinkedPlugin>,
    ) -> Result<Self, PluginLoadError> {
        if let Some(error) = config.out_of_range().next() {
            return Err(error);
        }
        log::connect();
        let mut linked: Vec<Entry> = linked
            .into_iter()
            .chain(linked::all())
            .map(|plugin| Entry::linked(plugin.into()))
            .collect();
        // Once, if it was linked for this host and for all.
        let mut seen = BTreeSet::new();
        linked
            .retain(|entry| seen.insert((entry.base.library.clone(), entry.base.version.clone())));
        let host = Self {
            shelf: ArcSwap::from_pointee(Shelf::new(config, Haste::AtOnce, 0..linked.len())),
            entries: Mutex::new(linked),
            given_up: Mutex::default(),
        };
        let shelf = host.shelf.load_full();
        for declared in &shelf.config.load {
            host.load_if_there(&shelf, declared)?;
        }
        // After the first are in use.
        shelf.cache.sweep();
        Ok(host)
    }

    /// Loads one that is declared; one that is optional and can't be loaded is only warned of.
    fn load_if_there(&self, shelf: &Shelf, declared: &LoadConfig) -> Result<(), PluginLoadError> {
        match self.load_declared(shelf, declared) {
            Err(error) if declared.required => Err(error),
            Err(error) => {
                tracing::warn!(%error, "an optional plugin library is not loaded");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// A shelf for another configuration, with all that it declares on it, but for what is required and
    /// can't be loaded: why not.
    pub(crate) fn fill_shelf(&self, config: PluginsConfig) -> (Shelf, Vec<PluginLoadError>) {
        let linked: Vec<usize> = {
            let entries = self.entries();
            let all = entries.iter().enumerate();
            all.filter(|(_, entry)| entry.is_linked()).map(|(index, _)| index).collect()
        };
        let shelf = Shelf::new(config, Haste::Aside, linked);
        let load = |declared| self.load_if_there(&shelf, declared).err();
        let missing = shelf.config.load.iter().filter_map(load).collect();
        (shelf, missing)
    }

    /// From now on strategies are made of what is on `shelf`, also what is looked for only then: for that
    /// somebody waits.
    pub(crate) fn take_shelf(&self, mut shelf: Shelf) {
        shelf.haste = Haste::AtOnce;
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shelf.store(Arc::new(shelf));
    }

    /// A shelf that was not taken: the report tells what was wrong with it.
    pub(crate) fn give_up(&self, shelf: Shelf) {
        let shelf = Some(Arc::new(shelf));
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner) = shelf;
    }

    fn given_up(&self) -> Option<Arc<Shelf>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the selector that the configuration names.
    ///
    /// # Errors
    /// [`PluginLoadError`]; never if it is not `required`: then the built-in one is in the slot,
    /// and a warning in the log.
    pub fn selector(&self, strategy: &StrategyConfig) -> Result<SelectorSlot, PluginLoadError> {
        if strategy.plugin == BUILTIN {
            return Ok(SelectorSlot::builtin());
        }
        match self.make_selector(&self.shelf.load(), strategy) {
            Ok(made) => Ok(SelectorSlot::plugin(made)),
            Err(error) if strategy.required => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the built-in selector serves instead of an optional one");
                Ok(SelectorSlot::missing(strategy, error.to_string()))
            }
        }
    }

    /// Makes the selector that the configuration names and puts it into `slot`, for all who share
    /// it.
    ///
    /// # Errors
    /// [`PluginLoadError`], whether it is `required` or not; the slot is as it was.
    pub fn exchange_selector(
        &self,
        slot: &SelectorSlot,
        strategy: &StrategyConfig,
    ) -> Result<(), PluginLoadError> {
        if strategy.plugin == BUILTIN {
            slot.use_builtin();
            return Ok(());
        }
        slot.exchange(&self.make_selector(&self.shelf.load(), strategy)?);
        Ok(())
    }

    /// Makes the codec that the configuration names. `None` if it can't be had and is not
    /// `required`: then the v1 message form serves.
    ///
    /// # Errors
    /// [`PluginLoadError`] if it is `required`.
    pub fn codec(&self, strategy: &StrategyConfig) -> Result<Option<CodecSlot>, PluginLoadError> {
        optional(
            strategy,
            self.make_codec(&self.shelf.load(), strategy).map(|made| self.codec_slot(made)),
        )
    }

    pub(crate) fn codec_slot(&self, made: Made<CodecInstance>) -> CodecSlot {
        let version = made.origin.entry.and_then(|entry| {
            self.entries()[entry].loaded.as_ref().map(|loaded| loaded.version.clone())
        });
        CodecSlot::new(made, version)
    }

    /// What is loaded, in use, failed or quarantined, and why.
    pub fn report(&self) -> Vec<PluginReport> {
        let shown = self.shelf.load().entries();
        let given_up = self.given_up().map_or_else(BTreeSet::new, |shelf| shelf.entries());
        let entries = self.entries();
        let rows = entries.iter().enumerate().flat_map(|(index, entry)| {
            if shown.contains(&index) || given_up.contains(&index) {
                entry.report()
            } else {
                entry.report_retired()
            }
        });
        rows.collect()
    }

    /// The files that decide what is loaded, there or not: whatever could be one of the libraries in use,
    /// or one that the last renewal looked for, should it have failed; with their signatures, if any count.
    /// Where none of them changes, a reload finds no other plugins.
    pub fn files(&self) -> Vec<PathBuf> {
        let shelves = [Some(self.shelf.load_full()), self.given_up()].into_iter().flatten();
        let files = shelves.flat_map(|shelf| {
            let shown = shelf.entries();
            let used = {
                let entries = self.entries();
                shown.iter().map(|index| entries[*index].base.library.clone()).collect()
            };
            shelf.files(used)
        });
        files.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// `library/id` of every library that the searched folders hold under a conventional name
    /// (`skymesh_<kind>_<id>`), in order, whether it can be loaded or not. Loads nothing.
    pub fn conventional(&self) -> Vec<String> {
        self.shelf.load().search.conventional().into_iter().collect()
    }

    /// Loads the library that has the plugin, if it is not loaded yet, and makes nothing of it.
    ///
    /// # Errors
    /// [`PluginLoadError`], whether it is `required` or not.
    pub fn find(&self, kind: PluginKind, strategy: &StrategyConfig) -> Result<(), PluginLoadError> {
        self.choose(&self.shelf.load(), kind, strategy).map(|_| ())
    }

    /// As [`find`](Self::find), and holds the strategy's own table against the plugin's schema: whether it
    /// would be made, as far as can be told without making it.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn check(
        &self,
        kind: PluginKind,
        strategy: &StrategyConfig,
    ) -> Result<(), PluginLoadError> {
        let choice = self.choose(&self.shelf.load(), kind, strategy)?;
        let fits = choice.manifest(kind, strategy.id()).check_config(&strategy.json());
        fits.map_err(|error| {
            let (id, library) = (strategy.id().to_owned(), choice.library_name);
            PluginLoadError::Refused { kind, id, library, error }
        })
    }

    /// What the plugin that `name` (`id` or `library/id`) means says of itself; loads its library
    /// if need be.
    ///
    /// # Errors
    /// [`PluginLoadError`], of the kind `selector` if no kind has such a plugin.
    pub fn manifest(&self, name: &str) -> Result<Manifest, PluginLoadError> {
        let strategy = StrategyConfig::new(name);
        let mut first = None;
        for kind in PluginKind::ALL {
            match self.choose(&self.shelf.load(), kind, &strategy) {
                Ok(choice) => return Ok(choice.manifest(kind, strategy.id())),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.expect("invariant: there is at least one kind"))
    }

    /// Tells all libraries the most verbose level that this process's log wants, after a change of
    /// it. At loading they get the one of then.
    pub fn set_log_level(&self, level: LevelFilter) {
        let libraries: Vec<Library> = {
            let entries = self.entries();
            entries.iter().filter_map(|entry| Some(entry.loaded.as_ref()?.library)).collect()
        };
        libraries.iter().for_each(|library| library.set_max_level(level));
    }

    pub(crate) fn make_selector(
        &self,
        shelf: &Shelf,
        strategy: &StrategyConfig,
    ) -> Result<Made<SelectorInstance>, PluginLoadError> {
        self.make_on(shelf, PluginKind::Selector, strategy, Library::selector)
    }

    pub(crate) fn make_codec(
        &self,
        shelf: &Shelf,
        strategy: &StrategyConfig,
    ) -> Result<Made<CodecInstance>, PluginLoadError> {
        self.make_on(shelf, PluginKind::Codec, strategy, Library::codec)
    }

    /// Finds the plugin, makes an instance, and notes the outcome for the report.
    pub(crate) fn make_on<I: Send + 'static>(
        &self,
        shelf: &Shelf,
        kind: PluginKind,
        strategy: &StrategyConfig,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
    ) -> Result<Made<I>, PluginLoadError> {
        let choice = self.choose(shelf, kind, strategy)?;
        self.make_of(choice, &shelf.config, kind, strategy, create)
    }

    pub(crate) fn make_of<I: Send + 'static>(
        &self,
        choice: Choice,
        config: &PluginsConfig,
        kind: PluginKind,
        strategy: &StrategyConfig,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
    ) -> Result<Made<I>, PluginLoadError> {
        let (id, library) = (strategy.id(), choice.library);
        let (plugin, table) = (id.to_owned(), strategy.json());
        let made = in_time(config.start_budget, move || create(&library, &plugin, &table));
        let error = match made {
            Ok(Ok(instance)) => {
                let limits = config.quarantine;
                let supervision = Arc::new(Supervision::new(kind, choice.name, limits));
                self.entries()[choice.entry].note_made(kind, id, &supervision);
                let origin = Origin {
                    strategy: strategy.clone(),
                    entry: Some(choice.entry),
                    limits: Some(limits),
                };
                let instance = Kept::new(instance, Arc::clone(&supervision));
                return Ok(Made { instance, supervision, origin });
            }
            Ok(Err(CreateError::Refused(error))) => {
                let library = choice.library_name;
                PluginLoadError::Refused { kind, id: id.into(), library, error }
            }
            Ok(Err(_)) => return Err(self.not_in_library(kind, id, choice.entry)),
            Err(no_answer) => {
                let reason = format!("its constructor: {no_answer}");
                PluginLoadError::Overdue { what: choice.name, reason }
            }
        };
        self.entries()[choice.entry].note_refused(kind, id, &error.to_string());
        Err(error)
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn optional<T>(
    strategy: &StrategyConfig,
    made: Result<T, PluginLoadError>,
) -> Result<Option<T>, PluginLoadError> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(error) if strategy.required => Err(error),
        Err(error) => {
            tracing::warn!(%error, "an optional plugin is not used");
            Ok(None)
        }
    }
}
