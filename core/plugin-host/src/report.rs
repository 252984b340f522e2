//! What is known of each library and plugin, for `skymesh plugin list` and health.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use skymesh_plugin_api::PluginKind;

use crate::fingerprint::Fingerprint;

/// How far a library, or a plugin in it, has come. Each step presupposes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// The configuration names it.
    Declared,
    /// A file of that name is in a folder that may be trusted.
    Found,
    /// The file was read once and has the content that the configuration pins, if it pins one.
    Pinned,
    /// A private copy of that content exists.
    Copied,
    /// It is mapped into the process, for good.
    Opened,
    /// It is a plugin library of a version and layout that this host understands.
    Checked,
    /// A strategy was made of it with its configuration.
    Created,
    /// A strategy made of it is in use.
    Active,
    /// A strategy made of it is in use, and has failed of late; the reason says how.
    Degraded,
    /// A strategy made of it failed too often; the built-in serves until a reload or restart.
    Quarantined,
    /// A reload found another file in its place, or none. What was prepared by it may still serve
    /// its last messages; its code stays mapped, for nothing is ever unloaded.
    Retired,
}

impl PluginState {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Found => "found",
            Self::Pinned => "pinned",
            Self::Copied => "copied",
            Self::Opened => "opened",
            Self::Checked => "checked",
            Self::Created => "created",
            Self::Active => "active",
            Self::Degraded => "degraded",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for PluginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One plugin, or one library that could not be loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginReport {
    /// The library: the crate's name, or the path it was configured by.
    pub library: String,
    /// The plugin's id; `None` for a library that was not loaded.
    pub id: Option<String>,
    /// The plugin's kind; likewise.
    #[serde(serialize_with = "display_option", deserialize_with = "kind_option")]
    pub kind: Option<PluginKind>,
    /// The author's version.
    pub version: Option<String>,
    /// The file; `None` if none was found, or the library is linked into this executable.
    pub path: Option<PathBuf>,
    /// Of the file.
    #[serde(serialize_with = "display_option", deserialize_with = "sha256_option")]
    pub sha256: Option<Fingerprint>,
    /// How far it came.
    pub state: PluginState,
    /// Why it failed at the step after `state`, is degraded or quarantined, or what it did when it was
    /// dropped; `None` if it has not failed.
    pub reason: Option<String>,
    /// The version of plugin-api that it was built with.
    pub api_version: Option<String>,
}

impl PluginReport {
    /// Whether it failed.
    pub fn failed(&self) -> bool {
        self.reason.is_some()
    }
}

fn display_option<T: fmt::Display, S: serde::Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn kind_option<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PluginKind>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    // A kind of a newer version is shown as none.
    Ok(text.and_then(|text| PluginKind::ALL.into_iter().find(|kind| kind.as_str() == text)))
}

fn sha256_option<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Fingerprint>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}
