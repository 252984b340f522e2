//! One plugin of a library, made and asked as a host would before it lets it serve: for tools. The
//! authors' conformance suites ask more; this is what would be refused.

use std::sync::Arc;
use std::time::Duration;

use skymesh_plugin_api::abi::host::{CreateError, Library};
use skymesh_plugin_api::{Manifest, MetricsBatch, PluginError, PluginKind, TraceBatch};

use crate::config::{PluginsConfig, QuarantineConfig, StrategyConfig};
use crate::host::Made;
use crate::kept::Kept;
use crate::patience::{NoAnswer, in_time};
use crate::self_test::Fault;
use crate::sink_slot::{MetricsSlot, TraceSlot};
use crate::slot::Origin;
use crate::supervision::Supervision;
use crate::{log, self_test};

/// What those calls are, in the words of a report.
const FIRST_CALLS: &str = "the self-test of a reload";

/// Why a plugin would not be let in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// It has no plugin of that name, or that refuses the configuration, or can't work here.
    #[error("{0}")]
    Refused(PluginError),
    /// It does not come back in time: its constructor within `plugins.start_budget`, or those calls or its
    /// end within the time of [`try_out`].
    #[error("{0}")]
    Overdue(String),
    /// It fails the first calls that a reload makes.
    #[error("{0}")]
    Failed(String),
    /// It takes longer over them than `plugins.quarantine` allows, which no conformance suite asks for.
    #[error("{0}")]
    Slow(String),
    /// It panics when it is dropped.
    #[error("it panics when it is dropped")]
    PanicsAtEnd,
}

impl From<Fault> for TrialError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Wrong(how) => Self::Failed(how),
            Fault::Slow(how) => Self::Slow(how),
        }
    }
}

/// Makes the plugin with a configuration, a JSON object, makes the first calls that a reload makes, and
/// drops it, all by the limits of `limits`. Those calls may take `patience`, but no longer than a reload
/// waits for them, 5 s; and so may its end. Sinks get a batch with nothing in it; making them opens their
/// ports and files. Answers why it would not be let in: nothing, if it would.
pub fn try_out(
    library: Library,
    plugin: &Manifest,
    config: &str,
    limits: &PluginsConfig,
    patience: Duration,
) -> Vec<TrialError> {
    let budgets = limits.quarantine;
    let trial =
        Trial { library, plugin, config, limits, patience: patience.min(self_test::PATIENCE) };
    let tried = match plugin.kind {
        PluginKind::Selector => {
            trial.hold(Library::selector, move |one| self_test::selector(one, budgets.pick_budget))
        }
        PluginKind::Codec => {
            trial.hold(Library::codec, move |one| self_test::codec(one, budgets.codec_budget))
        }
        PluginKind::Election => trial
            .hold(Library::election, move |one| self_test::election(one, budgets.election_budget)),
        PluginKind::Metrics => trial.hold_sink(Library::metrics, MetricsSlot::new, |slot| {
            slot.flush(&MetricsBatch {
                samples: &[],
                resource: &[],
                unix_ns: 0,
                started_unix_ns: 0,
            });
        }),
        PluginKind::Trace => trial.hold_sink(Library::trace, TraceSlot::new, |slot| {
            slot.export(&TraceBatch { spans: &[], resource: &[], dropped: 0 });
        }),
    };
    match tried {
        Ok(Tried { tested, ended }) => [tested.err(), ended.err()].into_iter().flatten().collect(),
        Err(error) => vec![error],
    }
}

struct Trial<'a> {
    library: Library,
    plugin: &'a Manifest,
    config: &'a str,
    limits: &'a PluginsConfig,
    /// For the calls, and for its end.
    patience: Duration,
}

/// How one did that came back from all that was asked.
struct Tried {
    tested: Result<(), TrialError>,
    ended: Result<(), TrialError>,
}

impl Trial<'_> {
    /// For strategies that are called from many threads.
    fn hold<I: Send + 'static>(
        self,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
        test: impl FnOnce(&I) -> Result<(), Fault> + Send + 'static,
    ) -> Result<Tried, TrialError> {
        let instance = self.make(create)?;
        let asked = in_time(self.patience, move || (test(&instance), instance));
        let (tested, instance) = asked.map_err(|late| overdue(FIRST_CALLS, &late))?;
        Ok(Tried { tested: tested.map_err(TrialError::from), ended: self.end(instance) })
    }

    /// For those that get batches: what the reload does with its own, here with one that is empty.
    fn hold_sink<I: Send + 'static, S: Send + Sync + 'static>(
        self,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
        slot: fn(Made<I>) -> S,
        first: impl FnOnce(&S) + Send + 'static,
    ) -> Result<Tried, TrialError> {
        let instance = self.make(create)?;
        let Manifest { id, kind, library, .. } = self.plugin;
        // So many that its first batch does not end it: its end is looked at below.
        let limits = QuarantineConfig { failures: u32::MAX, ..self.limits.quarantine };
        let name = format!("{}/{id} {}", library.library, library.version);
        let supervision = Arc::new(Supervision::new(*kind, name, limits));
        let origin =
            Origin { strategy: StrategyConfig::new(id), entry: None, limits: Some(limits) };
        let slot = Arc::new(slot(Made {
            instance: Kept::new(instance, Arc::clone(&supervision)),
            supervision: Arc::clone(&supervision),
            origin,
        }));
        let tested = self_test::sink(&slot, &supervision, self.patience, first);
        let tested = tested.map_err(|late| overdue(FIRST_CALLS, &late))?;
        Ok(Tried { tested: tested.map_err(TrialError::from), ended: self.end(slot) })
    }

    fn make<I: Send + 'static>(
        &self,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
    ) -> Result<I, TrialError> {
        let (library, id, config) = (self.library, self.plugin.id.clone(), self.config.to_owned());
        match in_time(self.limits.start_budget, move || create(&library, &id, &config)) {
            Ok(Ok(instance)) => Ok(instance),
            Ok(Err(CreateError::Refused(error))) => Err(TrialError::Refused(error)),
            Ok(Err(_)) => {
                Err(TrialError::Refused(PluginError::failed("the library does not know it")))
            }
            Err(no_answer) => Err(overdue("its constructor", &no_answer)),
        }
    }

    /// Drops it.
    fn end<T: Send + 'static>(&self, held: T) -> Result<(), TrialError> {
        let panics = in_time(self.patience, move || {
            let before = log::panics();
            drop(held);
            log::panics() - before
        });
        match panics {
            Ok(0) => Ok(()),
            Ok(_) => Err(TrialError::PanicsAtEnd),
            Err(late) => Err(overdue("its end", &late)),
        }
    }
}

fn overdue(step: &str, late: &NoAnswer) -> TrialError {
    TrialError::Overdue(format!("{step}: {late}"))
}
