//! Carries a plugin's `tracing` events and panics to the host's log. A shared library has statics of
//! its own, so without this they would vanish.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use abi_stable::StableAbi;
use abi_stable::std_types::RStr;
use serde_json::{Map, Value};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Event, LevelFilter, Metadata, Subscriber, dispatcher};

/// What the host offers a plugin library.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostApiRef)))]
#[sabi(missing_field(option))]
pub struct HostApi {
    /// Tells a plugin linked into the host's own binary from one in a library of its own.
    pub marker: extern "C" fn() -> usize,
    /// Whether the host wants events of this level and target now.
    pub log_enabled: extern "C" fn(level: u8, target: RStr<'_>) -> bool,
    /// Takes one event.
    #[sabi(last_prefix_field)]
    pub log: extern "C" fn(line: &LogLine<'_>),
}

/// One log event as it crosses.
#[repr(C)]
#[derive(StableAbi)]
pub struct LogLine<'a> {
    /// 1 error to 5 trace.
    pub(crate) level: u8,
    pub(crate) target: RStr<'a>,
    pub(crate) message: RStr<'a>,
    /// A JSON object.
    pub(crate) fields: RStr<'a>,
    pub(crate) file: RStr<'a>,
    pub(crate) line: u32,
}

/// The target under which a plugin's panics reach the host's log.
pub const PANIC_TARGET: &str = "skymesh::plugin::panic";

static HOST: OnceLock<HostApiRef> = OnceLock::new();
static MAX_LEVEL: AtomicU8 = AtomicU8::new(0);
static MARKER: u8 = 0;

/// An address that differs between two copies of this crate in one process.
pub(crate) extern "C" fn marker() -> usize {
    &raw const MARKER as usize
}

/// The plugin's side of [`PluginModule::attach`](super::module::PluginModule::attach).
pub(crate) extern "C" fn attach(host: HostApiRef, max_level: u8) {
    if host.marker()() == marker() || HOST.set(host).is_err() {
        // Linked into the host: it has the host's statics already. Or attached before.
        return;
    }
    MAX_LEVEL.store(max_level, Relaxed);
    if !dispatcher::has_been_set() {
        // An author who installs a dispatcher of his own in a static initialiser keeps it.
        let _ = dispatcher::set_global_default(dispatcher::Dispatch::new(Bridge { host }));
    }
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic_message(panic.payload());
        let (file, line) = panic.location().map_or(("", 0), |at| (at.file(), at.line()));
        let text = format!("panicked at {file}:{line}: {message}");
        host.log()(&LogLine {
            level: 1,
            target: PANIC_TARGET.into(),
            message: text.as_str().into(),
            fields: "{}".into(),
            file: file.into(),
            line,
        });
    }));
}

/// The plugin's side of [`PluginModule::set_max_level`](super::module::PluginModule::set_max_level).
pub(crate) extern "C" fn set_max_level(max_level: u8) {
    if HOST.get().is_some() && MAX_LEVEL.swap(max_level, Relaxed) != max_level {
        // Without this, events that were off at first stay off: their call sites remember.
        tracing_core::callsite::rebuild_interest_cache();
    }
}

/// The text of a panic, as far as it has one.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a value without text",
    }
}

/// The plugin's dispatcher: hands events on, and knows no spans.
struct Bridge {
    host: HostApiRef,
}

/// 1 error to 5 trace, as it crosses.
pub(crate) fn level_number(filter: LevelFilter) -> u8 {
    const ORDER: [LevelFilter; 5] = [
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    ORDER.iter().position(|level| *level == filter).map_or(0, |place| place as u8 + 1)
}

fn number_of(metadata: &Metadata<'_>) -> u8 {
    level_number(LevelFilter::from_level(*metadata.level()))
}

impl Subscriber for Bridge {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() && number_of(metadata) <= MAX_LEVEL.load(Relaxed) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match MAX_LEVEL.load(Relaxed) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = number_of(metadata);
        metadata.is_event()
            && level <= MAX_LEVEL.load(Relaxed)
            && self.host.log_enabled()(level, metadata.target().into())
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let rest = Value::Object(fields.rest).to_string();
        self.host.log()(&LogLine {
            level: number_of(metadata),
            target: metadata.target().into(),
            message: fields.message.as_str().into(),
            fields: rest.as_str().into(),
            file: metadata.file().unwrap_or("").into(),
            line: metadata.line().unwrap_or(0),
        });
    }

    // Spans do not nest across the boundary; a plugin's own are accepted and forgotten.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.rest.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}
