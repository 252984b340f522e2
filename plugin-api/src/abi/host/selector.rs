//! Handles of selectors.

use std::sync::Arc;

use abi_stable::std_types::{RErr, ROk};

use super::{Owned, Panicked, Roster, answered};
use crate::abi::layout::{Request, View};
use crate::abi::module::RawInstance;
use crate::abi::shim::selector::SelectorShim;
use crate::abi::vtable::SelectorVtRef;
use crate::{PluginError, Selector};

/// What a plugin answered, checked against the list that it was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picked {
    /// An index within the list.
    Index(usize),
    /// Nothing may be picked.
    None,
    /// The plugin panicked.
    Panicked,
    /// The answer lies outside of the list.
    OutOfView,
}

type Pick = unsafe extern "C" fn(*const (), &View<'_>, *const (), &Request) -> u32;

/// A configured selector. Cheap to clone; the last clone (or what it prepared) ends it.
#[derive(Clone)]
pub struct SelectorInstance {
    vt: SelectorVtRef,
    owned: Arc<Owned>,
}

impl SelectorInstance {
    pub(super) fn new(instance: &RawInstance<SelectorVtRef>) -> Self {
        let vt = instance.vt;
        Self { vt, owned: Arc::new(Owned::new(instance, vt.release())) }
    }

    /// The author's `S` as a host would have it, without a library. For tests and benchmarks.
    ///
    /// # Errors
    /// [`PluginError`] as the constructor or the check of `config` says.
    pub fn of<S: Selector>(config: &str) -> Result<Self, PluginError> {
        match SelectorShim::<S>::create(config.into()) {
            ROk(instance) => Ok(Self::new(&instance)),
            RErr(error) => Err(error.into()),
        }
    }

    /// Computes the table for a membership. Off the message path.
    ///
    /// # Errors
    /// [`Panicked`].
    pub fn prepare(&self, roster: Arc<Roster>) -> Result<PreparedSelector, Panicked> {
        // SAFETY: `state` is live while `owned` is, and `prepare` is of the same vtable.
        let table = unsafe { self.vt.prepare()(self.owned.state, roster.view()) };
        if table.is_null() {
            return Err(Panicked);
        }
        Ok(PreparedSelector {
            pick: self.vt.pick(),
            state: self.owned.state,
            table,
            len: roster.view().len(),
            roster,
            release_table: self.vt.release_table(),
            _owned: self.owned.clone(),
        })
    }
}

impl std::fmt::Debug for SelectorInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelectorInstance").finish_non_exhaustive()
    }
}

/// A selector, a membership, and the table that the one made of the other: they only make sense
/// together, so they stay together.
pub struct PreparedSelector {
    pick: Pick,
    state: *const (),
    table: *mut (),
    /// Of the roster; here, where a pick has it at hand.
    len: usize,
    roster: Arc<Roster>,
    release_table: unsafe extern "C" fn(*mut ()),
    _owned: Arc<Owned>,
}

// SAFETY: the state and the table are `Send + Sync` by the trait's bounds, and used by reference.
unsafe impl Send for PreparedSelector {}
// SAFETY: as above.
unsafe impl Sync for PreparedSelector {}

impl PreparedSelector {
    /// Picks for one message.
    #[inline]
    pub fn pick(&self, request: &Request) -> Picked {
        answered(self.answer(request), self.len)
    }

    /// The plugin's answer as it is, compared with nothing: what a pick costs without a host. For
    /// measurements.
    #[inline]
    pub fn answer(&self, request: &Request) -> u32 {
        // SAFETY: `state` lives as long as `_owned`, `table` was made by it for this very view, and
        // `pick` is of the same vtable.
        unsafe { (self.pick)(self.state, self.roster.view(), self.table, request) }
    }

    /// The membership that it picks from.
    #[inline]
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }
}

impl Drop for PreparedSelector {
    fn drop(&mut self) {
        // SAFETY: made by `prepare`, released here only; `&mut self` says that no pick is under
        // way, and `_owned` is dropped after this.
        unsafe { (self.release_table)(self.table) }
    }
}

impl std::fmt::Debug for PreparedSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedSelector").field("roster", &self.roster).finish_non_exhaustive()
    }
}
