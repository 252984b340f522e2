//! `skymesh plugin`: which plugins there are, whether a library would be taken, what a plugin can be
//! configured with, and the way to one of one's own.

mod bench;
mod check;
mod list;
mod live;
mod new;
mod pin;

use std::path::PathBuf;

use clap::Subcommand;
use skymesh_plugin_host::{Fingerprint, PluginHost};

use super::operator::Operator;
use super::{ConfigFile, quiet_log};
use crate::failure::{Failure, failed};
use crate::output::print_json;

/// Digits of a sha256 in tables: enough to tell files apart.
const SHORT_DIGITS: usize = 12;

/// Subcommands of `skymesh plugin`.
#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// List the plugins of the searched folders and of the configuration, and what became of them
    List {
        #[command(flatten)]
        file: ConfigFile,
        /// Ask a running agent of this host and user instead: the id of its process, or its socket
        #[arg(long, value_name = "PID|SOCKET", conflicts_with = "path")]
        agent: Option<String>,
        /// Ask the nameserver at host:port instead; like `skymesh kick`, this needs its token
        #[arg(long, value_name = "ADDR", conflicts_with = "agent")]
        nameserver: Option<String>,
        /// The file with the nameserver's token [default: nameserver.admin.token_file of the
        /// configuration, or admin.token in its nameserver.store.path]
        #[arg(long, value_name = "FILE", requires = "nameserver")]
        token_file: Option<PathBuf>,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Take a library through all steps of loading and its plugins through their conformance suites, and
    /// say what would be refused, and why
    Check(check::Check),
    /// Measure what calls of a plugin cost through its library, beside the built-in
    Bench(bench::Bench),
    /// Make the crate of a new plugin: it builds, passes its conformance test and loads as it is
    New(new::New),
    /// Print, or write into the configuration, the sha256 pins of all libraries that it uses
    Pin(pin::Pin),
    /// Print the JSON Schema of a plugin's configuration
    Schema {
        /// The plugin's id, or library/id
        id: String,
        #[command(flatten)]
        file: ConfigFile,
    },
}

impl Plugin {
    pub(super) fn run(self) -> Result<(), Failure> {
        // A check listens itself; whoever asks a nameserver sees to it there.
        if !matches!(self, Self::Check(_) | Self::List { nameserver: Some(_), .. }) {
            quiet_log()?;
        }
        match self {
            Self::List { agent: Some(agent), json, .. } => live::of_agent(agent, json.into()),
            Self::List { nameserver: Some(nameserver), token_file, file, json, .. } => {
                live::of_nameserver(Operator::named(nameserver, token_file, file), json.into())
            }
            Self::List { file, json, .. } => list::run(file.load()?, json.into()),
            Self::Check(check) => check.run(),
            Self::Bench(bench) => bench.run(),
            Self::New(new) => new.run(),
            Self::Pin(pin) => pin.run(),
            Self::Schema { id, file } => schema(&id, &file),
        }
    }
}

fn schema(id: &str, file: &ConfigFile) -> Result<(), Failure> {
    let host = PluginHost::new(file.load()?.plugins).map_err(failed)?;
    let manifest = host.manifest(id).map_err(failed)?;
    let schema: serde_json::Value = serde_json::from_str(&manifest.config_schema)
        .map_err(|error| failed(format!("{id}: the plugin's schema is no JSON: {error}")))?;
    print_json(&schema)
}

fn short(sha256: Option<Fingerprint>) -> String {
    sha256.map_or_else(String::new, |sha256| sha256.to_string()[..SHORT_DIGITS].to_owned())
}
