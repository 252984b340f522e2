//! What crosses the boundary to metrics and trace plugins. Frozen since 1.0. The shims turn it into
//! the authors' types of metrics.rs and trace.rs.

use abi_stable::StableAbi;
use abi_stable::std_types::{RSlice, RStr};

use super::layout::Bucket;

/// [`MetricsBatch`](crate::MetricsBatch) as it crosses.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawMetricsBatch<'a> {
    pub(crate) samples: RSlice<'a, RawSample<'a>>,
    pub(crate) resource: RSlice<'a, RawAttribute<'a>>,
    pub(crate) unix_ns: u64,
    pub(crate) started_unix_ns: u64,
    pub(crate) reserved: [u64; 4],
}

/// [`Sample`](crate::Sample) as it crosses.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawSample<'a> {
    pub(crate) name: RStr<'a>,
    pub(crate) help: RStr<'a>,
    pub(crate) unit: RStr<'a>,
    pub(crate) labels: RSlice<'a, RawAttribute<'a>>,
    /// One of the `SAMPLE_` constants. A plugin skips the samples of kinds that it does not know.
    pub(crate) kind: u32,
    /// The counter, or the histogram's count.
    pub(crate) count: u64,
    /// The gauge, or the histogram's sum.
    pub(crate) number: f64,
    pub(crate) buckets: RSlice<'a, Bucket>,
    pub(crate) reserved: [u64; 2],
}

pub(crate) const SAMPLE_COUNTER: u32 = 0;
pub(crate) const SAMPLE_GAUGE: u32 = 1;
pub(crate) const SAMPLE_HISTOGRAM: u32 = 2;

/// A label, or an [`Attribute`](crate::Attribute), as it crosses.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawAttribute<'a> {
    pub(crate) key: RStr<'a>,
    /// One of the `ATTRIBUTE_` constants. Unknown kinds carry a text as well.
    pub(crate) kind: u32,
    pub(crate) text: RStr<'a>,
    /// The integer, the number's bits, or 0 and 1.
    pub(crate) bits: u64,
}

pub(crate) const ATTRIBUTE_TEXT: u32 = 0;
pub(crate) const ATTRIBUTE_INTEGER: u32 = 1;
pub(crate) const ATTRIBUTE_NUMBER: u32 = 2;
pub(crate) const ATTRIBUTE_BOOLEAN: u32 = 3;

/// [`TraceBatch`](crate::TraceBatch) as it crosses.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawTraceBatch<'a> {
    pub(crate) spans: RSlice<'a, RawSpan<'a>>,
    pub(crate) resource: RSlice<'a, RawAttribute<'a>>,
    pub(crate) dropped: u64,
    pub(crate) reserved: [u64; 4],
}

/// [`Span`](crate::Span) as it crosses.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawSpan<'a> {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: u64,
    pub(crate) parent_id: u64,
    pub(crate) trace_flags: u32,
    pub(crate) kind: u32,
    pub(crate) trace_state: RStr<'a>,
    pub(crate) name: RStr<'a>,
    pub(crate) start_unix_ns: u64,
    pub(crate) end_unix_ns: u64,
    /// 0 unset, 1 ok, 2 error with `status_text`.
    pub(crate) status: u32,
    pub(crate) status_text: RStr<'a>,
    pub(crate) attributes: RSlice<'a, RawAttribute<'a>>,
    pub(crate) events: RSlice<'a, RawEvent<'a>>,
    pub(crate) reserved: [u64; 4],
}

/// [`SpanEvent`](crate::SpanEvent) as it crosses.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawEvent<'a> {
    pub(crate) name: RStr<'a>,
    pub(crate) unix_ns: u64,
    pub(crate) attributes: RSlice<'a, RawAttribute<'a>>,
}
