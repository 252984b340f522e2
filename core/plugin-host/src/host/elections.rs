//! Election algorithms: what the nameserver asks the host for.

use skymesh_plugin_api::PluginKind;
use skymesh_plugin_api::abi::host::{ElectionInstance, Library};

use super::{BUILTIN, Made, PluginHost, Shelf};
use crate::config::StrategyConfig;
use crate::election_slot::ElectionSlot;
use crate::error::PluginLoadError;

impl PluginHost {
    /// Makes the election algorithm that the configuration names.
    ///
    /// # Errors
    /// As [`selector`](Self::selector): with the built-in rule in the place of the built-in selector.
    pub fn election(&self, strategy: &StrategyConfig) -> Result<ElectionSlot, PluginLoadError> {
        if strategy.plugin == BUILTIN {
            return Ok(ElectionSlot::builtin());
        }
        match self.make_election(&self.shelf.load(), strategy) {
            Ok(made) => Ok(ElectionSlot::plugin(made)),
            Err(error) if strategy.required => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the built-in rule serves instead of an optional election");
                Ok(ElectionSlot::missing(strategy, error.to_string()))
            }
        }
    }

    /// Makes the election algorithm that the configuration names and puts it into `slot`, for all who
    /// share it.
    ///
    /// # Errors
    /// [`PluginLoadError`], whether it is `required` or not; the slot is as it was.
    pub fn exchange_election(
        &self,
        slot: &ElectionSlot,
        strategy: &StrategyConfig,
    ) -> Result<(), PluginLoadError> {
        if strategy.plugin == BUILTIN {
            slot.use_builtin();
            return Ok(());
        }
        slot.exchange(self.make_election(&self.shelf.load(), strategy)?);
        Ok(())
    }

    pub(crate) fn make_election(
        &self,
        shelf: &Shelf,
        strategy: &StrategyConfig,
    ) -> Result<Made<ElectionInstance>, PluginLoadError> {
        self.make_on(shelf, PluginKind::Election, strategy, Library::election)
    }
}
