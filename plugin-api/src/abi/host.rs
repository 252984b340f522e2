//! The host's side: safe handles over what a library offers. Picking, encoding and decoding go
//! through function pointers that the handles keep, at the cost of one indirect call.
//!
//! What this is not: policy. What to do after a panic, when to fall back and whom to tell is
//! plugin-host's affair.

mod codec;
mod election;
mod library;
mod log;
mod roster;
mod selector;
mod sinks;

pub use codec::{CodecInstance, DecodeError, Decoded, EncodeError, Place};
pub use election::{ElectionCandidate, ElectionInstance, Office};
pub use library::{CreateError, Library};
pub use log::{HostLog, LogEvent, set_log};
pub use roster::{Member, Roster};
pub use selector::{Picked, PreparedSelector, SelectorInstance};
pub use sinks::{MetricsInstance, TraceInstance};

use super::module::RawInstance;

/// The plugin panicked; its message is in the host's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the plugin panicked; its message is in the log")
    }
}

impl std::error::Error for Panicked {}

/// One plugin instance's state, released with its last handle.
struct Owned {
    state: *mut (),
    release: unsafe extern "C" fn(*mut ()),
}

// SAFETY: all plugin traits demand `Send + Sync` of the state, which is used by reference only until
// it is released.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Owned {
    fn new<V>(instance: &RawInstance<V>, release: unsafe extern "C" fn(*mut ())) -> Self {
        Self { state: instance.state, release }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: `release` belongs to `state`, and this is the last handle: no call is under way.
        unsafe { (self.release)(self.state) }
    }
}

/// An index as a plugin answered it, before it is checked against the list.
#[inline]
fn answered(raw: u32, len: usize) -> Picked {
    if (raw as usize) < len { Picked::Index(raw as usize) } else { unusual(raw) }
}

/// What is no index of the list: out of the way of those that are.
#[cold]
fn unusual(raw: u32) -> Picked {
    use super::layout::{PICK_NONE, PICK_PANICKED};
    match raw {
        PICK_NONE => Picked::None,
        PICK_PANICKED => Picked::Panicked,
        _ => Picked::OutOfView,
    }
}
