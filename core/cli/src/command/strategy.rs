//! Naming a plugin on the command line: a library file or a name in the searched folders, with a
//! configuration if it is to have one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Map, Value};
use skymesh::config::{LoadConfig, PluginsConfig, StrategyConfig};
use skymesh_plugin_host::{LibraryManifest, PluginHost, PluginKind, inspect};

use crate::failure::{Failure, failed};

/// The selector that needs no plugin.
pub(super) const BUILTIN: &str = "builtin";

/// A strategy's configuration, as plugins are given it.
pub(super) type Table = Map<String, Value>;

/// What a user names: `FILE`, `ID` or `LIBRARY/ID`, and then maybe `{ key = value }` in TOML.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    place: Place,
    config: Table,
    /// The configuration as it was written.
    written: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    File(PathBuf),
    Name(String),
}

/// One plugin that was named, ready to be made.
#[derive(Debug)]
pub(super) struct Chosen {
    /// For tables.
    pub(super) label: String,
    pub(super) kind: PluginKind,
    pub(super) host: PluginHost,
    pub(super) strategy: StrategyConfig,
    /// `None` of the built-in selector.
    pub(super) library: Option<LibraryManifest>,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, config) = configured(text)?;
        let written = &text[text.find('{').unwrap_or(text.len())..];
        if name.is_empty() {
            return Err("name a library file or a plugin before `{`".to_owned());
        }
        let is_file = name.ends_with(std::env::consts::DLL_SUFFIX) || Path::new(name).is_file();
        let place = if is_file { Place::File(name.into()) } else { Place::Name(name.to_owned()) };
        Ok(Self { place, config: config.unwrap_or_default(), written: written.to_owned() })
    }
}

/// What stands before the configuration, and that, if there is one.
///
/// # Errors
/// If the configuration is no inline table.
pub(super) fn configured(text: &str) -> Result<(&str, Option<Table>), String> {
    match text.find('{') {
        Some(at) => Ok((text[..at].trim(), Some(table(&text[at..])?))),
        None => Ok((text.trim(), None)),
    }
}

/// An inline table of TOML as the JSON that plugins are given.
fn table(written: &str) -> Result<Table, String> {
    let wrapped: toml::Table = toml::from_str(&format!("config = {written}"))
        .map_err(|error| format!("`{written}` is no inline table of TOML: {}", error.message()))?;
    match serde_json::to_value(&wrapped["config"]) {
        Ok(Value::Object(config)) => Ok(config),
        _ => Err(format!("`{written}` is no inline table of TOML")),
    }
}

impl Named {
    /// The plugins of these kinds that it means: of a file all, or the one of `id`. Each has a host of
    /// its own, so two versions of one library can stand side by side.
    ///
    /// # Errors
    /// Why a library is refused, or what it has instead.
    pub(super) fn choose(
        &self,
        kinds: &[PluginKind],
        id: Option<&str>,
        config: &PluginsConfig,
    ) -> Result<Vec<Chosen>, Failure> {
        match &self.place {
            Place::File(path) => self.of_file(path, kinds, id, config),
            Place::Name(name) => self.of_name(name, kinds, config).map(|one| vec![one]),
        }
    }

    fn of_file(
        &self,
        path: &Path,
        kinds: &[PluginKind],
        id: Option<&str>,
        config: &PluginsConfig,
    ) -> Result<Vec<Chosen>, Failure> {
        let path = std::path::absolute(path).map_err(failed)?;
        let inspection = inspect(&path, config);
        if let Some(error) = inspection.error {
            return Err(failed(error));
        }
        let wanted = inspection
            .manifests
            .iter()
            .filter(|one| kinds.contains(&one.kind) && id.is_none_or(|id| id == one.id));
        let chosen = wanted.map(|manifest| {
            let load = vec![LoadConfig { path: Some(path.clone()), ..LoadConfig::default() }];
            let host = PluginHost::new(PluginsConfig { load, ..config.clone() }).map_err(failed)?;
            let name = format!("{}/{}", manifest.library.library, manifest.id);
            Ok(Chosen {
                label: format!("{}{}", manifest.id, self.written),
                kind: manifest.kind,
                host,
                strategy: self.strategy(&name),
                library: Some(manifest.library.clone()),
            })
        });
        let chosen: Vec<Chosen> = chosen.collect::<Result<_, Failure>>()?;
        if chosen.is_empty() {
            let of_id = id.map_or_else(String::new, |id| format!(" `{id}`"));
            let kinds = listed(kinds);
            return Err(failed(format!("{}: it has no {kinds}{of_id}", path.display())));
        }
        Ok(chosen)
    }

    fn of_name(
        &self,
        name: &str,
        kinds: &[PluginKind],
        config: &PluginsConfig,
    ) -> Result<Chosen, Failure> {
        let host = PluginHost::new(config.clone()).map_err(failed)?;
        let strategy = self.strategy(name);
        let label = format!("{}{}", strategy.id(), self.written);
        if name == BUILTIN {
            return Ok(Chosen { label, kind: PluginKind::Selector, host, strategy, library: None });
        }
        let manifest = host.manifest(name).map_err(failed)?;
        if !kinds.contains(&manifest.kind) {
            let (is, kinds) = (manifest.kind, listed(kinds));
            return Err(failed(format!("`{name}` is of the kind {is}; this is for {kinds}")));
        }
        let library = Some(manifest.library);
        Ok(Chosen { label, kind: manifest.kind, host, strategy, library })
    }

    fn strategy(&self, name: &str) -> StrategyConfig {
        StrategyConfig { config: self.config.clone(), ..StrategyConfig::new(name) }
    }
}

fn listed(kinds: &[PluginKind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_files_and_configurations_are_told_apart() {
        let named = |text: &str| text.parse::<Named>().unwrap();
        assert_eq!(named("quality").place, Place::Name("quality".to_owned()));
        assert_eq!(named("lib_a/b").place, Place::Name("lib_a/b".to_owned()));
        let file = format!("a/libb{}", std::env::consts::DLL_SUFFIX);
        assert_eq!(named(&file).place, Place::File(file.into()));
        let configured = named("quality{ sharpness = 4, name = 'x' }");
        assert_eq!(configured.place, Place::Name("quality".to_owned()));
        assert_eq!(
            (&configured.config["sharpness"], &configured.config["name"]),
            (&4.into(), &"x".into())
        );
        for wrong in ["", "{a = 1}", "a{", "a{b}", "a{b = 1} c"] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }
}
