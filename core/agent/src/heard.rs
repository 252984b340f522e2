//! What is logged on this thread, for unit tests.

use std::io::{Result, Write};
use std::sync::{Arc, Mutex};

use tracing::Dispatch;
use tracing::dispatcher::{DefaultGuard, set_default};

/// Listens until it is dropped.
pub(crate) struct Heard {
    lines: Lines,
    _guard: DefaultGuard,
    /// With one dispatcher alone, `tracing` lets the first thread that comes to a line decide for all of
    /// them whether anybody listens to it.
    _another: Dispatch,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Heard {
    pub(crate) fn listen() -> Self {
        let lines = Lines::default();
        let subscriber = || {
            let writer = lines.clone();
            let log = tracing_subscriber::fmt().with_ansi(false).without_time();
            Dispatch::new(log.with_writer(move || writer.clone()).finish())
        };
        let (ours, another) = (subscriber(), subscriber());
        Self { _guard: set_default(&ours), _another: another, lines: lines.clone() }
    }

    /// The lines that say that.
    pub(crate) fn with(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
