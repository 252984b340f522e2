//! The suites find what they promise to find: each broken plugin here fails its suite with a message
//! that names the broken promise.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not in a #[test] themselves")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde::Deserialize;
use skymesh_plugin_api::conformance;
use skymesh_plugin_api::{
    AttributeValue, Ballot, Codec, CodecError, Election, Envelope, Metrics, MetricsBatch, NoConfig,
    Output, PluginError, Request, SampleValue, Scratch, Selector, Trace, TraceBatch, View,
};

/// Runs a suite that must fail, and checks what it says.
#[track_caller]
fn fails(suite: impl FnOnce(), expected: &str) {
    let payload = catch_unwind(AssertUnwindSafe(suite)).expect_err("the suite found nothing");
    let text = payload.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.contains(expected), "`{expected}` is missing in: {text}");
}

/// A selector whose pick is an expression.
macro_rules! selector {
    ($name:ident, $id:literal, $deterministic:literal, |$view:ident, $request:ident| $pick:expr) => {
        struct $name;
        impl Selector for $name {
            const ID: &'static str = $id;
            const DETERMINISTIC: bool = $deterministic;
            type Config = NoConfig;
            type Table = ();
            fn new(_: NoConfig) -> Result<Self, PluginError> {
                Ok(Self)
            }
            fn prepare(&self, _: &View<'_>) {}
            fn pick(&self, $view: &View<'_>, _: &(), $request: &Request) -> Option<usize> {
                $pick
            }
        }
    };
}

selector!(Honest, "honest", true, |view, request| {
    let key = request.key().unwrap_or(request.entropy());
    (!view.is_empty()).then(|| (key % view.len() as u64) as usize)
});
selector!(BadlyNamed, "Badly-Named", false, |view, _request| (!view.is_empty()).then_some(0));
selector!(Outside, "outside", false, |view, _request| Some(view.len()));
selector!(Divides, "divides", false, |view, request| {
    Some((request.entropy() % view.len() as u64) as usize)
});
selector!(Shy, "shy", false, |view, _request| (view.len() > 1).then_some(1));
selector!(Fickle, "fickle", true, |view, request| {
    (!view.is_empty()).then(|| (request.entropy() % view.len() as u64) as usize)
});
selector!(Overflows, "overflows", false, |view, _request| {
    let sum = view.weights().iter().fold(0u32, |sum, weight| sum.checked_add(*weight).unwrap());
    (!view.is_empty()).then_some((sum / u32::MAX) as usize)
});

/// A selector that says it is deterministic, and whose table is an expression.
macro_rules! deterministic {
    ($name:ident, $id:literal, $table:ty, |$view:ident| $prepare:expr, |$key:ident, $with:ident| $pick:expr) => {
        struct $name;
        impl Selector for $name {
            const ID: &'static str = $id;
            const DETERMINISTIC: bool = true;
            type Config = NoConfig;
            type Table = $table;
            fn new(_: NoConfig) -> Result<Self, PluginError> {
                Ok(Self)
            }
            fn prepare(&self, $view: &View<'_>) -> $table {
                $prepare
            }
            fn pick(&self, view: &View<'_>, $with: &$table, request: &Request) -> Option<usize> {
                let $key = request.key().unwrap_or(0);
                (!view.is_empty()).then(|| ($pick as usize) % view.len())
            }
        }
    };
}

deterministic!(Counts, "counts", AtomicU64, |_view| AtomicU64::new(0), |key, counted| {
    key.wrapping_add(counted.fetch_add(1, Relaxed))
});
deterministic!(
    Measures,
    "measures",
    u64,
    |view| (0..view.len()).fold(0, |sum: u64, at| sum.wrapping_add(view.stats(at).rtt_ewma_ns())),
    |key, measured| key.wrapping_add(*measured)
);

#[derive(Deserialize)]
struct Loose {}

/// Accepts any key, and so silently ignores misspelt ones.
struct Careless;
impl Selector for Careless {
    const ID: &'static str = "careless";
    const CONFIG_SCHEMA: &'static str = r#"{"type": "object"}"#;
    type Config = std::collections::BTreeMap<String, u64>;
    type Table = ();
    fn new(_: Self::Config) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn prepare(&self, _: &View<'_>) {}
    fn pick(&self, view: &View<'_>, _: &(), _: &Request) -> Option<usize> {
        (!view.is_empty()).then_some(0)
    }
}

/// Has no `deny_unknown_fields` and no useful schema; the SDK denies for it.
struct Forgetful;
impl Selector for Forgetful {
    const ID: &'static str = "forgetful";
    const CONFIG_SCHEMA: &'static str = "{}";
    type Config = Loose;
    type Table = ();
    fn new(_: Loose) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn prepare(&self, _: &View<'_>) {}
    fn pick(&self, view: &View<'_>, _: &(), _: &Request) -> Option<usize> {
        (!view.is_empty()).then_some(0)
    }
}

#[test]
fn broken_selectors_are_found() {
    conformance::selector::<Honest>();
    conformance::selector::<Forgetful>();
    fails(conformance::selector::<BadlyNamed>, "the id must match");
    fails(conformance::selector::<Outside>, "outside: picked an index outside");
    fails(conformance::selector::<Divides>, "divides: pick panicked on a view of 0 instances");
    fails(conformance::selector::<Shy>, "shy: picked none of 1 instance");
    fails(conformance::selector::<Fickle>, "fickle: says DETERMINISTIC");
    fails(conformance::selector::<Counts>, "counts: says DETERMINISTIC");
    fails(conformance::selector::<Measures>, "measures: says DETERMINISTIC");
    fails(
        conformance::selector::<Overflows>,
        "overflows: pick panicked on a view of 3 instances of the largest",
    );
    fails(
        conformance::selector::<Careless>,
        "careless: a config with an unknown key must be refused",
    );
    fails(|| conformance::selector_with::<Honest>(r#"{"n": 1}"#), "honest: refused its config");
}

/// How a broken codec is broken.
trait Breach: Send + Sync + 'static {
    fn encode(envelope: &Envelope<'_>, out: &mut Output<'_>);
    fn decode<'a>(
        input: &'a [u8],
        scratch: &'a mut Scratch<'_>,
    ) -> Result<Envelope<'a>, CodecError>;
}

struct Broken<B>(std::marker::PhantomData<B>);

impl<B: Breach> Codec for Broken<B> {
    const ID: &'static str = "broken";
    type Config = NoConfig;
    fn new(_: NoConfig) -> Result<Self, PluginError> {
        Ok(Self(std::marker::PhantomData))
    }
    fn encode(&self, envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError> {
        B::encode(envelope, out);
        Ok(())
    }
    fn decode<'a>(
        &self,
        input: &'a [u8],
        scratch: &'a mut Scratch<'_>,
    ) -> Result<Envelope<'a>, CodecError> {
        B::decode(input, scratch)
    }
}

const HEADER: usize = 41;

fn put(envelope: &Envelope<'_>, out: &mut Output<'_>) {
    for number in [envelope.destination, envelope.source, envelope.epoch, envelope.correlation] {
        out.put_u64_le(number);
    }
    out.put_u32_le(envelope.flags);
    out.put_u8(envelope.kind);
    out.put_u32_le(envelope.metadata.len() as u32);
    out.put(envelope.metadata);
    out.put(envelope.payload);
}

fn take(input: &[u8]) -> Result<Envelope<'_>, CodecError> {
    let header = input.get(..HEADER).ok_or(CodecError::malformed("short"))?;
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
    let metadata = u32::from_le_bytes(header[37..].try_into().unwrap()) as usize;
    let (metadata, payload) =
        input[HEADER..].split_at_checked(metadata).ok_or(CodecError::malformed("metadata"))?;
    Ok(Envelope {
        destination: number(0),
        source: number(8),
        epoch: number(16),
        correlation: number(24),
        flags: u32::from_le_bytes(header[32..36].try_into().unwrap()),
        kind: header[36],
        metadata,
        payload,
    })
}

struct Sound;
impl Breach for Sound {
    fn encode(envelope: &Envelope<'_>, out: &mut Output<'_>) {
        put(envelope, out);
    }
    fn decode<'a>(input: &'a [u8], _: &'a mut Scratch<'_>) -> Result<Envelope<'a>, CodecError> {
        take(input)
    }
}

struct LosesFlags;
impl Breach for LosesFlags {
    fn encode(envelope: &Envelope<'_>, out: &mut Output<'_>) {
        put(&Envelope { flags: envelope.flags & 0xFF, ..*envelope }, out);
    }
    fn decode<'a>(input: &'a [u8], _: &'a mut Scratch<'_>) -> Result<Envelope<'a>, CodecError> {
        take(input)
    }
}

struct TrustsLengths;
impl Breach for TrustsLengths {
    fn encode(envelope: &Envelope<'_>, out: &mut Output<'_>) {
        put(envelope, out);
    }
    fn decode<'a>(input: &'a [u8], _: &'a mut Scratch<'_>) -> Result<Envelope<'a>, CodecError> {
        // A truncated envelope has no header.
        let _ = &input[..HEADER];
        take(input)
    }
}

struct KeepsItsOwn;
impl Breach for KeepsItsOwn {
    fn encode(envelope: &Envelope<'_>, out: &mut Output<'_>) {
        put(envelope, out);
    }
    fn decode<'a>(input: &'a [u8], _: &'a mut Scratch<'_>) -> Result<Envelope<'a>, CodecError> {
        let envelope = take(input)?;
        Ok(Envelope { payload: Vec::leak(envelope.payload.to_vec()), ..envelope })
    }
}

static EVEN: AtomicBool = AtomicBool::new(true);

struct Wavers;
impl Breach for Wavers {
    fn encode(envelope: &Envelope<'_>, out: &mut Output<'_>) {
        let even = EVEN.fetch_xor(true, Relaxed);
        put(&Envelope { epoch: u64::from(even), ..*envelope }, out);
    }
    fn decode<'a>(input: &'a [u8], _: &'a mut Scratch<'_>) -> Result<Envelope<'a>, CodecError> {
        take(input)
    }
}

#[test]
fn broken_codecs_are_found() {
    conformance::codec::<Broken<Sound>>();
    fails(conformance::codec::<Broken<LosesFlags>>, "changed the envelope");
    fails(conformance::codec::<Broken<TrustsLengths>>, "decode panicked on a truncated envelope");
    fails(conformance::codec::<Broken<KeepsItsOwn>>, "neither in the input nor in the scratch");
    fails(conformance::codec::<Broken<Wavers>>, "a retry gave other bytes than one go");
}

static HEADS: AtomicBool = AtomicBool::new(true);

/// Every second instance abstains.
struct Tosses(bool);
impl Election for Tosses {
    const ID: &'static str = "tosses";
    type Config = NoConfig;
    fn new(_: NoConfig) -> Result<Self, PluginError> {
        Ok(Self(HEADS.fetch_xor(true, Relaxed)))
    }
    fn elect(&self, ballot: &Ballot<'_>) -> Option<usize> {
        (self.0 && !ballot.is_empty()).then_some(0)
    }
}

struct Assumes;
impl Election for Assumes {
    const ID: &'static str = "assumes";
    type Config = NoConfig;
    fn new(_: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn elect(&self, ballot: &Ballot<'_>) -> Option<usize> {
        Some(ballot.candidate(0).instance() as usize - 1)
    }
}

/// Anybody but who leads.
struct Rotates;
impl Election for Rotates {
    const ID: &'static str = "rotates";
    type Config = NoConfig;
    fn new(_: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn elect(&self, ballot: &Ballot<'_>) -> Option<usize> {
        (0..ballot.len()).find(|index| ballot.incumbent() != Some(*index))
    }
}

#[test]
fn broken_elections_are_found() {
    fails(conformance::election::<Assumes>, "assumes: panicked on a ballot of 0");
    fails(conformance::election::<Tosses>, "equal ballots");
    fails(conformance::election::<Rotates>, "takes the leadership from whom it just elected");
}

/// A sink that looks at a batch with an expression.
macro_rules! sink {
    ($kind:ident, $take:ident, $batch:ident, $name:ident, $id:literal, |$seen:ident| $look:expr) => {
        struct $name;
        impl $kind for $name {
            const ID: &'static str = $id;
            type Config = NoConfig;
            fn new(_: NoConfig) -> Result<Self, PluginError> {
                Ok(Self)
            }
            fn $take(&self, $seen: &$batch<'_>) -> Result<(), PluginError> {
                $look
            }
        }
    };
}

sink!(Metrics, flush, MetricsBatch, Refuses, "refuses", |batch| {
    let seen = batch.samples.len();
    Err(PluginError::failed(format!("{seen} samples are not for me")))
});
sink!(Metrics, flush, MetricsBatch, NeedsOne, "needs_one", |batch| {
    let _ = batch.samples[0];
    Ok(())
});
sink!(Metrics, flush, MetricsBatch, NoNan, "no_nan", |batch| {
    for sample in batch.samples {
        if let SampleValue::Gauge(value) = sample.value {
            assert!(!value.is_nan());
        }
    }
    Ok(())
});
sink!(Trace, export, TraceBatch, NeedsASpan, "needs_a_span", |batch| {
    let _ = batch.spans[0];
    Ok(())
});
sink!(Trace, export, TraceBatch, Backwards, "backwards", |batch| {
    let longest = batch.spans.iter().map(|span| {
        span.end_unix_ns.checked_sub(span.start_unix_ns).expect("a span ends after it starts")
    });
    let _ = longest.max();
    Ok(())
});
sink!(Trace, export, TraceBatch, Finite, "finite", |batch| {
    for attribute in batch.spans.iter().flat_map(|span| span.attributes) {
        if let AttributeValue::Number(value) = attribute.value {
            assert!(value.is_finite());
        }
    }
    Ok(())
});

#[test]
fn broken_sinks_are_found() {
    // To fail is no breach, to panic is.
    conformance::metrics_with::<Refuses>("{}");
    fails(|| conformance::metrics_with::<NeedsOne>("{}"), "needs_one: panicked on 0 samples");
    fails(|| conformance::metrics_with::<NoNan>("{}"), "no_nan: panicked on 5 samples");
    fails(|| conformance::trace_with::<NeedsASpan>("{}"), "needs_a_span: panicked on 0 spans");
    fails(|| conformance::trace_with::<Backwards>("{}"), "backwards: panicked on 3 spans");
    fails(|| conformance::trace_with::<Finite>("{}"), "finite: panicked on 3 spans");
}
