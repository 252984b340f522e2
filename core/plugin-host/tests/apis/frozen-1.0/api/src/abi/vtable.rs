//! The functions that a plugin offers for one instance of a strategy. Prefix types: a minor release
//! may append after the last prefix field.

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RSlice, RStr};

use super::layout::{Ballot, Outcome, RawDecoded, RawEnvelope, RawError, Request, View};
use super::sink_layout::{RawMetricsBatch, RawTraceBatch};

/// A selector's functions.
///
/// In all vtables: `state` is what the constructor gave, not yet released; `release` is called
/// once, after every other call has returned.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = SelectorVtRef)))]
#[sabi(missing_field(option))]
pub struct SelectorVt {
    /// Ends the instance.
    pub release: unsafe extern "C" fn(state: *mut ()),
    /// Gives a table for the view; null if the plugin panicked.
    pub prepare: unsafe extern "C" fn(state: *const (), view: &View<'_>) -> *mut (),
    /// Ends a table.
    pub release_table: unsafe extern "C" fn(table: *mut ()),
    /// Gives an index or one of the `PICK_` constants. `table` is of this state and this view.
    #[sabi(last_prefix_field)]
    pub pick: unsafe extern "C" fn(
        state: *const (),
        view: &View<'_>,
        table: *const (),
        request: &Request,
    ) -> u32,
}

/// A codec's functions.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = CodecVtRef)))]
#[sabi(missing_field(option))]
pub struct CodecVt {
    /// Ends the instance.
    pub release: unsafe extern "C" fn(state: *mut ()),
    /// Writes at most `capacity` bytes from `out` on, which may be uninitialised. On `DONE`,
    /// `bytes` from `out` on are written. `reason` is set where the outcome is a refusal; it lives
    /// as long as the plugin's code: for ever.
    pub encode: unsafe extern "C" fn(
        state: *const (),
        envelope: &RawEnvelope<'_>,
        out: *mut u8,
        capacity: usize,
        reason: &mut RStr<'static>,
    ) -> Outcome,
    /// Reads `input`; may use `scratch_len` initialised bytes from `scratch` on.
    #[sabi(last_prefix_field)]
    pub decode: unsafe extern "C" fn(
        state: *const (),
        input: RSlice<'_, u8>,
        scratch: *mut u8,
        scratch_len: usize,
        limit: usize,
        decoded: &mut RawDecoded,
        reason: &mut RStr<'static>,
    ) -> Outcome,
}

/// An election algorithm's functions.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ElectionVtRef)))]
#[sabi(missing_field(option))]
pub struct ElectionVt {
    /// Ends the instance.
    pub release: unsafe extern "C" fn(state: *mut ()),
    /// Gives an index or one of the `PICK_` constants.
    #[sabi(last_prefix_field)]
    pub elect: unsafe extern "C" fn(state: *const (), ballot: &Ballot<'_>) -> u32,
}

/// A metrics sink's functions.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = MetricsVtRef)))]
#[sabi(missing_field(option))]
pub struct MetricsVt {
    /// Ends the instance.
    pub release: unsafe extern "C" fn(state: *mut ()),
    /// Takes a batch; an error if it could not.
    #[sabi(last_prefix_field)]
    pub flush:
        unsafe extern "C" fn(state: *const (), batch: &RawMetricsBatch<'_>) -> ROption<RawError>,
}

/// A trace exporter's functions.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = TraceVtRef)))]
#[sabi(missing_field(option))]
pub struct TraceVt {
    /// Ends the instance.
    pub release: unsafe extern "C" fn(state: *mut ()),
    /// Takes a batch; an error if it could not.
    #[sabi(last_prefix_field)]
    pub export:
        unsafe extern "C" fn(state: *const (), batch: &RawTraceBatch<'_>) -> ROption<RawError>,
}
