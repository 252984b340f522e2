//! `skymesh config`: says what is wrong with a configuration file, or what holds. Starts nothing.

mod strategies;

use std::path::PathBuf;

use clap::Subcommand;

use super::{load, quiet_log};
use crate::failure::{Failure, failed};
use crate::output::print;

/// Subcommands of `skymesh config`.
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Check types, unknown keys, ranges and plugins with their tables; starts nothing
    Check {
        /// The configuration file
        file: PathBuf,
        /// Leave out whether the plugins can be loaded and take their configuration
        #[arg(long)]
        no_plugins: bool,
    },
    /// Print what holds: the defaults, then the file, then SKYMESH_ variables
    Print {
        /// The configuration file
        file: Option<PathBuf>,
    },
}

impl Config {
    pub(super) fn run(self) -> Result<(), Failure> {
        quiet_log()?;
        match self {
            Self::Check { file, no_plugins } => {
                let (config, out_of_range) = skymesh::Config::examine(Some(&file))?;
                let shown = file.display();
                if config.log.validate().is_ok() && config.log.is_of_modules_only() {
                    eprintln!(
                        "warning: {shown}: log.level = {:?}: only the modules that it names log; write \
                         \"info,{}\" for the others, too",
                        config.log.level, config.log.level
                    );
                }
                let mut errors: Vec<String> = Vec::new();
                errors.extend(config.log.has_place().err().map(|error| error.to_string()));
                // By limits that nothing can keep, no plugin could be had.
                if !no_plugins && config.plugins.faults().is_empty() {
                    let found = strategies::check(&config);
                    for line in found.warnings {
                        eprintln!("warning: {shown}: {line}");
                    }
                    errors.extend(found.errors);
                }
                let errors = errors.into_iter().map(|line| format!("{shown}: {line}"));
                let errors: Vec<String> = out_of_range.into_iter().chain(errors).collect();
                if !errors.is_empty() {
                    return Err(Failure::of(errors));
                }
                print(&format!("{shown}: ok\n"))
            }
            Self::Print { file } => {
                let config = load(file.as_deref())?;
                print(&config.to_toml().map_err(failed)?)
            }
        }
    }
}
