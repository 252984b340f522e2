//! An election algorithm behind its vtable.

use std::marker::PhantomData;

use super::{declare, guarded, raw_index};
use crate::Election;
use crate::abi::layout::{Ballot, PICK_PANICKED};
use crate::abi::vtable::{ElectionVt, ElectionVtRef};

/// The author's `P`, seen from outside.
pub struct ElectionShim<P>(PhantomData<P>);

declare!(ElectionShim, Election, ElectionVt, ElectionVtRef, 0, { elect: elect::<P> });

/// # Safety
/// As [`ElectionVt`] demands.
unsafe extern "C" fn elect<P: Election>(state: *const (), ballot: &Ballot<'_>) -> u32 {
    guarded(PICK_PANICKED, || {
        // SAFETY: `state` is a live `P` made by `create`, shared by reference only (P: Sync).
        raw_index(unsafe { &*state.cast::<P>() }.elect(ballot))
    })
}
