//! What a plugin says when it can't be made, or can't do a cold call.

use std::fmt;

/// What kind of failure a [`PluginError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong. The message names the key and what was expected.
    Config,
    /// The plugin understands the request and does not offer it.
    Unsupported,
    /// Anything else, such as an unreachable collector.
    Failed,
    /// The plugin panicked; the message is the panic's. Made by the SDK only.
    Panicked,
}

/// A failure as its author words it. The host puts the strategy's name and place before it, so the
/// text needs neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginError {
    kind: ErrorKind,
    message: String,
}

impl PluginError {
    /// The value of `key` makes no sense; `expected` says what would.
    pub fn config(key: &str, expected: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::Config, message: format!("key `{key}`: expected {expected}") }
    }

    /// A configuration error that is not one key's.
    pub fn config_text(message: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::Config, message: message.to_string() }
    }

    /// The plugin does not offer what is asked.
    pub fn unsupported(message: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::Unsupported, message: message.to_string() }
    }

    /// Anything else went wrong.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::Failed, message: message.to_string() }
    }

    pub(crate) fn of(kind: ErrorKind, message: String) -> Self {
        Self { kind, message }
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text alone.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PluginError {}
