//! `skymesh plugin new`: a crate that builds, passes its conformance test and loads as it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use skymesh_plugin_host::{API_VERSION, PluginKind};

use crate::failure::{Failure, failed};
use crate::output::print;

const MANIFEST: &str = include_str!("../../../templates/Cargo.toml.txt");

/// The package that a plugin is written against.
const API_PACKAGE: &str = "skymesh-plugin-api";
/// Where it lies in a checkout of skymesh.
const API_FOLDER: &str = "plugin-api";

/// Types that templates import or that are words of the language.
const TAKEN_TYPES: &[&str] = &[
    "Self",
    "View",
    "Request",
    "Selector",
    "Codec",
    "CodecError",
    "Envelope",
    "NoConfig",
    "Output",
    "Scratch",
    "Election",
    "Ballot",
    "Metrics",
    "MetricsBatch",
    "SampleValue",
    "Trace",
    "TraceBatch",
    "PluginError",
    "Deserialize",
    "Option",
    "Some",
    "None",
    "Result",
    "Ok",
    "Err",
    "Vec",
    "String",
    "Member",
    "Roster",
];

/// What is made, and where.
#[derive(Debug, Args)]
pub(in crate::command) struct New {
    /// What kind of strategy
    kind: Kind,
    /// Its id in configurations, of a-z, 0-9 and _
    #[arg(value_parser = id)]
    id: String,
    /// The crate's folder, absent or empty; by default the id below this folder
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The folder of skymesh-plugin-api to build against; by default that of the checkout of skymesh
    /// that this folder lies in or this program was built in, and else the published crate
    #[arg(long, value_name = "DIR")]
    api_path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Picks an instance for each message
    Selector,
    /// Turns messages into bytes and back
    Codec,
    /// Picks a leader among candidates
    Election,
    /// Receives counters, gauges and histograms
    Metrics,
    /// Receives finished spans
    Trace,
}

impl Kind {
    fn plugin_kind(self) -> PluginKind {
        match self {
            Self::Selector => PluginKind::Selector,
            Self::Codec => PluginKind::Codec,
            Self::Election => PluginKind::Election,
            Self::Metrics => PluginKind::Metrics,
            Self::Trace => PluginKind::Trace,
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Selector => include_str!("../../../templates/selector.rs.txt"),
            Self::Codec => include_str!("../../../templates/codec.rs.txt"),
            Self::Election => include_str!("../../../templates/election.rs.txt"),
            Self::Metrics => include_str!("../../../templates/metrics.rs.txt"),
            Self::Trace => include_str!("../../../templates/trace.rs.txt"),
        }
    }
}

/// Where the crate takes skymesh-plugin-api from.
#[derive(Debug, PartialEq)]
enum Api {
    Published,
    At(PathBuf),
}

/// # Errors
/// What is wrong with the name, for clap.
fn id(text: &str) -> Result<String, String> {
    let of_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if begins && text.bytes().all(of_word) && !text.ends_with('_') {
        return Ok(text.to_owned());
    }
    Err("an id begins with a letter and is of a-z, 0-9 and _, such as my_router".to_owned())
}

impl New {
    pub(super) fn run(self) -> Result<(), Failure> {
        let folder = self.path.clone().unwrap_or_else(|| PathBuf::from(&self.id));
        let absolute = std::path::absolute(&folder).map_err(failed)?;
        let api = match &self.api_path {
            Some(path) => Api::at(path)?,
            None => Api::detect(&absolute),
        };
        check_vacant(&folder)?;
        let written = |file: &str, text: &str| {
            let path = folder.join(file);
            let made = path.parent().map_or(Ok(()), fs::create_dir_all);
            let told = |error| failed(format!("can't write {}: {error}", path.display()));
            made.and_then(|()| fs::write(&path, text)).map_err(told)
        };
        written("src/lib.rs", &self.filled(self.kind.template(), &api))?;
        written(".gitignore", "/target\n")?;
        if let Some(lock) = api.lock() {
            // The versions of the checkout: nothing has to be fetched.
            written("Cargo.lock", &lock)?;
        }
        written("Cargo.toml", &self.filled(MANIFEST, &api))?;
        print(&self.told(&folder, &api))
    }

    fn filled(&self, template: &str, api: &Api) -> String {
        template
            .replace("@package@", &self.package())
            .replace("@kind@", self.kind.plugin_kind().as_str())
            .replace("@api@", &api.dependency())
            .replace("@id@", &self.id)
            .replace("@Type@", &type_name(&self.id))
    }

    /// Named so that `use = "<id>"` finds its library.
    fn package(&self) -> String {
        format!("skymesh-{}-{}", self.kind.plugin_kind(), self.id.replace('_', "-"))
    }

    fn told(&self, folder: &Path, api: &Api) -> String {
        let (kind, id) = (self.kind.plugin_kind(), &self.id);
        let library = format!(
            "{}skymesh_{kind}_{id}{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        let place = folder.display();
        let api = match api {
            Api::Published => format!("{API_VERSION}, published"),
            Api::At(path) => format!("in {}", path.display()),
        };
        format!(
            "{place}: {kind} `{id}`, for {API_PACKAGE} {api}\n\
             next, in that folder:\n  \
             cargo test\n  \
             cargo build --release\n  \
             skymesh plugin check target/release/{library}\n"
        )
    }
}

impl Api {
    /// # Errors
    /// If the folder does not hold that package.
    fn at(path: &Path) -> Result<Self, Failure> {
        let here = path.canonicalize().ok().filter(|path| is_api(path));
        here.map(Self::At).ok_or_else(|| {
            failed(format!(
                "{}: the package {API_PACKAGE} is not there; name its folder, which is {API_FOLDER} in a checkout of skymesh",
                path.display()
            ))
        })
    }

    /// The checkout around the new crate, around this folder, around this program, or the one that this
    /// program was built from.
    fn detect(folder: &Path) -> Self {
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR"));
        let here = [std::env::current_dir().ok(), std::env::current_exe().ok()];
        let places = [Some(folder.to_owned())].into_iter().chain(here).flatten();
        let found = places.chain([built_from.to_owned()]).find_map(|place| {
            let candidates = place.ancestors().map(|one| one.join(API_FOLDER));
            candidates.filter_map(|one| one.canonicalize().ok()).find(|one| is_api(one))
        });
        found.map_or(Self::Published, Self::At)
    }

    fn dependency(&self) -> String {
        match self {
            Self::Published => format!("{API_PACKAGE} = \"{API_VERSION}\""),
            Self::At(path) => {
                let path = toml::Value::String(path.display().to_string());
                format!("{API_PACKAGE} = {{ version = \"{API_VERSION}\", path = {path} }}")
            }
        }
    }

    /// The lock file beside it.
    fn lock(&self) -> Option<String> {
        let Self::At(path) = self else { return None };
        fs::read_to_string(path.parent()?.join("Cargo.lock")).ok()
    }
}

fn is_api(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml"));
    manifest.is_ok_and(|text| {
        text.lines().any(|line| line.trim() == format!("name = \"{API_PACKAGE}\""))
    })
}

/// # Errors
/// If something is there already: nothing of anybody's is written over.
fn check_vacant(folder: &Path) -> Result<(), Failure> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(false) => Err(failed(format!(
            "{} is not empty; choose another folder with --path",
            folder.display()
        ))),
        Err(error) => {
            Err(failed(format!("{}: {error}; choose another folder with --path", folder.display())))
        }
    }
}

/// `my_router` -> `MyRouter`.
fn type_name(id: &str) -> String {
    let words = id.split('_').filter_map(|word| {
        let (first, rest) = word.split_at_checked(1)?;
        Some(first.to_uppercase() + rest)
    });
    let name: String = words.collect();
    if TAKEN_TYPES.contains(&name.as_str()) { name + "Plugin" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_libraries_and_of_types() {
        for good in ["a", "my_router", "p2c", "a__b"] {
            assert_eq!(id(good), Ok(good.to_owned()));
        }
        for wrong in ["", "2p", "_a", "a_", "my-router", "My", "a/b", "ä"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
        let cases = [
            ("a", "A"),
            ("my_router", "MyRouter"),
            ("p2c", "P2c"),
            ("a__b", "AB"),
            ("self", "SelfPlugin"),
        ];
        for (id, expected) in cases {
            assert_eq!(type_name(id), expected);
        }
    }

    #[test]
    fn without_a_checkout_the_published_crate_is_used() {
        assert_eq!(Api::Published.dependency(), format!("skymesh-plugin-api = \"{API_VERSION}\""));
        let odd = Api::At(PathBuf::from(r#"/a "b"\c"#)).dependency();
        let odd: toml::Table = toml::from_str(&odd).unwrap();
        assert_eq!(odd[API_PACKAGE]["path"].as_str(), Some(r#"/a "b"\c"#));
    }
}
