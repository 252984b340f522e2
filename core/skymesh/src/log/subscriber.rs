//! The process's subscriber: levels, lines and their destination, each of which a reload may exchange.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use skymesh_reload::{Change, between};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use super::files::Files;
use super::sink::{LAST_WORDS, Sink};
use super::{LogConfig, LogError, LogFormat, filter, rust_log};

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

/// The process's log, if it is one of [`LogConfig::install`].
struct Installed {
    filter: reload::Handle<EnvFilter, Registry>,
    lines: reload::Handle<Lines, Filtered>,
    current: Mutex<Current>,
    files: Files,
}

struct Current {
    config: LogConfig,
    /// `None` for standard error.
    sink: Option<Arc<Sink>>,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

impl Installed {
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process's log. Dropped, it waits for the lines that are not written yet, 5 s at most; logging goes
/// on after it.
#[derive(Debug)]
#[must_use = "the last lines of a log file may be lost without it; keep it until the program ends"]
pub struct LogGuard(());

impl Drop for LogGuard {
    fn drop(&mut self) {
        let Some(installed) = INSTALLED.get() else { return };
        // The lock is let go first: a reload may be under way.
        let sink = installed.lock().sink.clone();
        if let Some(sink) = sink {
            sink.flush(LAST_WORDS);
        }
    }
}

pub(super) fn install(config: &LogConfig) -> Result<LogGuard, LogError> {
    let levels = match rust_log() {
        Some(text) => filter("RUST_LOG", &text)?,
        None => filter("level", &config.level)?,
    };
    let files = Files::default();
    let sink = files.open(config)?;
    let (levels, filter) = reload::Layer::new(levels);
    let (shown, lines) = reload::Layer::new(lines(config.format, sink.as_deref()));
    let subscriber = tracing_subscriber::registry().with(levels).with(shown);
    subscriber.try_init().map_err(|_| LogError::Installed)?;
    let current = Mutex::new(Current { config: config.clone(), sink });
    let _ = INSTALLED.set(Installed { filter, lines, current, files });
    Ok(LogGuard(()))
}

fn lines(format: LogFormat, sink: Option<&Sink>) -> Lines {
    let writer = match sink {
        Some(sink) => BoxMakeWriter::new(sink.entry()),
        None => BoxMakeWriter::new(io::stderr),
    };
    let wanted = wants_colours(std::env::var_os("NO_COLOR").as_deref());
    let colours = sink.is_none() && io::stderr().is_terminal() && wanted;
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    match format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    }
}

/// By the variable `NO_COLOR`: <https://no-color.org>.
fn wants_colours(no_color: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty)
}

/// Another log, ready to take effect.
pub(crate) struct Prepared {
    config: LogConfig,
    levels: EnvFilter,
    sink: Option<Arc<Sink>>,
}

/// Makes all that may fail of going over to another log. `None` if the process's log is not of ours.
///
/// # Errors
/// [`LogError`] says why all stays as it is.
pub(crate) fn prepare(config: &LogConfig) -> Result<Option<Prepared>, LogError> {
    let Some(installed) = INSTALLED.get() else { return Ok(None) };
    let levels = filter("level", &config.level)?;
    let sink = installed.files.open(config)?;
    Ok(Some(Prepared { config: config.clone(), levels, sink }))
}

impl Prepared {
    /// Has it take effect; answers what is different.
    pub(crate) fn commit(self) -> Vec<Change> {
        let Some(installed) = INSTALLED.get() else { return Vec::new() };
        let Self { config, levels, sink } = self;
        let mut current = installed.lock();
        let changed = changes(&current.config, &config);
        if rust_log().is_none() && current.config.level != config.level {
            // Fails only where the subscriber is gone.
            let _ = installed.filter.reload(levels);
        }
        if let Some(sink) = &sink {
            sink.limit(config.file.clone());
        }
        let is_same = current.sink.as_ref().map(Arc::as_ptr) == sink.as_ref().map(Arc::as_ptr);
        if !is_same || current.config.format != config.format {
            let _ = installed.lines.reload(lines(config.format, sink.as_deref()));
        }
        // Ended here, after the subscriber has let go of it: its last lines are written, and its thread
        // may have one to say.
        let before = std::mem::replace(&mut current.sink, sink);
        current.config = config;
        drop(current);
        drop(before);
        changed
    }
}

/// What is different, key by key. `RUST_LOG` decides of the level, if it is there.
fn changes(before: &LogConfig, now: &LogConfig) -> Vec<Change> {
    let mut changed = between("log", before, now);
    changed.retain(|change| change.what != "log.level" || rust_log().is_none());
    changed
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::log::LogFileConfig;

    #[test]
    fn colours_are_left_out_for_whoever_says_so() {
        for (no_color, wanted) in [(None, true), (Some(""), true), (Some("1"), false)] {
            assert_eq!(wants_colours(no_color.map(OsStr::new)), wanted, "{no_color:?}");
        }
    }

    /// As agents of one process do, which reload all at once.
    #[test]
    fn reloads_that_go_over_to_one_file_together_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let to = |name: &str| {
            let path = Some(folder.path().join(name));
            LogConfig {
                file: LogFileConfig { path, ..LogFileConfig::default() },
                ..LogConfig::default()
            }
        };
        let ready = |config: &LogConfig| prepare(config).unwrap().expect("it is installed");
        let said = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let guard = to("first").install().unwrap();
        let around = Path::new("..").join(folder.path().file_name().unwrap()).join("second");
        let spelled = to(around.to_str().unwrap());
        let (one, other, as_well) = (ready(&to("second")), ready(&to("second")), ready(&spelled));
        // One that is given up takes nothing with it.
        drop(ready(&to("second")));
        assert_eq!(one.commit().len(), 1);
        tracing::error!("to the second");
        assert_eq!(other.commit(), [], "it was there already");
        let [change] = &as_well.commit()[..] else { panic!("its path is spelled otherwise") };
        assert_eq!(change.what, "log.file.path");
        // The one that nobody writes any more can be had again, by any number.
        let (one, other, late) = (ready(&to("first")), ready(&to("first")), ready(&to("second")));
        assert_eq!((one.commit().len(), other.commit().len()), (1, 0));
        tracing::error!("to the first");
        drop(guard);
        assert!(said("first").contains("to the first"), "{}", said("first"));
        // And not by anybody else, as long as one of them may write it.
        assert_eq!(late.commit().len(), 1);
        let elsewhere = Sink::open(&folder.path().join("second"), LogFileConfig::default());
        assert!(elsewhere.is_err(), "another process would write it too");
        // Nothing of this process's log is left in a folder that ends with the test.
        ready(&LogConfig::default()).commit();
        assert!(said("second").contains("to the second"), "{}", said("second"));
    }
}
