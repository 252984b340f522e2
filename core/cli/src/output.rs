//! What a command answers, on standard output. A reader that has seen enough (`| head`) is no error.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::{Failure, failed};

/// Writes a text as it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| failed(format!("can't write the answer: {error}"))),
    }
}

/// Writes a value as indented JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(failed)?;
    print(&format!("{text}\n"))
}

/// So many of a noun whose plural is regular.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
