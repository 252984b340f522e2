//! What crosses the boundary on behalf of selectors, codecs and elections. Frozen since 1.0.
//!
//! The accessors are beside the traits that use them: view.rs, request.rs, stats.rs, election.rs.

use std::sync::atomic::{AtomicU32, AtomicU64};

use abi_stable::StableAbi;
use abi_stable::std_types::{RSlice, RStr, RString};

/// Flag of an instance or candidate whose loss is doubted.
pub(crate) const SUSPECT: u32 = 1;
/// Flag of an instance or candidate that is going offline on purpose.
pub(crate) const DRAINING: u32 = 2;
/// Flag of a request that carries a key.
pub(crate) const HAS_KEY: u32 = 1;

/// Live statistics of one instance: one cache line of atomics that the host owns and writes, and
/// that selectors read at any time.
#[repr(C, align(64))]
#[derive(Debug, Default, StableAbi)]
pub struct InstanceStats {
    pub(crate) in_flight: AtomicU32,
    pub(crate) error_ppm: AtomicU32,
    pub(crate) ping_lost_streak: AtomicU32,
    pub(crate) server_load_ppm: AtomicU32,
    pub(crate) rtt_ewma_ns: AtomicU64,
    pub(crate) last_sample_ns: AtomicU64,
    pub(crate) reserved: [AtomicU64; 4],
}

/// An immutable snapshot of a service's instances, in ascending order of their ids. The host owns
/// it; a plugin may keep nothing of it beyond the call.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct View<'a> {
    pub(crate) instances: RSlice<'a, u64>,
    pub(crate) weights: RSlice<'a, u32>,
    pub(crate) stats: RSlice<'a, &'a InstanceStats>,
    pub(crate) attributes: RSlice<'a, RStr<'a>>,
    pub(crate) flags: RSlice<'a, u32>,
    pub(crate) revision: u64,
    pub(crate) reserved: [u64; 3],
}

/// One message's wish, and what the host lends for deciding: entropy, time, thread.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct Request {
    pub(crate) key: u64,
    pub(crate) entropy: u64,
    pub(crate) now_ns: u64,
    pub(crate) thread: u32,
    pub(crate) flags: u32,
    pub(crate) reserved: [u64; 2],
}

/// Answers of a pick beside an index. Higher than any index of a view.
pub(crate) const PICK_NONE: u32 = u32::MAX;
pub(crate) const PICK_PANICKED: u32 = u32::MAX - 1;
pub(crate) const PICK_OUT_OF_VIEW: u32 = u32::MAX - 2;

/// How a codec's call ended. Two words, so that it travels in registers; the reason of a refusal
/// travels beside it.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct Outcome {
    /// One of the `OUTCOME_` constants.
    pub(crate) code: usize,
    /// Bytes needed, or written.
    pub(crate) bytes: usize,
}

pub(crate) const OUTCOME_DONE: usize = 0;
pub(crate) const OUTCOME_REFUSED: usize = 1;
pub(crate) const OUTCOME_NEEDS_SPACE: usize = 2;
pub(crate) const OUTCOME_TOO_LARGE: usize = 3;
pub(crate) const OUTCOME_PANICKED: usize = 4;
pub(crate) const OUTCOME_UNSUPPORTED: usize = 5;

/// [`Envelope`](crate::Envelope) as it crosses to an encoder.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawEnvelope<'a> {
    pub(crate) destination: u64,
    pub(crate) source: u64,
    pub(crate) epoch: u64,
    pub(crate) correlation: u64,
    pub(crate) flags: u32,
    pub(crate) kind: u8,
    pub(crate) metadata: RSlice<'a, u8>,
    pub(crate) payload: RSlice<'a, u8>,
}

/// An envelope as a decoder hands it over: places instead of slices.
#[repr(C)]
#[derive(Clone, Copy, Default, StableAbi)]
pub struct RawDecoded {
    pub(crate) destination: u64,
    pub(crate) source: u64,
    pub(crate) epoch: u64,
    pub(crate) correlation: u64,
    pub(crate) flags: u32,
    pub(crate) kind: u8,
    pub(crate) metadata: RawPlace,
    pub(crate) payload: RawPlace,
}

/// Where bytes lie.
#[repr(C)]
#[derive(Clone, Copy, Default, StableAbi)]
pub struct RawPlace {
    /// One of the `PLACE_` constants.
    pub(crate) origin: u32,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

pub(crate) const PLACE_INPUT: u32 = 0;
pub(crate) const PLACE_SCRATCH: u32 = 1;

/// Who stands for election, and the state of the office.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct Ballot<'a> {
    pub(crate) candidates: RSlice<'a, CandidateEntry<'a>>,
    /// `u64::MAX` for none.
    pub(crate) incumbent: u64,
    pub(crate) term: u64,
    pub(crate) now_ns: u64,
    pub(crate) led_for_ns: u64,
    pub(crate) reserved: [u64; 4],
}

/// One candidate of a [`Ballot`].
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct CandidateEntry<'a> {
    pub(crate) instance: u64,
    pub(crate) handle: u64,
    pub(crate) attributes: RStr<'a>,
    pub(crate) priority: i64,
    pub(crate) joined: u64,
    pub(crate) last_heard_ago_ns: u64,
    pub(crate) flags: u32,
    pub(crate) reserved: [u64; 4],
}

/// One bucket of a histogram.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, StableAbi)]
pub struct Bucket {
    /// Its values are at most this.
    pub upper_bound: f64,
    /// How many values are above the bound before and at most this one's.
    pub count: u64,
}

/// [`PluginError`](crate::PluginError) as it crosses.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct RawError {
    pub(crate) kind: u32,
    pub(crate) message: RString,
}
