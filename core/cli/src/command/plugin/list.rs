//! `skymesh plugin list`: what the configuration names, and what lies in the searched folders.

use skymesh::Config;
use skymesh::config::StrategyConfig;
use skymesh_plugin_host::{PluginHost, PluginKind, PluginLoadError, PluginReport, PluginState};

use super::short;
use crate::command::sinks;
use crate::failure::{Failure, failed};
use crate::output::{print, print_json};
use crate::table::Table;

/// How the list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    Json,
}

impl From<bool> for Form {
    fn from(json: bool) -> Self {
        if json { Self::Json } else { Self::Table }
    }
}

pub(super) fn run(mut config: Config, form: Form) -> Result<(), Failure> {
    // A list tells of what failed; it does not end there.
    for declared in &mut config.plugins.load {
        declared.required = false;
    }
    let sinks = sinks(&config);
    let host = PluginHost::new(config.plugins).map_err(failed)?;
    // The host notes for its report what becomes of each: refusals are rows, not errors. Slots are
    // kept, for a plugin is active only while somebody uses it.
    let services = || config.services.0.values();
    let selectors = services().filter_map(|service| service.selector.as_ref());
    let selectors: Vec<_> = selectors.map(|one| (one, host.selector(&required(one)))).collect();
    let codecs = services().filter_map(|service| service.codec.as_ref());
    let codecs: Vec<_> = codecs.map(|one| (one, host.codec(&required(one)))).collect();
    let elections = services().filter_map(|service| service.election.as_ref());
    let elections: Vec<_> = elections.map(|one| (one, host.election(&required(one)))).collect();
    let sinks: Vec<_> = sinks.map(|(kind, one)| (kind, host.find(kind, &one), one)).collect();
    // One that can't be loaded has its row, too; what is refused for its name alone gets one here.
    let mut misnamed = Vec::new();
    for name in host.conventional() {
        let error = host.manifest(&name).err();
        misnamed.extend(error.map(|error| (StrategyConfig::new(&name), error)));
    }
    let mut reports = host.report();
    for (strategy, error) in &misnamed {
        let told = reports.iter().any(|report| Some(report.library.as_str()) == strategy.library());
        if !told {
            reports.push(row(None, strategy, error.to_string()));
        }
    }
    for (strategy, made) in &selectors {
        note(&mut reports, PluginKind::Selector, strategy, made.as_ref().err());
    }
    for (strategy, made) in &codecs {
        note(&mut reports, PluginKind::Codec, strategy, made.as_ref().err());
    }
    for (strategy, made) in &elections {
        note(&mut reports, PluginKind::Election, strategy, made.as_ref().err());
    }
    for (kind, there, strategy) in &sinks {
        note(&mut reports, *kind, strategy, there.as_ref().err());
    }
    match form {
        Form::Json => print_json(&reports),
        Form::Table => print(&table(&reports)),
    }
}

/// As the configuration has it, but not left out in silence.
fn required(strategy: &StrategyConfig) -> StrategyConfig {
    StrategyConfig { required: true, ..strategy.clone() }
}

/// Adds a row for a strategy that can't be had, unless one says why already.
fn note(
    reports: &mut Vec<PluginReport>,
    kind: PluginKind,
    strategy: &StrategyConfig,
    error: Option<&PluginLoadError>,
) {
    let Some(reason) = error.map(ToString::to_string) else { return };
    if reports.iter().any(|report| report.reason.as_ref() == Some(&reason)) {
        return;
    }
    reports.push(row(Some(kind), strategy, reason));
}

/// What is known of a strategy that no library was found for.
fn row(kind: Option<PluginKind>, strategy: &StrategyConfig, reason: String) -> PluginReport {
    PluginReport {
        library: strategy.library().unwrap_or_default().to_owned(),
        id: Some(strategy.id().to_owned()),
        kind,
        version: None,
        path: None,
        sha256: None,
        state: PluginState::Declared,
        reason: Some(reason),
        api_version: None,
    }
}

/// How far it came is only half of it where it came no further.
fn state(report: &PluginReport) -> String {
    use PluginState::{Checked, Copied, Created, Declared, Found, Opened, Pinned};
    match report.state {
        state @ (Declared | Found | Pinned | Copied | Opened | Checked | Created)
            if report.failed() =>
        {
            format!("refused ({state})")
        }
        state => state.to_string(),
    }
}

pub(super) fn table(reports: &[PluginReport]) -> String {
    if reports.is_empty() {
        return "no plugins; build some, or name their folder in plugins.dirs\n".to_owned();
    }
    let mut table =
        Table::new(["ID", "KIND", "VERSION", "LIBRARY", "FILE", "SHA256", "STATE", "REASON"]);
    for report in reports {
        let path = report.path.as_ref();
        table.row([
            report.id.clone().unwrap_or_default(),
            report.kind.map(|kind| kind.to_string()).unwrap_or_default(),
            report.version.clone().unwrap_or_default(),
            report.library.clone(),
            path.map(|path| path.display().to_string()).unwrap_or_default(),
            short(report.sha256),
            state(report),
            report.reason.clone().unwrap_or_default(),
        ]);
    }
    table.text()
}
