//! plugin-host as it is, over another plugin-api; see `host_text.rs`.
#![allow(missing_docs, dead_code, unused_imports)]

include!(concat!(env!("OUT_DIR"), "/src/lib.rs"));

/// What 1.1 has appended to the root module; `None` of a library that is older.
pub fn addition(library: &skymesh_plugin_api::abi::host::Library) -> Option<u64> {
    library.addition()
}

/// What 1.1 has appended to a selector's functions; `None` of a library that is older.
pub fn selector_addition(
    instance: &skymesh_plugin_api::abi::host::SelectorInstance,
) -> Option<u32> {
    instance.addition()
}

pub use skymesh_plugin_api::{
    Metrics, MetricsBatch, Sample, SampleValue, Span, SpanKind, SpanStatus, TraceBatch,
};
