//! Plugins that are part of this executable, for every host of the process: what a program says once, in
//! its first line, instead of at each place that makes a host.

use std::sync::{Mutex, PoisonError};

use skymesh_plugin_api::LinkedPlugin;

static LINKED: Mutex<Vec<LinkedPlugin>> = Mutex::new(Vec::new());

/// Every [`PluginHost`](crate::PluginHost) that is made from now on has these plugins, too, such as all of
/// `skymesh_stock::plugins()`. Where a library file offers the same plugin, the file is used, unless
/// `plugins.linked_only` says that none is taken.
///
/// For programs, before they start anything. A library of yours would decide for the whole process; it has
/// [`PluginHost::with_linked`](crate::PluginHost::with_linked).
pub fn link(plugins: impl IntoIterator<Item = LinkedPlugin>) {
    LINKED.lock().unwrap_or_else(PoisonError::into_inner).extend(plugins);
}

/// What was linked so far.
pub(crate) fn all() -> Vec<LinkedPlugin> {
    LINKED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
