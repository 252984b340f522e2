//! One plugin of a library, made and asked as a host would before it lets it serve: for tools. The
//! authors' conformance suites ask more; this is what would be refused.

use std::time::Duration;

use skymesh_plugin_api::abi::host::{CreateError, Library};
use skymesh_plugin_api::{Manifest, PluginError, PluginKind};

use crate::config::PluginsConfig;
use crate::patience::in_time;
use crate::{log, self_test};

/// Why a plugin would not be let in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// It has no plugin of that name, or that refuses the configuration, or can't work here.
    #[error("{0}")]
    Refused(PluginError),
    /// It does not come back in time: its constructor within `plugins.start_budget`, or those calls
    /// within 5 s.
    #[error("{0}")]
    Overdue(String),
    /// It fails the first calls that a reload makes.
    #[error("{0}")]
    Failed(String),
    /// It panics when it is dropped.
    #[error("it panics when it is dropped")]
    PanicsAtEnd,
}

/// Makes the plugin with a configuration, a JSON object, makes the first calls that a reload makes, and
/// drops it, all by the limits of `limits`. Sinks are made and dropped only; that opens their ports and
/// files.
///
/// # Errors
/// [`TrialError`].
pub fn try_out(
    library: Library,
    plugin: &Manifest,
    config: &str,
    limits: &PluginsConfig,
) -> Result<(), TrialError> {
    let budgets = limits.quarantine;
    let trial = Trial { library, id: &plugin.id, config, patience: limits.start_budget };
    match plugin.kind {
        PluginKind::Selector => {
            trial.hold(Library::selector, move |one| self_test::selector(one, budgets.pick_budget))
        }
        PluginKind::Codec => {
            trial.hold(Library::codec, move |one| self_test::codec(one, budgets.codec_budget))
        }
        PluginKind::Election => trial
            .hold(Library::election, move |one| self_test::election(one, budgets.election_budget)),
        PluginKind::Metrics => trial.hold(Library::metrics, |_| Ok(())),
        PluginKind::Trace => trial.hold(Library::trace, |_| Ok(())),
    }
}

struct Trial<'a> {
    library: Library,
    id: &'a str,
    config: &'a str,
    patience: Duration,
}

impl Trial<'_> {
    fn hold<I: Send + 'static>(
        self,
        create: fn(&Library, &str, &str) -> Result<I, CreateError>,
        test: impl FnOnce(&I) -> Result<(), String> + Send + 'static,
    ) -> Result<(), TrialError> {
        let Self { library, id, config, patience } = self;
        let (id, config) = (id.to_owned(), config.to_owned());
        let instance = match in_time(patience, move || create(&library, &id, &config)) {
            Ok(Ok(instance)) => instance,
            Ok(Err(CreateError::Refused(error))) => return Err(TrialError::Refused(error)),
            Ok(Err(_)) => {
                let error = PluginError::failed("the library does not know it");
                return Err(TrialError::Refused(error));
            }
            Err(no_answer) => {
                return Err(TrialError::Overdue(format!("its constructor: {no_answer}")));
            }
        };
        let asked = in_time(self_test::PATIENCE, move || {
            test(&instance)?;
            let before = log::panics();
            drop(instance);
            Ok(log::panics() != before)
        });
        match asked {
            Ok(Ok(false)) => Ok(()),
            Ok(Ok(true)) => Err(TrialError::PanicsAtEnd),
            Ok(Err(how)) => Err(TrialError::Failed(how)),
            Err(no_answer) => {
                Err(TrialError::Overdue(format!("the self-test of a reload: {no_answer}")))
            }
        }
    }
}
