//! `skymesh plugin check`: one library through all steps up to a checked manifest, and each plugin in
//! it through its making, the first calls of a reload, and the conformance suite of its kind. It goes on
//! where it can, to tell everything at once; but a library found by name that its pin keeps out, and any
//! file that its signature keeps out, is never opened.

mod contract;
mod heard;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use skymesh::config::{LoadConfig, PluginsConfig};
use skymesh_plugin_host::{
    API_VERSION, Inspection, Manifest, PluginHost, PluginLoadError, PluginReport, inspect,
};

use crate::command::ConfigFile;
use crate::command::strategy::{Table, configured};
use crate::failure::{Failure, failed};
use crate::output::print;
use contract::Trial;
use heard::Heard;

/// What is known of a library, and what is wrong with it.
#[derive(Default)]
struct Findings {
    reports: Vec<PluginReport>,
    /// Each plugin, and how it did.
    plugins: Vec<(Manifest, Trial)>,
    /// Why it would not be loaded.
    refusals: Vec<String>,
    /// What else is wrong with it.
    faults: Vec<String>,
    /// Why it can't be tried by the configuration that came with the command.
    unfit: Vec<String>,
    /// What the plugins said.
    said: Vec<String>,
}

/// What is checked, and how.
#[derive(Debug, Args)]
#[command(
    after_help = "Plugins are made, metrics and trace sinks too: their ports and files are opened \
    for a moment, and they get an empty batch, which must not take longer than batch_budget, and those of a test.\n\
    A library found by name that its pin keeps out, and any file that its signature keeps out, is not \
    opened, for its code would run: what is in it is told once that is in order. The pins of a FILE are not \
    looked at.\n\
    Exit code 0: nothing would be refused. 1: something would, each reason is a line on standard error;\n\
    `not tried` says that the configuration is to blame, or what is taken here, and not the plugin."
)]
pub(in crate::command) struct Check {
    /// A library file, or the name of a library or the id of a plugin in the searched folders; a
    /// configuration to try its plugins with may follow: 'FILE{ key = value }'
    #[arg(value_name = "FILE|LIBRARY|ID")]
    library: String,
    /// Only the plugins of this id, of a library that has several
    #[arg(long)]
    id: Option<String>,
    /// How long the conformance suite of one plugin may take, and the first calls before it; those at most
    /// 5s, as a reload waits for them
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = humantime::parse_duration)]
    patience: Duration,
    #[command(flatten)]
    file: ConfigFile,
}

/// How plugins are tried.
struct Manner<'a> {
    config: PluginsConfig,
    table: Option<&'a Table>,
    id: Option<&'a str>,
    patience: Duration,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (library, table) = configured(&self.library).map_err(failed)?;
        let (id, patience) = (self.id.as_deref(), self.patience);
        let mut manner =
            Manner { config: self.file.load()?.plugins, table: table.as_ref(), id, patience };
        let heard = Heard::listen()?;
        let mut findings = Findings::default();
        if is_file(library) {
            findings.look_at(Path::new(library), &mut manner);
        } else {
            let mut found = by_name(library, manner.config.clone());
            if matches!(found, Err(PluginLoadError::LibraryNotFound { .. }))
                && let Some(of_id) = by_id(library, &manner.config)
            {
                manner.id = manner.id.or(Some(library));
                found = by_name(&of_id, manner.config.clone());
            }
            match found {
                Ok(path) => findings.look_at_trusted(&path, &mut manner),
                Err(error) => findings.refusals.push(error.to_string()),
            }
        }
        findings.said = heard.lines();
        print(&findings.text(library))?;
        let wrong = [findings.refusals, findings.faults, findings.unfit].concat();
        if wrong.is_empty() { Ok(()) } else { Err(Failure::of(wrong)) }
    }
}

/// What has a folder or a library's ending is a file; a library's name has neither.
fn is_file(library: &str) -> bool {
    library.contains(['/', '\\', '.']) || Path::new(library).is_file()
}

/// The library that lies in the folders under the name of a plugin of that id, if there is one only.
/// Opens none.
fn by_id(id: &str, config: &PluginsConfig) -> Option<String> {
    let host = PluginHost::new(PluginsConfig { load: Vec::new(), ..config.clone() }).ok()?;
    let mut of_id = host.conventional().into_iter().filter_map(|name| {
        let (library, its) = name.split_once('/')?;
        (its == id).then(|| library.to_owned())
    });
    of_id.next().filter(|_| of_id.next().is_none())
}

/// The file that a library's name leads to, which the configuration takes.
fn by_name(library: &str, mut config: PluginsConfig) -> Result<PathBuf, PluginLoadError> {
    // Entries that pin it keep doing so; nothing but this library has to be there.
    let pinned = |entry: &LoadConfig| entry.library.as_deref() == Some(library);
    config.load.retain(pinned);
    if config.load.is_empty() {
        config.load.push(LoadConfig { library: Some(library.to_owned()), ..LoadConfig::default() });
    }
    for entry in &mut config.load {
        entry.required = true;
    }
    let host = PluginHost::new(config)?;
    let mut reports = host.report().into_iter().filter(|report| report.library == library);
    Ok(reports.find_map(|report| report.path).unwrap_or_default())
}

impl Findings {
    fn look_at(&mut self, path: &Path, manner: &mut Manner<'_>) {
        let inspection = inspect(path, &manner.config);
        match &inspection.error {
            // Where it lies says nothing of what is in it.
            Some(error @ PluginLoadError::Insecure { .. }) => {
                self.refusals.push(error.to_string());
                self.look_at_trusted(path, manner);
                self.reports = inspection.reports;
            }
            _ => self.take(inspection, manner),
        }
    }

    fn look_at_trusted(&mut self, path: &Path, manner: &mut Manner<'_>) {
        manner.config.allow_insecure_dirs = true;
        self.take(inspect(path, &manner.config), manner);
    }

    fn take(&mut self, inspection: Inspection, manner: &Manner<'_>) {
        let Inspection { reports, manifests, library, error, .. } = inspection;
        self.refusals.extend(error.map(|error| error.to_string()));
        self.reports = reports;
        let Some(library) = library else { return };
        if manifests.is_empty() {
            let remedy = "it offers no plugin; name yours in export_plugin!";
            self.faults.push(remedy.to_owned());
        }
        let of_id = |manifest: &Manifest| manner.id.is_none_or(|id| id == manifest.id);
        if let Some(id) = manner.id.filter(|_| !manifests.iter().any(of_id)) {
            let all: Vec<&str> = manifests.iter().map(|one| one.id.as_str()).collect();
            self.faults.push(format!("it has no plugin `{id}`; it has {}", all.join(", ")));
        }
        let mut ids = BTreeSet::new();
        for manifest in manifests.into_iter().filter(of_id) {
            let (kind, id) = (manifest.kind, &manifest.id);
            if !ids.insert((kind, id.clone())) {
                self.faults.push(format!(
                    "it has two {kind} plugins of the id `{id}`, and only the first can be used; rename one"
                ));
                continue;
            }
            let trial = contract::tried(library, &manifest, manner);
            match &trial {
                Trial::Broken(how) => {
                    self.faults.extend(how.iter().map(|how| format!("{kind} {how}")));
                }
                Trial::Unfit(why) => self.unfit.push(format!("{kind} {why}")),
                Trial::Kept | Trial::Untried(_) => {}
            }
            self.plugins.push((manifest, trial));
        }
    }

    fn text(&self, library: &str) -> String {
        let verdict =
            [(&self.refusals, "refused"), (&self.faults, "faulty"), (&self.unfit, "not tried")];
        let verdict = verdict.into_iter().find(|(why, _)| !why.is_empty());
        let verdict = verdict.map_or("ok", |(_, verdict)| verdict);
        let mut lines = vec![format!("{library}: {verdict}")];
        if let Some(report) = self.reports.first() {
            let mut line = |name: &str, value: Option<String>| {
                lines.extend(value.map(|value| format!("  {name:<9} {value}")));
            };
            line("file", report.path.as_ref().map(|path| path.display().to_string()));
            line("sha256", report.sha256.map(|sha256| sha256.to_string()));
            line("api", report.api_version.as_deref().map(api));
            line("state", Some(report.state.to_string()));
        }
        if let Some((Manifest { library, .. }, _)) = self.plugins.first() {
            lines.push(format!("  library   {} {}", library.library, library.version));
            let slow =
                if library.profile == "debug" { ": slow; cargo build --release" } else { "" };
            lines.push(format!("  built     {}, {}{slow}", library.profile, library.rustc));
        }
        for (Manifest { kind, id, description, .. }, trial) in &self.plugins {
            lines.push(format!("  {:<9} {id}: {description}", kind.to_string()));
            lines.push(format!("            {trial}"));
        }
        lines.extend(self.said.iter().map(|said| format!("  said      {said}")));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// The version that a plugin was built with, beside this host's where they differ.
fn api(version: &str) -> String {
    if version == API_VERSION {
        return version.to_owned();
    }
    format!("{version}, this host has {API_VERSION}: what only one of them knows is not used")
}
