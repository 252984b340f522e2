//! The command line: one subcommand per file.

mod agent;
mod attr;
mod config;
mod drain;
mod explain;
mod kick;
mod nameserver;
mod operator;
mod plugin;
mod reload;
mod services;
mod sim;
mod strategy;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use skymesh::Config;
use skymesh::config::{LogConfig, StrategyConfig};
use skymesh_plugin_host::PluginKind;

use crate::failure::{Failure, failed};

/// A plugin-driven, proxyless service mesh.
#[derive(Debug, Parser)]
#[command(name = "skymesh", version, arg_required_else_help = true)]
pub(crate) struct Skymesh {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a nameserver until SIGINT or SIGTERM; SIGHUP has it reload
    Nameserver(nameserver::Nameserver),
    /// Check or print configuration files
    #[command(subcommand)]
    Config(config::Config),
    /// List, check, describe, measure and make plugins
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Play selectors through a virtual fleet: a slow node, churn, weights, hot keys
    Sim(sim::Sim),
    /// Ask a running agent where it would send a message, and why there
    Explain(explain::Explain),
    /// Have a running agent, or a nameserver, read its configuration and its plugins again
    Reload(reload::Reload),
    /// Show what a nameserver knows: services, instances, states, attributes, sessions
    Services(services::Services),
    /// Take an instance, or a whole session, offline
    Kick(kick::Kick),
    /// Have an instance take nothing new
    Drain(drain::Drain),
    /// Override attributes of an instance, over what it says of itself
    #[command(subcommand)]
    Attr(attr::Attr),
}

/// Where a command takes its configuration from.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file; without it, the defaults and SKYMESH_ variables hold
    #[arg(long = "config", value_name = "FILE")]
    path: Option<PathBuf>,
}

impl Skymesh {
    /// Runs the command to its end.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Nameserver(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Plugin(command) => command.run(),
            Command::Sim(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Reload(command) => command.run(),
            Command::Services(command) => command.run(),
            Command::Kick(command) => command.run(),
            Command::Drain(command) => command.run(),
            Command::Attr(command) => command.run(),
        }
    }
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Failure> {
        load(self.path.as_deref())
    }

    /// To be read more than once.
    fn again(&self) -> skymesh::config::ConfigFile {
        skymesh::config::ConfigFile::or_defaults(self.path.clone())
    }
}

fn load(path: Option<&Path>) -> Result<Config, Failure> {
    Ok(Config::load_or_default(path)?)
}

/// The plugins that show what a process counts and traces. Commands look for them and make none: one
/// that is made may listen on the port of the one that runs.
fn sinks(config: &Config) -> impl Iterator<Item = (PluginKind, StrategyConfig)> + use<> {
    let metrics = (PluginKind::Metrics, config.metrics.strategy());
    let trace = (PluginKind::Trace, config.trace.strategy());
    [metrics, trace].into_iter().filter_map(|(kind, strategy)| Some((kind, strategy?)))
}

/// The log of a command that answers and ends: what it has to say it says itself.
fn quiet_log() -> Result<(), Failure> {
    let log = LogConfig { level: "error".to_owned(), ..LogConfig::default() };
    // On standard error: nothing of it waits to be written.
    log.install().map(drop).map_err(failed)
}
