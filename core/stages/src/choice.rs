//! What a message is routed by: the selector's table for those whom the stages have left, and the way
//! back from its index to the whole membership.

use std::time::Duration;

use skymesh_plugin_host::{Member, Prepared, Request, SelectorSlot, coarse_now_ns, entropy};

use crate::slow_start::SlowStart;

/// One instance of a membership, after the stages.
#[derive(Debug)]
pub struct Entrant {
    /// As the selector sees it; `None` if a stage has dropped it.
    pub member: Option<Member>,
    /// When it was first seen, in nanoseconds of the coarse clock; 0 if it was there before anybody
    /// looked.
    pub since_ns: u64,
}

/// A prepared choice among one membership; it never changes.
#[derive(Debug)]
pub struct Choice {
    prepared: Prepared,
    /// `None` while the selector's index is the one in the membership.
    detour: Option<Box<Detour>>,
}

/// What lies between the selector's pick and a member.
#[derive(Debug)]
struct Detour {
    /// Which members the selector chooses from.
    eligible: Vec<u32>,
    slow_start: Option<SlowStart>,
}

impl Choice {
    /// Nobody to choose from, and no table: what holds until a membership is known.
    pub fn unprepared(selector: &SelectorSlot) -> Self {
        Self { prepared: selector.unprepared(), detour: None }
    }

    /// Has the selector prepare its table, which runs plugin code. `entrants` are in the order of their
    /// instance ids; whoever is new gets less than it was picked for over `slow_start`.
    pub fn new(
        selector: &SelectorSlot,
        entrants: Vec<Entrant>,
        slow_start: Duration,
        now_ns: u64,
    ) -> Self {
        let count = entrants.len();
        let mut eligible = Vec::with_capacity(count);
        let mut members = Vec::with_capacity(count);
        let mut since = Vec::with_capacity(count);
        for (at, Entrant { member, since_ns }) in (0..).zip(entrants) {
            let Some(member) = member else { continue };
            eligible.push(at);
            members.push(member);
            since.push((at, since_ns));
        }
        let slow_start = SlowStart::new(slow_start, now_ns, since.into_iter(), count);
        let straight = eligible.len() == count && slow_start.is_none();
        let detour = (!straight).then(|| Box::new(Detour { eligible, slow_start }));
        Self { prepared: selector.prepare(members), detour }
    }

    /// The index of the entrant that a message goes to; `None` if there is none. Neither waits nor
    /// allocates.
    #[inline]
    pub fn pick(&self, key: Option<u64>) -> Option<usize> {
        let picked = self.prepared.pick(key)?;
        match &self.detour {
            None => Some(picked),
            Some(detour) => {
                let again = || self.prepared.pick(None);
                detour.round(picked, key, coarse_now_ns, entropy, again)
            }
        }
    }

    /// As [`pick`](Self::pick), by the time and the thread of `request`; `roll` gives what randomness
    /// there is beside its own.
    pub fn pick_as(&self, request: &Request, mut roll: impl FnMut() -> u64) -> Option<usize> {
        let picked = self.prepared.pick_as(request)?;
        let Some(detour) = &self.detour else { return Some(picked) };
        let second = Request::new(None, roll(), request.now_ns(), request.thread());
        let again = || self.prepared.pick_as(&second);
        detour.round(picked, request.key(), || request.now_ns(), roll, again)
    }

    /// How much of its picks an entrant gets, in percent: less than 100 while it is new.
    pub fn slow_start_percent(&self, entrant: usize, now_ns: u64) -> u32 {
        self.slow_start().map_or(100, |start| start.percent(entrant, now_ns))
    }

    /// Whether somebody was new when it was made, and nobody is any more: then it is worth making anew.
    pub fn slow_start_is_over(&self, now_ns: u64) -> bool {
        self.slow_start().is_some_and(|start| start.is_over(now_ns))
    }

    /// Which exchange of the selector it was made by.
    pub fn selector_version(&self) -> u64 {
        self.prepared.version()
    }

    /// The strategy that picks. A reload may have put another one in the slot.
    pub fn strategy(&self) -> &str {
        self.prepared.strategy()
    }

    fn slow_start(&self) -> Option<&SlowStart> {
        self.detour.as_ref()?.slow_start.as_ref()
    }
}

impl Detour {
    /// The member that a pick ends at.
    fn round(
        &self,
        picked: usize,
        key: Option<u64>,
        now_ns: impl Fn() -> u64,
        mut roll: impl FnMut() -> u64,
        again: impl FnOnce() -> Option<usize>,
    ) -> Option<usize> {
        let member = *self.eligible.get(picked)? as usize;
        let Some(slow_start) = self.slow_start.as_ref().filter(|_| key.is_none()) else {
            return Some(member);
        };
        if slow_start.admits(member, now_ns(), roll()) {
            return Some(member);
        }
        // The selector has another try, for it knows best who is good; then anybody who is not new.
        let again = again().and_then(|picked| self.eligible.get(picked));
        match again.map(|member| *member as usize) {
            Some(again) if slow_start.is_settled(again) => Some(again),
            _ => slow_start.settled(roll()),
        }
    }
}
