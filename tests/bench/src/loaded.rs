//! A stock selector in its shared library, twice over the same members and their statistics: bare, and
//! supervised by a host.

use std::sync::Arc;

use skymesh_plugin_api::abi::host::PreparedSelector;
use skymesh_plugin_api::{Member, Roster};
use skymesh_plugin_host::{PluginHost, PluginsConfig, Prepared, StrategyConfig, inspect};

/// See the module.
pub(crate) struct Loaded {
    pub(crate) bare: PreparedSelector,
    pub(crate) supervised: Prepared,
}

impl Loaded {
    /// # Errors
    /// If the selector can't be had.
    pub(crate) fn new(selector: &str, members: &[Member]) -> Result<Self, String> {
        let config = PluginsConfig::default();
        let host = PluginHost::new(config.clone()).map_err(|error| error.to_string())?;
        let slot =
            host.selector(&StrategyConfig::new(selector)).map_err(|error| error.to_string())?;
        let supervised = slot.prepare(members.to_vec());
        // The same content is the same mapped library, so its function pointers are the same.
        let path = host.report().into_iter().find_map(|row| row.path).ok_or("no library file")?;
        let library = inspect(&path, &config).library.ok_or("the library is refused")?;
        let instance = library.selector(selector, "{}").map_err(|error| format!("{error:?}"))?;
        let bare = instance.prepare(Arc::new(Roster::new(members.to_vec())));
        Ok(Self { bare: bare.map_err(|error| error.to_string())?, supervised })
    }
}
