//! What plugins say while they are checked: panics say where and why. Gathered, for a plugin that panics
//! does so in each of thousands of calls.

use std::io::{self, Write};
use std::panic::{set_hook, take_hook};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;

use crate::failure::{Failure, failed};

/// Different lines that are kept.
const LINES: usize = 16;

/// The errors that plugins have logged, each once, with how often.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<(String, u64)>>>);

impl Heard {
    /// Begins to listen, to all threads, in place of the process's log. And the suites tell by panicking,
    /// which is for tests: here that is an answer, wherever it happens but on the main thread.
    ///
    /// # Errors
    /// If there is a log already.
    pub(super) fn listen() -> Result<Self, Failure> {
        let heard = Self::default();
        let writer = heard.clone();
        let log = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::ERROR)
            .without_time()
            .with_level(false)
            .with_target(false)
            .with_ansi(false)
            .with_writer(move || writer.clone());
        log.try_init().map_err(failed)?;
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some("main") {
                usual(panic);
            }
        }));
        Ok(heard)
    }

    /// The lines, in the order in which they were heard first.
    pub(super) fn lines(&self) -> Vec<String> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |(line, count): &(String, u64)| match count {
            1 => line.clone(),
            count => format!("{line} ({count} times)"),
        };
        said.iter().map(line).collect()
    }
}

impl Write for Heard {
    /// Called with one event at a time.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        // Where it comes from is plain: it is the library that is checked.
        let line = text.split(" from=").next().unwrap_or_default().trim();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = said.iter_mut().find(|(known, _)| known == line) {
            *count += 1;
        } else if said.len() < LINES {
            said.push((line.to_owned(), 1));
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
