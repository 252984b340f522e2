//! Handles of election algorithms.

use std::sync::Arc;

use abi_stable::std_types::{RErr, ROk, RSlice};

use super::{Owned, Picked, answered};
use crate::abi::layout::{Ballot, CandidateEntry, DRAINING, SUSPECT};
use crate::abi::module::RawInstance;
use crate::abi::shim::election::ElectionShim;
use crate::abi::vtable::ElectionVtRef;
use crate::{Election, PluginError};

/// One candidate, as the host describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ElectionCandidate {
    /// Instance id; unique within a ballot.
    pub instance: u64,
    /// Handle.
    pub handle: u64,
    /// Merged attributes as JSON text.
    pub attributes: String,
    /// Priority of its registration.
    pub priority: i64,
    /// Its place in the order of joining.
    pub joined: u64,
    /// Nanoseconds since its agent was last heard.
    pub last_heard_ago_ns: u64,
    /// Whether its loss is doubted.
    pub suspect: bool,
    /// Whether it is going offline on purpose.
    pub draining: bool,
}

/// The state of the office that is voted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Office {
    /// Handle of the present leader.
    pub incumbent: Option<u64>,
    /// The present or last term.
    pub term: u64,
    /// Monotonic nanoseconds.
    pub now_ns: u64,
    /// How long the present leader has led, in nanoseconds.
    pub led_for_ns: u64,
}

/// A configured election algorithm. Cheap to clone.
#[derive(Clone)]
pub struct ElectionInstance {
    vt: ElectionVtRef,
    owned: Arc<Owned>,
}

impl ElectionInstance {
    pub(super) fn new(instance: &RawInstance<ElectionVtRef>) -> Self {
        let vt = instance.vt;
        Self { vt, owned: Arc::new(Owned::new(instance, vt.release())) }
    }

    /// The author's `E` as a host would have it, without a library. For tests.
    ///
    /// # Errors
    /// [`PluginError`] as the constructor or the check of `config` says.
    pub fn of<E: Election>(config: &str) -> Result<Self, PluginError> {
        match ElectionShim::<E>::create(config.into()) {
            ROk(instance) => Ok(Self::new(&instance)),
            RErr(error) => Err(error.into()),
        }
    }

    /// Sorts the candidates by instance id and asks the plugin; the index is into the sorted list.
    pub fn elect(&self, candidates: &mut [ElectionCandidate], office: &Office) -> Picked {
        candidates.sort_by_key(|candidate| candidate.instance);
        let entries: Vec<CandidateEntry<'_>> = candidates.iter().map(entry).collect();
        let incumbent = office
            .incumbent
            .and_then(|handle| candidates.iter().position(|one| one.handle == handle));
        let ballot = Ballot {
            candidates: RSlice::from_slice(&entries),
            incumbent: incumbent.map_or(u64::MAX, |index| index as u64),
            term: office.term,
            now_ns: office.now_ns,
            led_for_ns: office.led_for_ns,
            reserved: [0; 4],
        };
        // SAFETY: `state` is live while `owned` is, and `elect` is of the same vtable.
        let raw = unsafe { self.vt.elect()(self.owned.state, &ballot) };
        answered(raw, entries.len())
    }
}

impl std::fmt::Debug for ElectionInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElectionInstance").finish_non_exhaustive()
    }
}

fn entry(candidate: &ElectionCandidate) -> CandidateEntry<'_> {
    let flag = |set, bit| if set { bit } else { 0 };
    CandidateEntry {
        instance: candidate.instance,
        handle: candidate.handle,
        attributes: candidate.attributes.as_str().into(),
        priority: candidate.priority,
        joined: candidate.joined,
        last_heard_ago_ns: candidate.last_heard_ago_ns,
        flags: flag(candidate.suspect, SUSPECT) | flag(candidate.draining, DRAINING),
        reserved: [0; 4],
    }
}
