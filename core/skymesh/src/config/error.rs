//! What is wrong with a configuration: one line per fault, with its place, and no value that could
//! be a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::KeyPath;

/// Why a configuration can't be used. Its text has one line, whatever the number of faults;
/// [`faults`](Self::faults) gives them one by one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such file.
    #[error("{}: no such file; name an existing configuration file, or none for the defaults", .path.display())]
    Missing {
        /// As given.
        path: PathBuf,
    },
    /// The file can't be read.
    #[error("{}: can't be read: {source}", .path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("{file}:{line}:{column}: not TOML: {message}")]
    Malformed {
        /// As given.
        file: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// Keys that do not exist, or whose values can't be.
    #[error("{}", lines(.0).join("; "))]
    Keys(Vec<KeyError>),
}

impl ConfigError {
    /// Wrong keys, in the order of the file.
    pub(super) fn keys(mut faults: Vec<KeyError>) -> Self {
        faults.sort_by(|a, b| a.origin.cmp(&b.origin));
        Self::Keys(faults)
    }

    /// One line for each fault.
    pub fn faults(&self) -> Vec<String> {
        match self {
            Self::Keys(keys) => lines(keys),
            other => vec![other.to_string()],
        }
    }
}

fn lines(keys: &[KeyError]) -> Vec<String> {
    keys.iter().map(KeyError::to_string).collect()
}

/// One key that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    /// The key, with its tables.
    pub key: KeyPath,
    /// Who says so.
    pub origin: Origin,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Code => {}
            origin => write!(f, "{origin}: ")?,
        }
        let key = &self.key;
        match &self.fault {
            Fault::Unknown { nearest, known } => {
                write!(f, "unknown key `{key}`")?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
                    None => write!(f, "; known here: {}", quoted(known)),
                }
            }
            Fault::Missing { name } if key.steps().is_empty() => {
                write!(f, "key `{name}` is missing")
            }
            Fault::Missing { name } => write!(f, "`{key}` lacks the key `{name}`"),
            Fault::Type { expected, found } => write!(f, "`{key}` must be {expected}, not {found}"),
            Fault::NoneOf { found, known, nearest } => {
                write!(f, "`{key}` is `{found}`; it must be one of {}", quoted(known))?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
                    None => Ok(()),
                }
            }
            Fault::Refused { reason } => write!(f, "`{key}`: {reason}"),
            Fault::Underscores { variable } => {
                write!(f, "`{key}` is set with two underscores between levels: {variable}")
            }
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Who gave a key its value; in the order in which faults are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// A file.
    File {
        /// As given.
        path: String,
        /// From 1; `None` where the file does not say the key itself.
        line: Option<usize>,
    },
    /// An environment variable, by its name.
    Variable(String),
    /// The program, or nobody: a default.
    Code,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{path}:{line}"),
            Self::File { path, line: None } => f.write_str(path),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Code => f.write_str("this program"),
        }
    }
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There is no such key.
    Unknown {
        /// The key that is most like it: beside it, or of that very name in another table.
        nearest: Option<String>,
        /// The keys that there are beside it.
        known: Vec<String>,
    },
    /// The table lacks a key that it needs.
    Missing {
        /// That key.
        name: String,
    },
    /// The value is of another type.
    Type {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The value is a word, and none of the known ones.
    NoneOf {
        /// The word.
        found: String,
        /// Those that there are.
        known: Vec<String>,
        /// The most similar one.
        nearest: Option<String>,
    },
    /// The value (or the table's name) is of the right type and can't be.
    Refused {
        /// Why.
        reason: String,
    },
    /// An environment variable with single underscores, which is not looked at.
    Underscores {
        /// What it should be called.
        variable: String,
    },
}
