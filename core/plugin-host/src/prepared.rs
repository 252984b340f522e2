//! A selector together with the membership that it was prepared for: what messages are routed by.

use std::sync::Arc;
use std::time::Instant;

use skymesh_plugin_api::abi::host::{Picked, PreparedSelector};
use skymesh_plugin_api::{Request, Roster, View};

use crate::failure::Failure;
use crate::supervision::Supervision;
use crate::{clock, kept, thread};

/// Picks instances out of one immutable membership. Always answers an index of that membership: if
/// the plugin fails, a random healthy instance serves.
pub struct Prepared {
    engine: Engine,
    /// Indexes that are not suspect; all of them where every one is. The built-in picks from these.
    healthy: Vec<u32>,
    supervision: Arc<Supervision>,
    version: u64,
}

/// A selector failed, and nothing may serve in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the selector failed")]
pub struct PickFailed;

enum Engine {
    Plugin(PreparedSelector),
    Builtin(Arc<Roster>),
}

impl Prepared {
    pub(crate) fn plugin(
        prepared: PreparedSelector,
        supervision: Arc<Supervision>,
        version: u64,
    ) -> Self {
        let healthy = healthy(prepared.roster().view());
        Self { engine: Engine::Plugin(prepared), healthy, supervision, version }
    }

    pub(crate) fn builtin(
        roster: Arc<Roster>,
        supervision: Arc<Supervision>,
        version: u64,
    ) -> Self {
        let healthy = healthy(roster.view());
        Self { engine: Engine::Builtin(roster), healthy, supervision, version }
    }

    /// Picks for one message: an index into the members in the order of their instance ids. `None`
    /// if there is none, or the strategy wants none of them. Neither waits nor allocates.
    #[inline]
    pub fn pick(&self, key: Option<u64>) -> Option<usize> {
        let (entropy, thread) = thread::entropy_and_number();
        self.pick_as(&Request::new(key, entropy, clock::now_ns(), thread))
    }

    /// As [`pick`](Self::pick), with randomness, time and thread given: for simulations and
    /// measurements, where equal requests are to give equal picks.
    #[inline]
    pub fn pick_as(&self, request: &Request) -> Option<usize> {
        let Engine::Plugin(prepared) = &self.engine else { return self.random(request.entropy()) };
        if !self.supervision.is_calm(request.entropy()) {
            return self.watched(prepared, request);
        }
        match prepared.pick(request) {
            Picked::Index(index) => Some(index),
            unusual => self.judged(unusual, request),
        }
    }

    /// As [`pick_as`](Self::pick_as), for picks that have to be the same in every process: nothing serves in
    /// the plugin's place, be it quarantined or not, and how long it takes does not count.
    ///
    /// # Errors
    /// [`PickFailed`] if the plugin fails, or there is none.
    #[inline]
    pub fn pick_strictly(&self, request: &Request) -> Result<Option<usize>, PickFailed> {
        let Engine::Plugin(prepared) = &self.engine else { return Err(PickFailed) };
        let failure = match prepared.pick(request) {
            Picked::Index(index) => return Ok(Some(index)),
            Picked::None => return Ok(None),
            Picked::Panicked => Failure::Panic,
            Picked::OutOfView => Failure::OutOfView,
        };
        self.failed(failure, request);
        Err(PickFailed)
    }

    /// A pick that is timed, if the plugin is not quarantined.
    #[cold]
    fn watched(&self, prepared: &PreparedSelector, request: &Request) -> Option<usize> {
        if self.supervision.is_quarantined() {
            return self.random(request.entropy());
        }
        let begun = Instant::now();
        let picked = prepared.pick(request);
        self.supervision.took(begun.elapsed(), request.now_ns());
        self.judged(picked, request)
    }

    /// The index that an answer means: another one where the plugin failed.
    #[cold]
    fn judged(&self, picked: Picked, request: &Request) -> Option<usize> {
        match picked {
            Picked::Index(index) => return Some(index),
            Picked::None => return None,
            Picked::Panicked => self.failed(Failure::Panic, request),
            Picked::OutOfView => self.failed(Failure::OutOfView, request),
        }
        self.random(request.entropy())
    }

    #[cold]
    fn failed(&self, failure: Failure, request: &Request) {
        self.supervision.failed(failure, request.now_ns());
    }

    /// The built-in selector: any healthy instance, evenly; any at all if none is healthy.
    fn random(&self, entropy: u64) -> Option<usize> {
        // Lemire's multiply-shift: no division, and no bias that matters at 64 bits.
        let place = (u128::from(entropy) * self.healthy.len() as u128) >> 64;
        self.healthy.get(place as usize).map(|index| *index as usize)
    }

    /// The membership that indexes refer to.
    pub fn roster(&self) -> &Arc<Roster> {
        match &self.engine {
            Engine::Plugin(prepared) => prepared.roster(),
            Engine::Builtin(roster) => roster,
        }
    }

    /// The strategy that prepared it, as [`SelectorSlot::strategy`](crate::SelectorSlot::strategy).
    pub fn strategy(&self) -> &str {
        self.supervision.name()
    }

    /// The [`version`](crate::SelectorSlot::version) of the slot that it was prepared by. Where the
    /// slot's is newer, prepare again.
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Engine::Plugin(_) = self.engine {
            let roster = Arc::clone(self.roster());
            let ended = std::mem::replace(&mut self.engine, Engine::Builtin(roster));
            kept::end(&self.supervision, || drop(ended));
        }
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("strategy", &self.supervision.name())
            .field("roster", self.roster())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

fn healthy(view: &View<'_>) -> Vec<u32> {
    let all = 0..u32::try_from(view.len()).unwrap_or(u32::MAX);
    let healthy: Vec<u32> = all.clone().filter(|index| !view.is_suspect(*index as usize)).collect();
    if healthy.is_empty() { all.collect() } else { healthy }
}
