//! What makes spans, and where finished ones wait. Nobody whose span ends ever waits: a span that finds
//! the queue full is dropped and counted, as is one that the plugin does not take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};

use arc_swap::ArcSwapOption;
use skymesh_plugin_api::SpanKind;

use crate::context::SpanContext;
use crate::span::{ActiveSpan, Finished};

/// Makes spans. Cheap to clone; clones are switched on and off together. Without a plugin it makes none,
/// for the cost of a look.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    switch: Arc<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    /// Whether there is anything to load: the look of those who do not trace costs no more.
    lit: AtomicBool,
    on: ArcSwapOption<On>,
    /// Of all queues that there ever were.
    dropped: Arc<AtomicU64>,
    /// Of batches that no plugin took.
    refused: AtomicU64,
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
    /// Bounded by `room`, which a reload may change.
    sender: Sender<Item>,
    waiting: AtomicUsize,
    room: AtomicUsize,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(crate) enum Item {
    Span(Box<Finished>),
    /// Who reads is to look at its orders.
    Wake,
}

impl Queue {
    fn new(room: usize, dropped: Arc<AtomicU64>) -> (Arc<Self>, Receiver<Item>) {
        let (sender, items) = channel();
        let (waiting, room) = (AtomicUsize::new(0), AtomicUsize::new(room));
        (Arc::new(Self { sender, waiting, room, dropped }), items)
    }

    pub(crate) fn push(&self, span: Box<Finished>) {
        let is_room = self.waiting.fetch_add(1, Relaxed) < self.room.load(Relaxed);
        if !is_room || self.sender.send(Item::Span(span)).is_err() {
            self.waiting.fetch_sub(1, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// A span was taken out.
    pub(crate) fn note_taken(&self) {
        self.waiting.fetch_sub(1, Relaxed);
    }

    pub(crate) fn make_room(&self, room: usize) {
        self.room.store(room, Relaxed);
    }

    pub(crate) fn wake(&self) {
        // Fails if nobody reads any more.
        let _ = self.sender.send(Item::Wake);
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
        self.switch.lit.load(Relaxed)
    }

    /// Begins a span below `parent`, or the root of a new trace; `None` without a plugin. A trace that
    /// its maker does not record is not recorded here, and its name not made.
    pub fn begin(
        &self,
        name: impl FnOnce() -> String,
        kind: SpanKind,
        parent: Option<SpanContext>,
    ) -> Option<ActiveSpan> {
        if !self.is_on() {
            return None;
        }
        let on = self.switch.on.load();
        let on = on.as_ref()?;
        let sampled = |number| on.sample_up_to.is_some_and(|most| number <= most);
        let context = SpanContext::below(parent, sampled);
        Some(ActiveSpan::begin(context, parent, name, kind, &on.queue))
    }

    /// Finished spans that were dropped: the queue was full, or the plugin did not take their batch.
    pub fn dropped(&self) -> u64 {
        self.overflowed() + self.switch.refused.load(Relaxed)
    }

    /// Those of them that found the queue full.
    pub(crate) fn overflowed(&self) -> u64 {
        self.switch.dropped.load(Relaxed)
    }

    /// Finished spans that wait for the plugin now.
    pub fn waiting(&self) -> usize {
        self.switch.on.load().as_ref().map_or(0, |on| on.queue.waiting.load(Relaxed))
    }

    /// A batch of so many spans was not taken.
    pub(crate) fn note_refused(&self, spans: usize) {
        self.switch.refused.fetch_add(u64::try_from(spans).unwrap_or(u64::MAX), Relaxed);
    }

    /// A queue whose drops count here.
    pub(crate) fn queue(&self, room: usize) -> (Arc<Queue>, Receiver<Item>) {
        Queue::new(room, Arc::clone(&self.switch.dropped))
    }

    /// From now on spans go to that queue.
    pub(crate) fn switch_on(&self, queue: Arc<Queue>, sample: f64) {
        let sample_up_to = sample_up_to(sample);
        self.switch.on.store(Some(Arc::new(On { queue, sample_up_to })));
        self.switch.lit.store(true, Relaxed);
    }

    /// From now on no spans are made.
    pub(crate) fn switch_off(&self) {
        self.switch.lit.store(false, Relaxed);
        self.switch.on.store(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{Ending, Value};

    fn tracer(sample: f64, room: usize) -> (Tracer, Receiver<Item>) {
        let tracer = Tracer::default();
        let (queue, items) = tracer.queue(room);
        tracer.switch_on(queue, sample);
        (tracer, items)
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
        let mut root = tracer.begin(|| "root".into(), SpanKind::Client, None).unwrap();
        root.note("n", || Value::Integer(7));
        let below =
            tracer.begin(|| "below".into(), SpanKind::Server, Some(root.context())).unwrap();
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
        let root = none.begin(|| "root".into(), SpanKind::Client, None).unwrap();
        assert!(!root.context().is_sampled());
        let context = root.context();
        drop((root, none.begin(|| unreachable!("not recorded"), SpanKind::Client, Some(context))));
        assert!(items.try_recv().is_err());
        // Who made the trace decides, whatever is sampled here.
        let sampled = SpanContext { flags: 1, ..context };
        drop(none.begin(|| "below".into(), SpanKind::Client, Some(sampled)));
        assert_eq!(next(&items).name, "below");

        let (half, items) = tracer(0.5, 10_000);
        (0..10_000).for_each(|_| drop(half.begin(|| "root".into(), SpanKind::Client, None)));
        let recorded = std::iter::from_fn(|| items.try_recv().ok()).count();
        assert!((4500..5500).contains(&recorded), "{recorded}");
        assert!(Tracer::default().begin(|| "root".into(), SpanKind::Client, None).is_none());
    }

    #[test]
    fn a_call_ends_once_with_its_code_or_as_given_up() {
        use std::time::{Duration, Instant};

        use crate::call::{CallSpan, Failures};
        use crate::spans::STATUS;

        let (tracer, items) = tracer(1.0, 100);
        let ended = |code: Option<u32>, deadline: Option<Instant>, failures: Failures| {
            let span = tracer.begin(|| "call".into(), SpanKind::Client, None);
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
        let span = Tracer::default().begin(|| unreachable!("no span"), SpanKind::Client, None);
        let mut none = CallSpan::new(span, None, Failures::All);
        none.note("key", || unreachable!("no span"));
        none.end(2, || unreachable!("no span"));
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (tracer, items) = tracer(1.0, 2);
        (0..5).for_each(|_| drop(tracer.begin(|| "span".into(), SpanKind::Client, None)));
        assert_eq!((tracer.dropped(), tracer.waiting()), (3, 2));
        let on = tracer.switch.on.load_full().unwrap();
        for _ in 0..2 {
            drop(next(&items));
            on.queue.note_taken();
        }
        assert_eq!(tracer.waiting(), 0);
        drop(tracer.begin(|| "span".into(), SpanKind::Client, None));
        assert_eq!((tracer.dropped(), tracer.waiting()), (3, 1));
    }
}
