//! Where the events and panics of plugins go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use abi_stable::prefix_type::WithMetadata;
use abi_stable::std_types::RStr;
use tracing_core::Level;

use crate::abi::bridge::{self, HostApi, HostApiRef, LogLine};

/// One event of a plugin.
#[derive(Debug, Clone, Copy)]
pub struct LogEvent<'a> {
    /// How serious.
    pub level: Level,
    /// Usually the plugin's crate and module; [`PANIC_TARGET`](bridge::PANIC_TARGET) for panics.
    pub target: &'a str,
    /// The text.
    pub message: &'a str,
    /// The other fields, as a JSON object.
    pub fields: &'a str,
    /// Source file, empty if unknown.
    pub file: &'a str,
    /// Line in it, 0 if unknown.
    pub line: u32,
}

/// The host's log, as two functions. They may be called by any thread, at any time; a panic in them
/// is swallowed.
#[derive(Debug, Clone, Copy)]
pub struct HostLog {
    /// Whether events of this level and target are wanted now.
    pub enabled: fn(Level, &str) -> bool,
    /// Takes an event.
    pub log: fn(&LogEvent<'_>),
}

static LOG: OnceLock<HostLog> = OnceLock::new();
static API: WithMetadata<HostApi> =
    WithMetadata::new(HostApi { marker: bridge::marker, log_enabled, log });

/// Sets where the events of all libraries go. The first call wins; before it they are dropped.
pub fn set_log(log: HostLog) {
    let _ = LOG.set(log);
}

pub(super) fn api() -> HostApiRef {
    HostApiRef(API.static_as_prefix())
}

fn level(number: u8) -> Level {
    match number {
        0 | 1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    }
}

extern "C" fn log_enabled(number: u8, target: RStr<'_>) -> bool {
    let Some(log) = LOG.get() else { return false };
    catch_unwind(|| (log.enabled)(level(number), target.as_str())).unwrap_or(false)
}

extern "C" fn log(line: &LogLine<'_>) {
    let Some(log) = LOG.get() else { return };
    let event = LogEvent {
        level: level(line.level),
        target: line.target.as_str(),
        message: line.message.as_str(),
        fields: line.fields.as_str(),
        file: line.file.as_str(),
        line: line.line,
    };
    // A subscriber's panic must not cross into the plugin: that would abort the process.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (log.log)(&event))) {
        std::mem::forget(payload);
    }
}
