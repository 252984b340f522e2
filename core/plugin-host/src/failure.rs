//! What can go wrong in one call of a plugin, in words.

use std::fmt;
use std::time::Duration;

use skymesh_plugin_api::PluginKind;

/// What went wrong in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The plugin panicked.
    Panic,
    /// It panicked when it was to make its table for a membership.
    PanicInPrepare,
    /// It panicked when something of it was dropped.
    PanicAtEnd,
    /// It answered an index that is none.
    OutOfView,
    /// It elected somebody who does not stand.
    NoCandidate,
    /// It asked for more space than it had said it needs.
    Insatiable,
    /// It broke its contract in another way.
    Broken(&'static str),
    /// It took longer than that.
    Slow(Duration),
}

impl Failure {
    /// One bit for each kind, to tell which were named already.
    pub(crate) fn bit(self) -> u8 {
        match self {
            Self::Panic => 1,
            Self::OutOfView => 2,
            Self::NoCandidate => 4,
            Self::Slow(_) => 8,
            Self::PanicInPrepare => 16,
            Self::PanicAtEnd => 32,
            Self::Insatiable => 64,
            Self::Broken(_) => 128,
        }
    }

    /// What it means to those who called.
    pub(crate) fn consequence(self, kind: PluginKind) -> &'static str {
        match (self, kind) {
            (Self::Slow(_), PluginKind::Metrics | PluginKind::Trace) => {
                "the next batch waited for it, and no message"
            }
            (Self::Slow(_), PluginKind::Election) => "its elections waited for it",
            (Self::Slow(_), _) => "its answer counts, and everybody waited for it",
            (Self::PanicAtEnd, _) => "what it held may be lost",
            (_, PluginKind::Selector) => "the built-in pick serves instead, whenever this happens",
            (_, PluginKind::Election) => "the built-in rule decides instead, whenever this happens",
            (_, PluginKind::Codec) => "that one call failed, as will any other that meets this",
            (_, PluginKind::Metrics | PluginKind::Trace) => "that batch is lost",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic => f.write_str("it panicked"),
            Self::PanicInPrepare => f.write_str("it panicked while it prepared its table"),
            Self::PanicAtEnd => f.write_str("it panicked when it was dropped"),
            Self::OutOfView => f.write_str("it picked outside of the view"),
            Self::NoCandidate => f.write_str("it elected somebody who does not stand"),
            Self::Insatiable => f.write_str("it asked for more space than it had said it needs"),
            Self::Broken(how) => f.write_str(how),
            Self::Slow(budget) => write!(f, "it took longer than {budget:?}"),
        }
    }
}

/// What quarantine means, for the log; nothing of what never is.
pub(crate) fn quarantine(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Selector => "the built-in selector serves until a reload",
        PluginKind::Election => "the built-in rule serves until a reload",
        PluginKind::Metrics | PluginKind::Trace => "it gets nothing more until a reload",
        PluginKind::Codec => "",
    }
}
