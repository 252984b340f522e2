//! What has become of the plugins of a host, as metrics show it.

use skymesh_plugin_host::PluginHost;

use crate::catalogue::PLUGIN_STATE;
use crate::samples::{Samples, Source};

impl Source for PluginHost {
    fn collect(&self, samples: &mut Samples) {
        for plugin in self.report() {
            let kind = plugin.kind.map(|kind| kind.to_string()).unwrap_or_default();
            let labels = [
                ("library", plugin.library.as_str()),
                ("id", plugin.id.as_deref().unwrap_or_default()),
                ("kind", &kind),
                ("version", plugin.version.as_deref().unwrap_or_default()),
                ("state", plugin.state.as_str()),
            ];
            samples.gauge(&PLUGIN_STATE, &labels, 1.0);
        }
    }
}
