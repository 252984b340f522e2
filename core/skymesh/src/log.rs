//! The process's own log: what of it is written, and how. What is logged is the business of the
//! other crates, through `tracing`.

mod file;
mod files;
mod rotating;
mod sink;
mod subscriber;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub use file::LogFileConfig;
pub use subscriber::LogGuard;
pub(crate) use subscriber::prepare;

/// `[log]`: what this process logs, and how. All keys are hot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or levels by
    /// module, such as `info,skymesh_agent=debug`. Default `info`. Without a level that stands alone,
    /// modules that are not named log nothing. The environment variable `RUST_LOG` replaces it.
    pub level: String,
    /// How a line looks. Default `human`.
    pub format: LogFormat,
    /// `[log.file]`: a file that is rotated, in place of standard error.
    pub file: LogFileConfig,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people; with colours if it goes to a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        let (level, format) = ("info".to_owned(), LogFormat::Human);
        Self { level, format, file: LogFileConfig::default() }
    }
}

/// Why the log can't be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The text says no levels.
    #[error(
        "{source_name} {text:?} is no log filter ({reason}); write e.g. \"info\" or \"info,skymesh_agent=debug\""
    )]
    Filter {
        /// Which text: the key's or the variable's.
        source_name: &'static str,
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value is out of range.
    #[error("log.{key} {fault}")]
    Range {
        /// The key within `[log]`.
        key: String,
        /// The value, and what was expected.
        fault: String,
    },
    /// The file can't be had.
    #[error("log.file.path {}: {reason}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// The system gives no thread to write the file.
    #[error("no thread to write the log: {0}")]
    Thread(String),
    /// The process has a log already.
    #[error("this process has a tracing subscriber already; install one log only")]
    Installed,
}

impl LogConfig {
    /// Checks the filter and the ranges; not whether the file can be had.
    ///
    /// # Errors
    /// [`LogError`] says what is wrong, the first fault of several.
    pub fn validate(&self) -> Result<(), LogError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// All of them.
    pub(crate) fn faults(&self) -> Vec<LogError> {
        let level = filter("level", &self.level).and_then(|_| no_typo(&self.level)).err();
        let range = |(key, fault)| LogError::Range { key: format!("file.{key}"), fault };
        level.into_iter().chain(self.file.faults().into_iter().map(range)).collect()
    }

    /// Checks whether the file, if one is named, has a folder to be in, which [`validate`](Self::validate)
    /// does not. Makes nothing.
    ///
    /// # Errors
    /// [`LogError::File`] says what is wrong.
    pub fn has_place(&self) -> Result<(), LogError> {
        self.file.path.as_deref().map_or(Ok(()), rotating::has_place)
    }

    /// Whether `level` leaves everything out but the modules that it names: a misspelt one is a module
    /// that nobody has.
    pub fn is_of_modules_only(&self) -> bool {
        let mut said = directives(&self.level);
        said.clone().count() > 0 && said.all(|one| one.parse::<LevelFilter>().is_err())
    }

    /// Makes this the process's log, on standard error or in `[log.file]`. Programs with a `tracing`
    /// subscriber of their own do without. Call it before plugins are loaded, so that they know the
    /// level.
    ///
    /// Keep the guard until the program ends: where the log goes to a file, it waits for the last lines to
    /// be written. A program that ends otherwise (`std::process::exit`, a signal) may lose these.
    ///
    /// # Errors
    /// [`LogError`] says what is wrong.
    pub fn install(&self) -> Result<LogGuard, LogError> {
        self.validate()?;
        subscriber::install(self)
    }
}

/// How many lines of this process's log were lost since its start, because they had no room to wait for
/// the disk, or the file could not be written.
pub fn lost_lines() -> u64 {
    sink::lost()
}

/// `RUST_LOG`, if it says something; it goes over the configuration.
fn rust_log() -> Option<String> {
    std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty())
}

fn filter(source_name: &'static str, text: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(text).map_err(|error| LogError::Filter {
        source_name,
        text: text.to_owned(),
        reason: error.to_string(),
    })
}

fn directives(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(',').map(str::trim).filter(|one| !one.is_empty())
}

/// A word alone that is no level would be a module of that name, at all levels: then a misspelt level is
/// a log without a line. `RUST_LOG` is not ours, and takes it.
fn no_typo(text: &str) -> Result<(), LogError> {
    let stands_alone = |one: &&str| !one.contains(['=', '[', ']', '{', '}']);
    let mut alone = directives(text).filter(stands_alone);
    let Some(typo) = alone.find(|one| one.parse::<LevelFilter>().is_err()) else { return Ok(()) };
    let reason = format!(
        "`{typo}` is none of error, warn, info, debug, trace, off; a module has its level with it: `{typo}=debug`"
    );
    Err(LogError::Filter { source_name: "level", text: text.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_modules() {
        let cases = [
            ("info", true),
            ("OFF", true),
            ("warn,skymesh_agent=trace", true),
            ("warn,my::module=trace,", true),
            ("[span{field}]=debug,info", true),
            ("a=loud", false),
            ("lod", false),
            ("skymesh_agent=debug,wran", false),
        ];
        for (level, good) in cases {
            let config = LogConfig { level: level.into(), ..LogConfig::default() };
            assert_eq!(config.validate().is_ok(), good, "{level}");
        }
        let config = LogConfig { level: "a=loud".into(), ..LogConfig::default() };
        let text = config.validate().unwrap_err().to_string();
        assert!(text.starts_with("level \"a=loud\" is no log filter"), "{text}");
    }

    #[test]
    fn modules_alone_leave_the_rest_out() {
        for (level, alone) in [("loud=debug", true), ("a=debug,off", false), ("info", false)] {
            let config = LogConfig { level: level.into(), ..LogConfig::default() };
            assert_eq!(config.is_of_modules_only(), alone, "{level}");
        }
    }
}
