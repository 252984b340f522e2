//! What tracing costs where nobody traces: no allocation, and nothing is made to be told.

use allocation_counter::measure;
use skymesh_telemetry::{
    CallSpan, Failures, Scope, SpanContext, SpanKind, Tracer, current, current_state,
};

const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn without_a_plugin_calls_allocate_nothing_for_their_traces() {
    let control = measure(|| drop(Box::new(1)));
    assert_eq!(control.count_total, 1, "this counts");
    let tracer = Tracer::default();
    let call = |said: Option<SpanContext>| {
        let parent = said.or_else(current);
        let span = tracer.begin(|| unreachable!("nobody traces"), SpanKind::Client, parent);
        let mut span = CallSpan::new(span, None, Failures::All);
        span.note("key", || unreachable!("nobody traces"));
        let scope = Scope::new(span.context().or(parent), current_state());
        let entered = scope.enter();
        assert_eq!(current(), said, "what came passes through");
        drop(entered);
        span.end(13, || unreachable!("nobody traces"));
    };
    for said in [None, SpanContext::from_traceparent(TEXT)] {
        let measured = measure(|| (0..1_000).for_each(|_| call(said)));
        assert_eq!(measured.count_total, 0, "{said:?}");
    }
}
