//! The way of finished spans from their queue to the trace plugin: a thread that batches.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use skymesh_plugin_api::{Attribute, AttributeValue, Span, SpanStatus, TraceBatch};
use skymesh_plugin_host::{
    PluginHost, PluginLoadError, Renewal, SinkRecord, StrategyConfig, TraceSlot,
};

use crate::config::TraceConfig;
use crate::outlet::{Outlet, Place};
use crate::sinks::TelemetryError;
use crate::span::{Ending, Finished, Value};
use crate::tracer::{Item, Queue, Tracer};

/// Most spans of one batch.
const BATCH: usize = 512;

/// What is exported, and to whom. Dropping it exports what waits, and then drops the plugin's exporter;
/// one that takes longer than 5 s is left behind.
#[derive(Debug)]
pub struct Tracing {
    pub(crate) place: Place<Export>,
}

/// All that outlives an exporter.
#[derive(Debug)]
pub(crate) struct Export {
    resource: Vec<(String, String)>,
    tracer: Tracer,
    interval_ns: AtomicU64,
    /// A share, as bits.
    sample: AtomicU64,
    room: AtomicUsize,
    /// Exchanged under the lock of `unread` only, so that the two always belong together.
    queue: ArcSwap<Queue>,
    /// What waits in the queue, while nobody reads it.
    unread: Mutex<Option<Receiver<Item>>>,
    /// How many spans that found the queue full a plugin was told of.
    told: AtomicU64,
}

impl Tracing {
    /// Loads the plugin that the configuration names, and starts to export; without one, or with one
    /// that is not required and can't be had, no spans are made. `resource` labels the whole process.
    ///
    /// # Errors
    /// [`TelemetryError`].
    pub fn start(
        host: &PluginHost,
        config: &TraceConfig,
        resource: Vec<(String, String)>,
    ) -> Result<Self, TelemetryError> {
        if let Some((key, fault)) = config.faults().into_iter().next() {
            return Err(TelemetryError::Range { key, fault });
        }
        let tracer = Tracer::default();
        let (queue, items) = tracer.queue(0);
        let place = Place::empty(Export {
            resource,
            tracer,
            interval_ns: AtomicU64::new(0),
            sample: AtomicU64::new(0),
            room: AtomicUsize::new(0),
            queue: ArcSwap::new(queue),
            unread: Mutex::new(Some(items)),
            told: AtomicU64::new(0),
        });
        let tracing = Self { place };
        tracing.set(config);
        let slot = config.strategy().map(|strategy| host.trace(&strategy)).transpose()?;
        if let Some(slot) = slot.flatten() {
            tracing.place.start(slot)?;
        }
        Ok(tracing)
    }

    /// What makes spans for it.
    pub fn tracer(&self) -> Tracer {
        self.place.outlet.tracer.clone()
    }

    pub(crate) fn set(&self, config: &TraceConfig) {
        let export = &self.place.outlet;
        let interval = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX);
        export.interval_ns.store(interval, Relaxed);
        export.sample.store(config.sample.to_bits(), Relaxed);
        export.room.store(config.queue, Relaxed);
        if export.tracer.is_on() {
            export.switch_on();
            export.wake();
        }
    }
}

impl Outlet for Export {
    type Slot = TraceSlot;
    const NAME: &'static str = "skymesh-trace";

    fn record(slot: &TraceSlot) -> SinkRecord {
        slot.record()
    }

    fn renew(
        self: &Arc<Self>,
        renewal: &Renewal<'_>,
        record: Option<&SinkRecord>,
        strategy: &StrategyConfig,
    ) -> Result<Option<Arc<TraceSlot>>, PluginLoadError> {
        // Without spans: one that was exported by two would be there twice.
        let first = |slot: &TraceSlot| {
            slot.export(&TraceBatch { spans: &[], resource: &[], dropped: 0 });
        };
        renewal.trace_for(record, strategy, first)
    }

    fn again(host: &PluginHost, record: &SinkRecord) -> Result<TraceSlot, PluginLoadError> {
        host.trace_again(record)
    }

    fn serve(&self, slot: &TraceSlot, orders: &Receiver<()>) {
        let (queue, items) = {
            let mut unread = self.unread();
            (self.queue.load_full(), unread.take())
        };
        let Some(items) = items else { return };
        let mut spans = Vec::new();
        loop {
            let ended = self.gather(&queue, &items, orders, &mut spans);
            self.export(slot, &queue, &spans);
            spans.clear();
            if ended {
                break;
            }
        }
        // Unless it took so long that there is another queue.
        let mut unread = self.unread();
        if Arc::ptr_eq(&queue, &self.queue.load()) {
            *unread = Some(items);
        }
    }

    fn wake(&self) {
        self.queue.load().wake();
    }

    fn begin(&self) {
        let mut unread = self.unread();
        if unread.is_none() {
            // The exporter before has not come back with it.
            let (queue, items) = self.tracer.queue(0);
            self.queue.store(queue);
            *unread = Some(items);
        }
        drop(unread);
        self.switch_on();
    }

    fn rest(&self) {
        self.tracer.switch_off();
        self.queue.load().make_room(0);
    }
}

impl Export {
    fn unread(&self) -> MutexGuard<'_, Option<Receiver<Item>>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn switch_on(&self) {
        let queue = self.queue.load_full();
        queue.make_room(self.room.load(Relaxed));
        self.tracer.switch_on(queue, f64::from_bits(self.sample.load(Relaxed)));
    }

    /// Nobody takes what is in that queue any more: no spans are made, until a reload makes another
    /// exporter. What has begun is counted as dropped when it comes.
    fn give_up(&self, queue: &Arc<Queue>) {
        // Under the lock: if another exporter has a queue of its own, spans are its affair.
        let _unread = self.unread();
        if Arc::ptr_eq(queue, &self.queue.load()) {
            self.tracer.switch_off();
        }
    }

    /// Waits for the first span, then up to the interval for more, up to a batch. Answers whether no
    /// more are waited for.
    fn gather(
        &self,
        queue: &Queue,
        items: &Receiver<Item>,
        orders: &Receiver<()>,
        spans: &mut Vec<Finished>,
    ) -> bool {
        let interval = || Duration::from_nanos(self.interval_ns.load(Relaxed));
        let mut until = Instant::now() + interval();
        while spans.len() < BATCH {
            match items.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Item::Span(span)) => {
                    queue.note_taken();
                    spans.push(*span);
                }
                // What came before the word that ends it is gathered; what comes after it is the next
                // one's.
                Ok(Item::Wake) => match orders.try_recv() {
                    Err(TryRecvError::Disconnected) => return true,
                    Ok(()) | Err(TryRecvError::Empty) => until = Instant::now() + interval(),
                },
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) if spans.is_empty() => until += interval(),
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        false
    }

    fn export(&self, slot: &TraceSlot, queue: &Arc<Queue>, spans: &[Finished]) {
        let dropped = self.tracer.overflowed();
        // Two exporters may be at it, if one was left behind: each drop is for one of them.
        let since = dropped.saturating_sub(self.told.fetch_max(dropped, Relaxed));
        if spans.is_empty() && since == 0 {
            return;
        }
        let attributes: Vec<Vec<Attribute<'_>>> =
            spans.iter().map(|span| span.attributes.iter().map(attribute).collect()).collect();
        let shown: Vec<Span<'_>> =
            spans.iter().zip(&attributes).map(|(span, all)| shown(span, all)).collect();
        let resource: Vec<Attribute<'_>> = self
            .resource
            .iter()
            .map(|(key, value)| Attribute { key, value: AttributeValue::Text(value) })
            .collect();
        let batch = TraceBatch { spans: &shown, resource: &resource, dropped: since };
        let taken = slot.export(&batch);
        if slot.is_quarantined() {
            self.give_up(queue);
        }
        // Why not is in the log.
        if !taken {
            self.tracer.note_refused(spans.len());
        }
    }
}

fn attribute<'a>((key, value): &'a (&'static str, Value)) -> Attribute<'a> {
    let value = match value {
        Value::Text(text) => AttributeValue::Text(text),
        Value::Word(word) => AttributeValue::Text(word),
        Value::Integer(number) => AttributeValue::Integer(*number),
    };
    Attribute { key, value }
}

fn shown<'a>(span: &'a Finished, attributes: &'a [Attribute<'a>]) -> Span<'a> {
    Span {
        trace_id: span.context.trace_id,
        span_id: span.context.span_id,
        parent_id: span.parent_id,
        trace_flags: span.context.flags,
        trace_state: &span.trace_state,
        name: &span.name,
        kind: span.kind,
        start_unix_ns: span.start_unix_ns,
        end_unix_ns: span.end_unix_ns,
        status: match &span.ending {
            Ending::Unset => SpanStatus::Unset,
            Ending::Failed(message) => SpanStatus::Error(message),
        },
        attributes,
        events: &[],
    }
}
