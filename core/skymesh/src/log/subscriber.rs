//! The process's subscriber: levels, lines and their destination, each of which a reload may exchange.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use skymesh_reload::Change;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use super::sink::Sink;
use super::{LogConfig, LogError, LogFormat, filter, rust_log};

/// How long the end of a program waits for the last lines: enough for any disk that works.
const LAST_WORDS: Duration = Duration::from_secs(5);

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

/// The process's log, if it is one of [`LogConfig::install`].
struct Installed {
    filter: reload::Handle<EnvFilter, Registry>,
    lines: reload::Handle<Lines, Filtered>,
    current: Mutex<Current>,
}

struct Current {
    config: LogConfig,
    /// `None` for standard error.
    sink: Option<Sink>,
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
        if let Some(sink) = &installed.lock().sink {
            sink.flush(LAST_WORDS);
        }
    }
}

pub(super) fn install(config: &LogConfig) -> Result<LogGuard, LogError> {
    let levels = match rust_log() {
        Some(text) => filter("RUST_LOG", &text)?,
        None => filter("level", &config.level)?,
    };
    let sink = open(config)?;
    let (levels, filter) = reload::Layer::new(levels);
    let (shown, lines) = reload::Layer::new(lines(config.format, sink.as_ref()));
    let subscriber = tracing_subscriber::registry().with(levels).with(shown);
    subscriber.try_init().map_err(|_| LogError::Installed)?;
    let current = Mutex::new(Current { config: config.clone(), sink });
    let _ = INSTALLED.set(Installed { filter, lines, current });
    Ok(LogGuard(()))
}

fn open(config: &LogConfig) -> Result<Option<Sink>, LogError> {
    let path = config.file.path.as_deref();
    path.map(|path| Sink::open(path, config.file.clone())).transpose()
}

fn lines(format: LogFormat, sink: Option<&Sink>) -> Lines {
    let writer = match sink {
        Some(sink) => BoxMakeWriter::new(sink.entry()),
        None => BoxMakeWriter::new(io::stderr),
    };
    let colours = sink.is_none() && io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    match format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    }
}

/// Another log, ready to take effect.
pub(crate) struct Prepared {
    config: LogConfig,
    levels: EnvFilter,
    destination: Destination,
}

enum Destination {
    /// The same file or standard error.
    Same,
    Other(Option<Sink>),
}

/// Makes all that may fail of going over to another log. `None` if the process's log is not of ours.
///
/// # Errors
/// [`LogError`] says why all stays as it is.
pub(crate) fn prepare(config: &LogConfig) -> Result<Option<Prepared>, LogError> {
    let Some(installed) = INSTALLED.get() else { return Ok(None) };
    let levels = filter("level", &config.level)?;
    let same = installed.lock().config.file.path == config.file.path;
    let destination = if same { Destination::Same } else { Destination::Other(open(config)?) };
    Ok(Some(Prepared { config: config.clone(), levels, destination }))
}

impl Prepared {
    /// Has it take effect; answers what is different.
    pub(crate) fn commit(self) -> Vec<Change> {
        let Some(installed) = INSTALLED.get() else { return Vec::new() };
        let mut current = installed.lock();
        let changed = changes(&current.config, &self.config);
        let has_changed = |what: &str| changed.iter().any(|change| change.what == what);
        if has_changed("log.level") {
            // Fails only where the subscriber is gone.
            let _ = installed.filter.reload(self.levels);
        }
        let other = match self.destination {
            Destination::Same => {
                if let Some(sink) = &current.sink {
                    sink.limit(self.config.file.clone());
                }
                None
            }
            Destination::Other(sink) => Some(sink),
        };
        if other.is_some() || has_changed("log.format") {
            let sink = other.as_ref().unwrap_or(&current.sink);
            let _ = installed.lines.reload(lines(self.config.format, sink.as_ref()));
        }
        // Ended here, after the subscriber has let go of it: its last lines are written, and its thread
        // may have one to say.
        let before = other.and_then(|sink| std::mem::replace(&mut current.sink, sink));
        current.config = self.config;
        drop(current);
        drop(before);
        changed
    }
}

/// What is different, key by key. `RUST_LOG` decides of the level, if it is there.
fn changes(before: &LogConfig, now: &LogConfig) -> Vec<Change> {
    let keys = |config: &LogConfig| {
        let LogConfig { level, format, file } = config;
        let path = file.path.as_ref().map(|path| path.display().to_string());
        [
            ("log.level", rust_log().is_none().then(|| level.clone())),
            ("log.format", Some(format!("{format:?}").to_lowercase())),
            ("log.file.path", path),
            ("log.file.rotate_bytes", Some(file.rotate_bytes.to_string())),
            ("log.file.rotate_every", Some(format!("{:?}", file.rotate_every))),
            ("log.file.keep", Some(file.keep.to_string())),
            ("log.file.queue_bytes", Some(file.queue_bytes.to_string())),
        ]
    };
    let pairs = keys(before).into_iter().zip(keys(now));
    let differ = pairs.filter(|((_, from), (_, to))| from != to);
    differ.map(|((what, from), (_, to))| Change { what: what.to_owned(), from, to }).collect()
}
