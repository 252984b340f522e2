//! What came of a reload, in a form for people and for programs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// Counts the configurations that took effect: 0 is the one of the start. A refused or idle
    /// reload leaves it as it is.
    pub version: u64,
    /// Whether it took effect.
    pub outcome: ReloadOutcome,
    /// What is different now; empty unless it was applied.
    pub changed: Vec<Change>,
    /// Keys that say something else than what this process runs by, and are read at a start only.
    /// Keys of processes of the other kind (an agent's at a nameserver, and the other way round) are
    /// not among them.
    pub needs_restart: Vec<Change>,
    /// Why it was refused; of an applied one, what is optional and could not be had, and what of before
    /// has not ended in time.
    pub faults: Vec<String>,
}

/// Whether a reload took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// It did.
    Applied,
    /// There was nothing to change; or the process has just started.
    Unchanged,
    /// Something is wrong with it: all runs on as before.
    Refused,
}

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// A key with its tables, or what else is different.
    pub what: String,
    /// Before; `None` if there was nothing, or it might be a secret.
    pub from: Option<String>,
    /// Now; likewise.
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (None, None) => write!(f, "{} changed", self.what),
            (from, to) => {
                let shown =
                    |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".into());
                write!(f, "{}: {} -> {}", self.what, shown(from), shown(to))
            }
        }
    }
}

impl Change {
    /// Of something that has a name before and after.
    pub fn of(what: impl Into<String>, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { what: what.into(), from: Some(from.into()), to: Some(to.into()) }
    }

    /// Of the sink of a table (`metrics`, `trace`): what served before and what serves now.
    pub fn of_sink(table: &str, [from, to]: [String; 2]) -> Self {
        Self::of(format!("{table} sink"), from, to)
    }
}

impl Reload {
    /// Before the first one.
    pub fn start() -> Self {
        Self {
            version: 0,
            outcome: ReloadOutcome::Unchanged,
            changed: Vec::new(),
            needs_restart: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// One that was refused, while that version holds.
    pub fn refused(version: u64, faults: Vec<String>) -> Self {
        Self { version, outcome: ReloadOutcome::Refused, faults, ..Self::start() }
    }

    /// What came of it, and which configuration holds, without the details.
    pub fn verdict(&self) -> String {
        let version = self.version;
        match self.outcome {
            ReloadOutcome::Applied => format!("configuration {version} holds"),
            ReloadOutcome::Unchanged => format!("nothing changed: configuration {version} holds"),
            ReloadOutcome::Refused => format!("refused: configuration {version} still holds"),
        }
    }
}

impl fmt::Display for Reload {
    /// One line, whatever the outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verdict())?;
        let mut list = |title: &str, items: Vec<String>| match items.as_slice() {
            [] => Ok(()),
            items => write!(f, "{title}{}", items.join("; ")),
        };
        list("; ", self.changed.iter().map(ToString::to_string).collect())?;
        list("; needs a restart: ", self.needs_restart.iter().map(ToString::to_string).collect())?;
        list("; ", self.faults.clone())
    }
}
