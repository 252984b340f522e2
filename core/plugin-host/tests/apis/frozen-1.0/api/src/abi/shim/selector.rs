//! A selector behind its vtable.

use std::marker::PhantomData;

use super::{declare, guarded, raw_index, release};
use crate::Selector;
use crate::abi::layout::{PICK_PANICKED, Request, View};
use crate::abi::module::DETERMINISTIC;
use crate::abi::vtable::{SelectorVt, SelectorVtRef};

/// The author's `P`, seen from outside.
pub struct SelectorShim<P>(PhantomData<P>);

declare!(
    SelectorShim, Selector, SelectorVt, SelectorVtRef,
    if P::DETERMINISTIC { DETERMINISTIC } else { 0 },
    { prepare: prepare::<P>, release_table: release::<P::Table>, pick: pick::<P> }
);

/// # Safety
/// As [`SelectorVt`] demands.
unsafe extern "C" fn prepare<P: Selector>(state: *const (), view: &View<'_>) -> *mut () {
    guarded(std::ptr::null_mut(), || {
        // SAFETY: `state` is a live `P` made by `create`, shared by reference only (P: Sync).
        let selector = unsafe { &*state.cast::<P>() };
        Box::into_raw(Box::new(selector.prepare(view))).cast()
    })
}

/// # Safety
/// As [`SelectorVt`] demands.
unsafe extern "C" fn pick<P: Selector>(
    state: *const (),
    view: &View<'_>,
    table: *const (),
    request: &Request,
) -> u32 {
    guarded(PICK_PANICKED, || {
        // SAFETY: `state` is a live `P`, and `table` a live table that this `P` prepared; both are
        // shared by reference only (Sync).
        let (selector, table) = unsafe { (&*state.cast::<P>(), &*table.cast::<P::Table>()) };
        raw_index(selector.pick(view, table, request))
    })
}
