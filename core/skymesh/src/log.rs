//! The process's own log: what of it is written, and how. What is logged is the business of the
//! other crates, through `tracing`.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use skymesh_agent::Change;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// `[log]`: what this process logs, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or levels by
    /// module, such as `info,skymesh_agent=debug`. Default `info`. The environment variable
    /// `RUST_LOG` replaces it. Hot.
    pub level: String,
    /// How a line looks. Default `human`. Restart.
    pub format: LogFormat,
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
        Self { level: "info".to_owned(), format: LogFormat::Human }
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
    /// The process has a log already.
    #[error("this process has a tracing subscriber already; install one log only")]
    Installed,
}

impl LogConfig {
    /// Checks the filter.
    ///
    /// # Errors
    /// [`LogError::Filter`] says what is wrong with it.
    pub fn validate(&self) -> Result<(), LogError> {
        filter("level", &self.level).map(|_| ())
    }

    /// Makes this the process's log, on standard error. Programs with a `tracing` subscriber of
    /// their own do without. Call it before plugins are loaded, so that they know the level.
    ///
    /// # Errors
    /// [`LogError`] says what is wrong.
    pub fn install(&self) -> Result<(), LogError> {
        let filter = match std::env::var("RUST_LOG") {
            Ok(text) if !text.is_empty() => filter("RUST_LOG", &text)?,
            _ => filter("level", &self.level)?,
        };
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal());
        let (installed, exchange): (_, Exchange) = match self.format {
            LogFormat::Human => {
                let log = log.with_filter_reloading();
                let handle = log.reload_handle();
                (log.finish().try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
            }
            LogFormat::Json => {
                let log = log.json().with_filter_reloading();
                let handle = log.reload_handle();
                (log.finish().try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
            }
        };
        installed.map_err(|_| LogError::Installed)?;
        let level = Mutex::new(self.level.clone());
        let _ = INSTALLED.set(Installed { exchange, level });
        Ok(())
    }
}

type Exchange = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// The process's log, if it is one of [`LogConfig::install`].
struct Installed {
    exchange: Exchange,
    /// What the configuration said last.
    level: Mutex<String>,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

/// Has the process's log go by another level, which was validated before. `None` if it does already,
/// if `RUST_LOG` decides, or if the process has a log of its own.
pub(crate) fn change_level(level: &str) -> Option<Change> {
    let installed = INSTALLED.get()?;
    if std::env::var("RUST_LOG").is_ok_and(|text| !text.is_empty()) {
        return None;
    }
    let mut current = installed.level.lock().unwrap_or_else(PoisonError::into_inner);
    if *current == level || !(installed.exchange)(filter("level", level).ok()?) {
        return None;
    }
    let from = std::mem::replace(&mut *current, level.to_owned());
    Some(Change { what: "log.level".to_owned(), from: Some(from), to: Some(level.to_owned()) })
}

fn filter(source_name: &'static str, text: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(text).map_err(|error| LogError::Filter {
        source_name,
        text: text.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_modules() {
        for (level, good) in
            [("info", true), ("off", true), ("warn,skymesh_agent=trace", true), ("a=loud", false)]
        {
            let config = LogConfig { level: level.into(), ..LogConfig::default() };
            assert_eq!(config.validate().is_ok(), good, "{level}");
        }
        let config = LogConfig { level: "a=loud".into(), ..LogConfig::default() };
        let text = config.validate().unwrap_err().to_string();
        assert!(text.starts_with("level \"a=loud\" is no log filter"), "{text}");
    }
}
