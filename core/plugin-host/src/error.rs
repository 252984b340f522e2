//! Why a plugin can't be used. Each message is one line: what, where, and the remedy.

use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use skymesh_plugin_api::{PluginError, PluginKind};

use crate::fingerprint::{Fingerprint, FingerprintError};

/// Why a library or a plugin in it can't be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PluginLoadError {
    /// A limit of `[plugins]` is out of its range; by such limits no plugin could be had.
    #[error("plugins.{key}: {fault}")]
    Range {
        /// The key within its table.
        key: &'static str,
        /// The value, and what was expected.
        fault: String,
    },
    /// A name that could lead out of the folders.
    #[error("`{name}` is no library name; use the crate's name, of a-z, 0-9 and `_`")]
    Name {
        /// As configured.
        name: String,
    },
    /// A `[[plugins.load]]` with neither or both of its names.
    #[error("a [[plugins.load]] entry needs either `library` or an absolute `path`, not both")]
    Entry,
    /// No file of that name.
    #[error(
        "library `{library}`{} not found; searched {}{}; build it or add its folder to plugins.dirs{}",
        requirement(.version.as_ref()), folders(.searched), other_versions(.others),
        suggestion(.nearest.as_deref())
    )]
    LibraryNotFound {
        /// The crate's name.
        library: String,
        /// What was asked of its version.
        version: Option<VersionReq>,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
        /// Versions that are there and do not fit.
        others: Vec<Version>,
        /// The library that is called most like it, or like its plugin.
        nearest: Option<String>,
    },
    /// No library offers that id, and there is none of the conventional name.
    #[error(
        "{kind} `{id}`{} not found; no loaded library offers it, and there is no library `skymesh_{kind}_{id}` in {}{}",
        requirement(.version.as_ref()), folders(.searched), suggestion(.nearest.as_deref())
    )]
    PluginNotFound {
        /// What kind of strategy.
        kind: PluginKind,
        /// As configured.
        id: String,
        /// What was asked of its version.
        version: Option<VersionReq>,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
        /// The most similar id there is.
        nearest: Option<String>,
    },
    /// The library is there, the plugin is not in it.
    #[error(
        "library `{library}` has no {kind} `{id}`; it offers {}{}",
        listed(.offers), suggestion(.nearest.as_deref())
    )]
    NotInLibrary {
        /// What kind of strategy.
        kind: PluginKind,
        /// As configured.
        id: String,
        /// The crate's name.
        library: String,
        /// What it has, as `kind id`.
        offers: Vec<String>,
        /// The most similar id of the kind.
        nearest: Option<String>,
    },
    /// Several libraries offer the id.
    #[error("{kind} `{id}` is ambiguous; write one of {}", names(.choices))]
    Ambiguous {
        /// What kind of strategy.
        kind: PluginKind,
        /// As configured.
        id: String,
        /// `library/id` of each.
        choices: Vec<String>,
    },
    /// The file is found, its version is not the one asked for.
    #[error("{}: version {found} does not satisfy `{required}`; install or ask for another", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What the library says.
        found: Version,
        /// What the configuration says.
        required: VersionReq,
    },
    /// The file's name and its content disagree.
    #[error("{}: the file's name says `{named}`, the library says `{says}`; rename the file", .path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// By its name.
        named: String,
        /// By its manifest.
        says: String,
    },
    /// Others may change the folder or file.
    #[error("{} {what}; {remedy}, or set plugins.allow_insecure_dirs = true", .path.display())]
    Insecure {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// The command that repairs it.
        remedy: String,
    },
    /// The file can't be read.
    #[error("{}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A path that is not absolute.
    #[error("plugin path `{}` must be absolute", .path.display())]
    Relative {
        /// As configured.
        path: PathBuf,
    },
    /// The configured pin is no SHA-256.
    #[error("plugins.load entry for `{library}`: {error}")]
    Pin {
        /// Name or path.
        library: String,
        /// What is wrong.
        error: FingerprintError,
    },
    /// The content is not the pinned one.
    #[error(
        "{}: sha256 is {found}, the configuration pins {pinned}; install the pinned file or change the pin",
        .path.display()
    )]
    PinMismatch {
        /// The file.
        path: PathBuf,
        /// Of the file.
        found: Fingerprint,
        /// In the configuration.
        pinned: Fingerprint,
    },
    /// `require_pins` is set and there is none.
    #[error(
        "{}: plugins.require_pins is set, and no [[plugins.load]] entry pins it; add sha256 = \"{found}\"",
        .path.display()
    )]
    NotPinned {
        /// The file.
        path: PathBuf,
        /// Of the file.
        found: Fingerprint,
    },
    /// A configured key is none.
    #[error(
        "plugins.signers: `{key}` is no public key of minisign's ({reason}); write the line that begins with RW"
    )]
    Key {
        /// As configured.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `require_signatures` is set and there is none.
    #[error(
        "{}: plugins.require_signatures is set, and there is no {}; sign the library with `minisign -Sm`",
        .path.display(), .signature.display()
    )]
    NotSigned {
        /// The library.
        path: PathBuf,
        /// Where its signature would be.
        signature: PathBuf,
    },
    /// The signature does not vouch for the library.
    #[error("{}: {reason}; take a library that is signed by one of plugins.signers", .path.display())]
    Signature {
        /// The signature's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// `linked_only` is set, and the plugin is not linked.
    #[error(
        "library `{library}` is not linked into this executable, and plugins.linked_only is set"
    )]
    NotLinked {
        /// The crate's name.
        library: String,
    },
    /// The private copy can't be made.
    #[error("plugin cache {}: {reason}; set plugins.cache_dir to a folder of your own", .folder.display())]
    Cache {
        /// The cache folder.
        folder: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file was cut short, mostly by a copy that did not end.
    #[error(
        "{}: truncated, not a complete library: {size} bytes, needs {needs}; copy it again (deploy by rename)",
        .path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its size, in bytes.
        size: u64,
        /// The least size that its headers speak of, in bytes.
        needs: u64,
    },
    /// What the system's loader would go by can't be what the linker wrote.
    #[error("{}: damaged: {what}; copy it again (deploy by rename)", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found first.
        what: String,
    },
    /// The system's loader refused the file.
    #[error("{}: not a library that can be loaded: {reason}", .path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// As the system says.
        reason: String,
    },
    /// A library, but no plugin of that name.
    #[error(
        "{}: not a skymesh plugin of crate `{library}`: no symbol `{symbol}`; check export_plugin! and the file's name",
        .path.display()
    )]
    NotAPlugin {
        /// The file.
        path: PathBuf,
        /// The crate's name, by the file's.
        library: String,
        /// What was looked for.
        symbol: String,
    },
    /// Built for another major version of plugin-api.
    #[error(
        "{}: built for plugin-api {plugin}, this host has {host}; rebuild the plugin with skymesh-plugin-api = \"{}\"",
        .path.display(), major(.host)
    )]
    ApiVersion {
        /// The file.
        path: PathBuf,
        /// As the library says.
        plugin: String,
        /// Ours.
        host: String,
    },
    /// The types at the boundary differ.
    #[error(
        "{}: built against different types than plugin-api {api} has: {}; rebuild it with the published skymesh-plugin-api",
        .path.display(), .differences.join("; ")
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// The API version that it claims.
        api: String,
        /// What differs, one line each.
        differences: Vec<String>,
    },
    /// Nothing could catch the plugin's panics.
    #[error("{}: built with panic = \"abort\"; rebuild it with panic = \"unwind\"", .path.display())]
    PanicAbort {
        /// The file.
        path: PathBuf,
    },
    /// The library, or the plugin's constructor, did not come back.
    #[error(
        "{what}: not ready: {reason}; what it does there must not wait, or plugins.start_budget must be longer"
    )]
    Overdue {
        /// The file that was opened, or `library/id` and the library's version of what was made.
        what: String,
        /// How long was waited.
        reason: String,
    },
    /// It was made, and failed at its first calls. Only a reload tries this: what serves stays.
    #[error("{strategy}: {fault} at its self-test; what served before goes on")]
    SelfTest {
        /// `library/id` and the library's version.
        strategy: String,
        /// What it did.
        fault: String,
    },
    /// The constructor refused, mostly the configuration.
    #[error("{kind} `{id}` of library `{library}`: {error}")]
    Refused {
        /// What kind of strategy.
        kind: PluginKind,
        /// As configured.
        id: String,
        /// The crate's name.
        library: String,
        /// The plugin's words.
        error: PluginError,
    },
}

fn requirement(version: Option<&VersionReq>) -> String {
    version.map_or_else(String::new, |version| format!(" of version `{version}`"))
}

fn folders(searched: &[PathBuf]) -> String {
    match searched {
        [] => "no folder".into(),
        all => all.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "),
    }
}

fn other_versions(others: &[Version]) -> String {
    match others {
        [] => String::new(),
        all => format!(
            "; there are only {}",
            all.iter().map(Version::to_string).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

fn names(all: &[String]) -> String {
    all.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn listed(all: &[String]) -> String {
    if all.is_empty() { "nothing".into() } else { names(all) }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

/// The known name most like `wanted`, if any is like it at all.
pub(crate) fn nearest<'a>(
    wanted: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    /// Below this, a suggestion is more puzzling than none.
    const ALIKE: f64 = 0.75;
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(name, wanted), name))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

impl PluginLoadError {
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), reason: error.to_string() }
    }
}
