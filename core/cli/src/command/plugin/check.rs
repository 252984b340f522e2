//! `skymesh plugin check`: one library through all steps up to a checked manifest.

use std::path::Path;

use skymesh::config::{LoadConfig, PluginsConfig};
use skymesh_plugin_host::{Manifest, PluginHost, PluginLoadError, PluginReport, inspect};

use crate::failure::{Failure, failed};
use crate::output::print;

pub(super) fn run(library: &str, config: PluginsConfig) -> Result<(), Failure> {
    let (reports, manifests, error) = if is_file(library) {
        let found = inspect(Path::new(library), &config);
        (found.reports, found.manifests, found.error)
    } else {
        by_name(library, config)
    };
    print(&text(library, &reports, &manifests, error.as_ref()))?;
    error.map_or(Ok(()), |error| Err(failed(error)))
}

/// What has a folder or a library's ending is a file; a library's name has neither.
fn is_file(library: &str) -> bool {
    library.contains(['/', '\\', '.']) || Path::new(library).is_file()
}

type Found = (Vec<PluginReport>, Vec<Manifest>, Option<PluginLoadError>);

fn by_name(library: &str, mut config: PluginsConfig) -> Found {
    // Entries that pin it keep doing so; nothing but this library has to be there.
    let pinned = |entry: &LoadConfig| entry.library.as_deref() == Some(library);
    config.load.retain(pinned);
    if config.load.is_empty() {
        config.load.push(LoadConfig { library: Some(library.to_owned()), ..LoadConfig::default() });
    }
    for entry in &mut config.load {
        entry.required = true;
    }
    let host = match PluginHost::new(config) {
        Ok(host) => host,
        Err(error) => return (Vec::new(), Vec::new(), Some(error)),
    };
    let reports: Vec<PluginReport> =
        host.report().into_iter().filter(|report| report.library == library).collect();
    let ids = reports.iter().filter_map(|report| report.id.as_ref());
    let manifests = ids.filter_map(|id| host.manifest(&format!("{library}/{id}")).ok()).collect();
    (reports, manifests, None)
}

fn text(
    library: &str,
    reports: &[PluginReport],
    manifests: &[Manifest],
    error: Option<&PluginLoadError>,
) -> String {
    let verdict = if error.is_none() { "ok" } else { "refused" };
    let mut lines = vec![format!("{library}: {verdict}")];
    if let Some(report) = reports.first() {
        let mut line = |name: &str, value: Option<String>| {
            lines.extend(value.map(|value| format!("  {name:<9} {value}")));
        };
        line("file", report.path.as_ref().map(|path| path.display().to_string()));
        line("sha256", report.sha256.map(|sha256| sha256.to_string()));
        line("api", report.api_version.clone());
        line("state", Some(report.state.to_string()));
    }
    if let Some(Manifest { library, .. }) = manifests.first() {
        lines.push(format!("  library   {} {}", library.library, library.version));
        lines.push(format!("  built     {}, {}", library.profile, library.rustc));
    }
    for manifest in manifests {
        let Manifest { kind, id, description, .. } = manifest;
        lines.push(format!("  {:<9} {id}: {description}", kind.to_string()));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
