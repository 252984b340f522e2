//! Takes the log events and panics of plugins into this process's `tracing`.

use std::cell::Cell;

use skymesh_plugin_api::abi::bridge::PANIC_TARGET;
use skymesh_plugin_api::abi::host::{HostLog, LogEvent, set_log};
use tracing::Level;

/// The target of all events that come from plugins; the field `from` tells which.
const TARGET: &str = "skymesh::plugin";

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// How many panics of plugins there were on this thread, of those that are loaded: who is linked has the
/// process's own panic hook.
pub(crate) fn panics() -> u64 {
    PANICS.get()
}

/// Connects the libraries' logs to this process's. Repeating it changes nothing.
pub(crate) fn connect() {
    set_log(HostLog { enabled, log });
}

fn enabled(level: Level, _target: &str) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: TARGET, Level::ERROR),
        Level::WARN => tracing::enabled!(target: TARGET, Level::WARN),
        Level::INFO => tracing::enabled!(target: TARGET, Level::INFO),
        Level::DEBUG => tracing::enabled!(target: TARGET, Level::DEBUG),
        Level::TRACE => tracing::enabled!(target: TARGET, Level::TRACE),
    }
}

fn log(event: &LogEvent<'_>) {
    if event.target == PANIC_TARGET {
        PANICS.set(PANICS.get() + 1);
    }
    macro_rules! emit {
        ($level:expr) => {
            if event.fields == "{}" {
                tracing::event!(target: TARGET, $level, from = event.target, "{}", event.message)
            } else {
                tracing::event!(
                    target: TARGET, $level, from = event.target, fields = event.fields,
                    "{}", event.message
                )
            }
        };
    }
    match event.level {
        Level::ERROR => emit!(Level::ERROR),
        Level::WARN => emit!(Level::WARN),
        Level::INFO => emit!(Level::INFO),
        Level::DEBUG => emit!(Level::DEBUG),
        Level::TRACE => emit!(Level::TRACE),
    }
}
