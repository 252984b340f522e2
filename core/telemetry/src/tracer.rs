//! The way of finished spans: a bounded queue, a thread that batches, the trace plugin. Nobody whose
//! span ends ever waits: a span that finds the queue full is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use skymesh_plugin_api::{Attribute, AttributeValue, Span, SpanKind, SpanStatus, TraceBatch};
use skymesh_plugin_host::{PluginHost, TraceSlot};

use crate::config::TraceConfig;
use crate::context::SpanContext;
use crate::metrics::TelemetryError;
use crate::span::{ActiveSpan, Ending, Finished, Value};

/// Most spans of one batch.
const BATCH: usize = 512;

/// Makes spans. Cheap to clone. Without a plugin it makes none, for the cost of a look.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    on: Option<Arc<On>>,
}

#[derive(Debug)]
struct On {
    queue: Arc<Queue>,
    /// New traces whose random number is at most this are recorded.
    sample_up_to: Option<u64>,
}

/// Where finished spans wait.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: SyncSender<Item>,
    dropped: AtomicU64,
}

enum Item {
    Span(Box<Finished>),
    /// No more spans are waited for.
    Stop,
}

impl Queue {
    pub(crate) fn push(&self, span: Box<Finished>) {
        if self.sender.try_send(Item::Span(span)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// The running export. Dropping it exports what waits, and then drops the plugin's exporter; that
/// may take as long as the plugin does.
#[derive(Debug)]
pub struct Tracing {
    tracer: Tracer,
    thread: Option<JoinHandle<()>>,
}

impl Tracing {
    /// Loads the plugin that the configuration names, and starts to export. `None` if it names none,
    /// or one that is not required and can't be had. `resource` labels the whole process.
    ///
    /// # Errors
    /// [`TelemetryError`].
    pub fn start(
        host: &PluginHost,
        config: &TraceConfig,
        resource: Vec<(String, String)>,
    ) -> Result<Option<Self>, TelemetryError> {
        if let Some((key, fault)) = config.fault() {
            return Err(TelemetryError::Range { key, fault });
        }
        let Some(strategy) = config.strategy() else { return Ok(None) };
        let Some(slot) = host.trace(&strategy)? else { return Ok(None) };
        let (sender, items) = sync_channel(config.queue.max(1));
        let queue = Arc::new(Queue { sender, dropped: AtomicU64::new(0) });
        let export = Export { slot, resource, queue: Arc::clone(&queue), told: 0 };
        let interval = config.interval;
        let thread = std::thread::Builder::new()
            .name("skymesh-trace".to_owned())
            .spawn(move || export.run(&items, interval))?;
        let sample_up_to = sample_up_to(config.sample);
        let tracer = Tracer { on: Some(Arc::new(On { queue, sample_up_to })) };
        Ok(Some(Self { tracer, thread: Some(thread) }))
    }

    /// What makes spans for it.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        if let Some(on) = &self.tracer.on {
            // Waits for room, which the thread makes; fails if it has ended.
            let _ = on.queue.sender.send(Item::Stop);
        }
        if let Some(thread) = self.thread.take() {
            // A panic of it has been said by the panic hook.
            let _ = thread.join();
        }
    }
}

/// `None` for nothing at all.
fn sample_up_to(share: f64) -> Option<u64> {
    // Saturates: 1 and more are all.
    (share > 0.0).then_some((share * u64::MAX as f64) as u64)
}

impl Tracer {
    /// Whether there is a plugin that wants spans.
    pub fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// Begins a span below `parent`, or the root of a new trace; `None` without a plugin. A trace that
    /// its maker does not record is not recorded here.
    pub fn begin(
        &self,
        name: &str,
        kind: SpanKind,
        parent: Option<SpanContext>,
    ) -> Option<ActiveSpan> {
        let on = self.on.as_ref()?;
        let sampled = |number| on.sample_up_to.is_some_and(|most| number <= most);
        let context = SpanContext::below(parent, sampled);
        Some(ActiveSpan::begin(context, parent, name, kind, &on.queue))
    }

    /// Spans that were dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.on.as_ref().map_or(0, |on| on.queue.dropped.load(Relaxed))
    }
}

struct Export {
    slot: TraceSlot,
    resource: Vec<(String, String)>,
    queue: Arc<Queue>,
    /// How many dropped spans the plugin was told of.
    told: u64,
}

impl Export {
    fn run(mut self, items: &Receiver<Item>, interval: Duration) {
        let mut spans = Vec::new();
        loop {
            let stopped = gather(items, interval, &mut spans);
            self.export(&spans);
            spans.clear();
            if stopped {
                return;
            }
        }
    }

    fn export(&mut self, spans: &[Finished]) {
        let dropped = self.queue.dropped.load(Relaxed);
        if spans.is_empty() && dropped == self.told {
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
        let since = dropped - self.told;
        let _ =
            self.slot.export(&TraceBatch { spans: &shown, resource: &resource, dropped: since });
        self.told = dropped;
    }
}

/// Waits for the first span, then up to `interval` for more, up to a batch. Answers whether no more
/// come.
fn gather(items: &Receiver<Item>, interval: Duration, spans: &mut Vec<Finished>) -> bool {
    let mut until = Instant::now() + interval;
    while spans.len() < BATCH {
        match items.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Item::Span(span)) => spans.push(*span),
            // What came before it is gathered; what comes after it is not waited for.
            Ok(Item::Stop) => return true,
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) if spans.is_empty() => until += interval,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    false
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tracer(sample: f64, room: usize) -> (Tracer, Receiver<Item>) {
        let (sender, items) = sync_channel(room);
        let queue = Arc::new(Queue { sender, dropped: AtomicU64::new(0) });
        let on = On { queue, sample_up_to: sample_up_to(sample) };
        (Tracer { on: Some(Arc::new(on)) }, items)
    }

    fn next(items: &Receiver<Item>) -> Box<Finished> {
        match items.try_recv() {
            Ok(Item::Span(span)) => span,
            _ => panic!("no span"),
        }
    }

    #[test]
    fn a_span_ends_when_it_is_dropped_and_those_below_it_know_it() {
        let (tracer, items) = tracer(1.0, 10);
        let mut root = tracer.begin("root", SpanKind::Client, None).unwrap();
        root.note("n", || Value::Integer(7));
        let below = tracer.begin("below", SpanKind::Server, Some(root.context())).unwrap();
        assert!(items.try_recv().is_err());
        drop(below);
        root.fail(|| "lost".to_owned());
        drop(root);
        let (below, root) = (next(&items), next(&items));
        assert_eq!((below.name.as_str(), below.parent_id), ("below", root.context.span_id));
        assert_eq!((root.parent_id, below.context.trace_id), (0, root.context.trace_id));
        assert_eq!(root.ending, Ending::Failed("lost".to_owned()));
        assert_eq!(root.attributes, [("n", Value::Integer(7))]);
        assert!(root.end_unix_ns >= below.end_unix_ns && below.start_unix_ns >= root.start_unix_ns);
    }

    #[test]
    fn what_is_not_sampled_has_a_context_and_is_not_recorded() {
        let (none, items) = tracer(0.0, 10);
        let root = none.begin("root", SpanKind::Client, None).unwrap();
        assert!(!root.context().is_sampled());
        let context = root.context();
        drop((root, none.begin("below", SpanKind::Client, Some(context))));
        assert!(items.try_recv().is_err());
        // Who made the trace decides, whatever is sampled here.
        let sampled = SpanContext { flags: 1, ..context };
        drop(none.begin("below", SpanKind::Client, Some(sampled)));
        assert_eq!(next(&items).name, "below");

        let (half, items) = tracer(0.5, 10_000);
        (0..10_000).for_each(|_| drop(half.begin("root", SpanKind::Client, None)));
        let recorded = std::iter::from_fn(|| items.try_recv().ok()).count();
        assert!((4500..5500).contains(&recorded), "{recorded}");
        assert!(Tracer::default().begin("root", SpanKind::Client, None).is_none());
    }

    #[test]
    fn a_call_ends_once_with_its_code_or_as_given_up() {
        use std::time::{Duration, Instant};

        use crate::call::{CallSpan, Failures};
        use crate::spans::STATUS;

        let (tracer, items) = tracer(1.0, 10);
        let ended = |code: Option<u32>, deadline: Option<Instant>, failures: Failures| {
            let span = tracer.begin("call", SpanKind::Client, None);
            let mut call = CallSpan::new(span, deadline, failures);
            if let Some(code) = code {
                call.end(code, || "odd".to_owned());
                call.end(2, || unreachable!("it has ended"));
            }
            drop(call);
            let span = next(&items);
            let status = span.attributes.iter().find(|(key, _)| *key == STATUS).unwrap();
            let Value::Word(status) = status.1 else { panic!("{span:?}") };
            (status, span.ending != Ending::Unset)
        };
        assert_eq!(ended(Some(0), None, Failures::All), ("OK", false));
        assert_eq!(ended(Some(5), None, Failures::All), ("NOT_FOUND", true));
        assert_eq!(ended(Some(5), None, Failures::OfTheServer), ("NOT_FOUND", false));
        for code in [2, 4, 12, 13, 14, 15] {
            assert!(ended(Some(code), None, Failures::OfTheServer).1, "{code}");
        }
        assert_eq!(ended(None, None, Failures::All), ("CANCELLED", true));
        assert_eq!(ended(None, None, Failures::OfTheServer), ("CANCELLED", false));
        let now = Instant::now();
        let later = Some(now + Duration::from_secs(3600));
        assert_eq!(ended(None, later, Failures::All), ("CANCELLED", true));
        assert_eq!(ended(None, Some(now), Failures::OfTheServer), ("DEADLINE_EXCEEDED", true));

        // Nothing is made where nobody traces.
        let mut none =
            CallSpan::new(Tracer::default().begin("", SpanKind::Client, None), None, Failures::All);
        none.note("key", || unreachable!("no span"));
        none.end(2, || unreachable!("no span"));
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (tracer, items) = tracer(1.0, 2);
        (0..5).for_each(|_| drop(tracer.begin("span", SpanKind::Client, None)));
        assert_eq!(tracer.dropped(), 3);
        drop((next(&items), next(&items)));
        drop(tracer.begin("span", SpanKind::Client, None));
        assert_eq!(tracer.dropped(), 3);
    }
}
