//! `skymesh plugin pin`: the contents of all libraries that a configuration uses, as the entries that
//! pin them. Whoever runs it vouches for the files as they are now.

use std::fs;
use std::path::Path;

use clap::Args;
use semver::{Version, VersionReq};
use skymesh::Config;
use skymesh::config::StrategyConfig;
use skymesh_plugin_host::{PluginHost, PluginReport};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::command::{load, sinks};
use crate::failure::{Failure, failed};
use crate::output::print;

/// Arguments of `skymesh plugin pin`.
#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// The configuration file whose plugins are meant; the entries are printed
    #[arg(long = "config", value_name = "FILE", required_unless_present = "write")]
    path: Option<std::path::PathBuf>,
    /// The same, and the entries are written into it
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    write: Option<std::path::PathBuf>,
    /// More plugins, by id or library/id, that the configuration does not name
    #[arg(value_name = "PLUGIN")]
    more: Vec<String>,
}

/// A library file to pin.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Library {
    name: String,
    version: Version,
    sha256: String,
}

impl Pin {
    pub(super) fn run(self) -> Result<(), Failure> {
        let path = self.write.as_deref().or(self.path.as_deref());
        let libraries = used(load(path)?, &self.more)?;
        match &self.write {
            None => print(&pinned(DocumentMut::new(), &libraries)?.to_string()),
            Some(path) => {
                write(path, &libraries)?;
                let libraries = match libraries.len() {
                    1 => "1 library".to_owned(),
                    count => format!("{count} libraries"),
                };
                print(&format!("{}: {libraries} pinned\n", path.display()))
            }
        }
    }
}

/// Loads all that the configuration uses, whatever it pins now.
fn used(mut config: Config, more: &[String]) -> Result<Vec<Library>, Failure> {
    config.plugins.require_pins = false;
    for declared in &mut config.plugins.load {
        declared.sha256 = None;
    }
    let sinks = sinks(&config);
    let host = PluginHost::new(config.plugins).map_err(failed)?;
    let required = |one: &StrategyConfig| StrategyConfig { required: true, ..one.clone() };
    for service in config.services.0.values() {
        if let Some(strategy) = &service.selector {
            host.selector(&required(strategy)).map_err(failed)?;
        }
        if let Some(strategy) = &service.codec {
            host.codec(&required(strategy)).map_err(failed)?;
        }
        if let Some(strategy) = &service.election {
            host.election(&required(strategy)).map_err(failed)?;
        }
    }
    for (kind, strategy) in sinks {
        host.find(kind, &strategy).map_err(failed)?;
    }
    for name in more {
        host.manifest(name).map_err(failed)?;
    }
    let library = |row: PluginReport| {
        let version = row.version?.parse().ok()?;
        Some(Library { name: row.library, version, sha256: row.sha256?.to_string() })
    };
    let mut libraries: Vec<Library> = host.report().into_iter().filter_map(library).collect();
    libraries.sort();
    libraries.dedup();
    Ok(libraries)
}

/// Exchanges the file as a whole: who reads it meanwhile sees the old one or the new one.
fn write(path: &Path, libraries: &[Library]) -> Result<(), Failure> {
    let text = fs::read_to_string(path).map_err(failed)?;
    let document: DocumentMut = text.parse().map_err(failed)?;
    let text = pinned(document, libraries)?.to_string();
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    fs::write(&unfinished, text).map_err(failed)?;
    let kept = path.metadata().map_err(failed)?.permissions();
    fs::set_permissions(&unfinished, kept).map_err(failed)?;
    fs::rename(&unfinished, path).map_err(failed)
}

/// The document with an entry for each library; entries that are there keep what else they say.
fn pinned(mut document: DocumentMut, libraries: &[Library]) -> Result<DocumentMut, Failure> {
    let plugins = document.entry("plugins").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let no_list = || failed("plugins.load is no list of [[plugins.load]] tables; write it as such");
    let plugins = plugins.as_table_mut().ok_or_else(no_list)?;
    let entries = plugins.entry("load").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let entries = entries.as_array_of_tables_mut().ok_or_else(no_list)?;
    for library in libraries {
        let several = libraries.iter().filter(|one| one.name == library.name).count() > 1;
        let known = entries.iter().position(|entry| means(entry, library));
        let at = known.unwrap_or_else(|| {
            let mut entry = Table::new();
            entry["library"] = value(&library.name);
            if several {
                entry["version"] = value(format!("={}", library.version));
            }
            entries.push(entry);
            entries.len() - 1
        });
        let entry = entries.get_mut(at).ok_or_else(no_list)?;
        entry["sha256"] = value(&library.sha256);
    }
    Ok(document)
}

/// Whether an entry is about that library, at that version.
fn means(entry: &Table, library: &Library) -> bool {
    let text = |key: &str| entry.get(key).and_then(Item::as_str);
    let stem = text("path").and_then(|path| Path::new(path).file_stem()?.to_str());
    let of_path = stem.and_then(|stem| stem.strip_prefix(std::env::consts::DLL_PREFIX));
    let of_path = of_path.map(|stem| stem.split('-').next().unwrap_or(stem));
    let named = text("library").or(of_path) == Some(&library.name);
    let required = text("version").and_then(|text| VersionReq::parse(text).ok());
    named && required.is_none_or(|required| required.matches(&library.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, version: &str, sha256: &str) -> Library {
        Library { name: name.into(), version: version.parse().unwrap(), sha256: sha256.into() }
    }

    #[test]
    fn entries_keep_what_they_say_and_new_ones_are_added() {
        let text = "# mine\n[agent]\napp = \"x\" # kept\n\n[[plugins.load]]\n\
                    path = \"/opt/liba_b-1.0.0.so\"\nsha256 = \"old\"\nrequired = false\n";
        let libraries = [library("a_b", "1.0.0", "new"), library("c", "1.2.3", "more")];
        let document = pinned(text.parse().unwrap(), &libraries).unwrap().to_string();
        let expected =
            text.replace("old", "new") + "\n[[plugins.load]]\nlibrary = \"c\"\nsha256 = \"more\"\n";
        assert_eq!(document, expected);
    }

    #[test]
    fn versions_of_one_library_have_entries_of_their_own() {
        let libraries = [library("a", "1.0.0", "one"), library("a", "2.0.0", "two")];
        let document = pinned(DocumentMut::new(), &libraries).unwrap();
        let again = pinned(document.clone(), &libraries).unwrap().to_string();
        assert_eq!(document.to_string(), again, "nothing is added twice");
        assert!(again.contains("version = \"=1.0.0\"\nsha256 = \"one\""), "{again}");
        assert!(again.contains("version = \"=2.0.0\"\nsha256 = \"two\""), "{again}");
        let inline: DocumentMut = "plugins.load = []".parse().unwrap();
        assert!(pinned(inline, &libraries).is_err());
    }
}
