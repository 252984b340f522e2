//! Why a command failed: one line for each reason, exit code 1. Usage errors are clap's (code 2).

use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;

use skymesh::ConfigError;

/// What is told on standard error when a command fails.
#[derive(Debug)]
pub(crate) struct Failure {
    lines: Vec<String>,
}

impl Failure {
    /// One reason for each of the lines.
    pub(crate) fn of(lines: Vec<String>) -> Self {
        Self { lines }
    }

    /// Prints the reasons and answers the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        for line in &self.lines {
            // A reason is one line, whatever a library below says.
            eprintln!("error: {}", line.trim().replace('\n', " "));
        }
        ExitCode::FAILURE
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("; "))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { lines: error.faults() }
    }
}

/// For errors that say one thing.
pub(crate) fn failed(error: impl Display) -> Failure {
    Failure { lines: vec![error.to_string()] }
}
