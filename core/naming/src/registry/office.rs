//! The election state of one service name: its candidates, who sits on the seat, and the terms. Plain
//! bookkeeping that decides by the clock it is given; whom to ask and whom to tell is the registry's
//! work (`offices.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skymesh_types::Handle;

use super::input::{Candidacy, ConnectionId};
use crate::election::{CampaignId, Leader, Term};

/// One candidate.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) campaign: CampaignId,
    pub(super) priority: i64,
    pub(super) joined: u64,
    /// It has said so on the connection that its session has now. Who lost its connection can't be
    /// told of a grant and so gets none.
    pub(super) here: bool,
}

/// A leadership that was announced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reign {
    pub(super) handle: Handle,
    pub(super) term: Term,
    pub(super) since: Duration,
    /// When the leader was last told that it leads, in answer to something it said.
    pub(super) confirmed: Duration,
    /// How long it may believe that; `None` for agents of protocol 1, which know no deadline.
    pub(super) lease: Option<Duration>,
}

impl Reign {
    /// From when on the leader surely no longer believes in it, unless it is confirmed again.
    pub(super) fn over_at(&self) -> Duration {
        self.confirmed + self.lease.unwrap_or_default()
    }
}

/// Who sat there before, as far as it matters for who may sit there next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// Nobody who could still believe in it.
    Clear,
    /// Its session was lost: it may come back in time and lead on.
    Lost(Handle, Term),
    /// It was told to go, and its word that it did is awaited.
    Revoked(Handle, Term),
    /// The registry started lately; this one led in its past.
    BeforeRestart(Handle, Term),
    /// The registry started lately and can't know who led.
    Unknown,
}

impl Past {
    pub(super) const fn holder(self) -> Option<(Handle, Term)> {
        match self {
            Self::Lost(handle, term)
            | Self::Revoked(handle, term)
            | Self::BeforeRestart(handle, term) => Some((handle, term)),
            Self::Clear | Self::Unknown => None,
        }
    }
}

/// The seat of the leader.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seat {
    /// Nobody is confirmed, and nobody may be seated before that time.
    Empty { not_before: Duration, past: Past },
    /// The store is making this term durable; nobody was told of it.
    Filling {
        handle: Handle,
        term: Term,
        past: Past,
        /// Whoever was to have it gave its word that it does not lead.
        released: bool,
    },
    /// Announced.
    Taken(Reign),
}

impl Seat {
    /// Nobody was seated after all. Whoever claimed to lead from before the registry's start may
    /// still do so until `opens_at`.
    pub(super) fn unfilled(past: Past, not_before: Duration, opens_at: Duration) -> Self {
        match past {
            Past::Clear => Self::Empty { not_before, past },
            _ => Self::Empty { not_before: not_before.max(opens_at), past },
        }
    }
}

#[derive(Debug)]
pub(super) struct Office {
    /// The newest term that was ever given a number, announced or not.
    pub(super) newest: Term,
    /// What its terms count on from: no number that was given to a term of it here.
    pub(super) base: Term,
    /// The newest term that was announced.
    pub(super) announced: Term,
    pub(super) seat: Seat,
    pub(super) candidates: BTreeMap<Handle, Candidate>,
    pub(super) watchers: BTreeSet<ConnectionId>,
    /// What its timer is armed for.
    pub(super) timer: Option<Duration>,
    /// What watchers were told last.
    pub(super) told: Option<(Term, Leader)>,
}

impl Office {
    pub(super) const fn new(seat: Seat, newest: Term) -> Self {
        Self {
            newest,
            base: Term(0),
            announced: newest,
            seat,
            candidates: BTreeMap::new(),
            watchers: BTreeSet::new(),
            timer: None,
            told: None,
        }
    }

    /// Nobody would miss it: nothing is remembered that the store could not tell.
    pub(super) fn is_idle(&self) -> bool {
        let vacant = matches!(self.seat, Seat::Empty { past: Past::Clear, .. });
        let numbered = self.newest != self.base || self.announced != Term(0);
        vacant && !numbered && self.candidates.is_empty() && self.watchers.is_empty()
    }

    pub(super) fn reign_of(&self, handle: Handle) -> Option<&Reign> {
        match &self.seat {
            Seat::Taken(reign) if reign.handle == handle => Some(reign),
            _ => None,
        }
    }

    /// Notes a candidacy, new or said again.
    pub(super) fn enter(&mut self, said: &Candidacy, joined: u64) {
        let entry = self.candidates.entry(said.handle).or_insert(Candidate {
            campaign: said.campaign,
            priority: said.priority,
            joined,
            here: true,
        });
        entry.campaign = said.campaign;
        entry.priority = said.priority;
        entry.here = true;
    }

    /// Seats `handle` with a term that it is told of at `now`.
    pub(super) fn seat(
        &mut self,
        handle: Handle,
        term: Term,
        now: Duration,
        lease: Option<Duration>,
    ) {
        self.announced = self.announced.max(term);
        self.seat = Seat::Taken(Reign { handle, term, since: now, confirmed: now, lease });
    }

    /// The leader was told that it leads, in answer to something that came at `now`.
    pub(super) fn confirmed(&mut self, now: Duration) {
        if let Seat::Taken(reign) = &mut self.seat {
            reign.confirmed = now;
        }
    }

    /// The holder, or who was to be it, gave its word that it does not lead: the seat is free at once. Answers whether it
    /// held anything.
    pub(super) fn released(&mut self, handle: Handle, of: Option<Term>, now: Duration) -> bool {
        let held = match &self.seat {
            Seat::Taken(reign) => Some((reign.handle, reign.term)),
            Seat::Empty { past, .. } => past.holder(),
            Seat::Filling { handle, term, .. } => Some((*handle, *term)),
        };
        let of_holder = held.is_some_and(|(holder, term)| {
            holder == handle && of.is_none_or(|released| released == term)
        });
        match &mut self.seat {
            _ if !of_holder => {}
            // One record of a name is on its way to the store at a time: its answer is awaited.
            Seat::Filling { past, released, .. } => {
                *past = Past::Clear;
                *released = true;
            }
            seat => *seat = Seat::Empty { not_before: now, past: Past::Clear },
        }
        of_holder
    }

    /// The holder can't be heard: the seat is free when it surely no longer believes in it.
    pub(super) fn lost(&mut self, handle: Handle) {
        if let Some(reign) = self.reign_of(handle) {
            let past = Past::Lost(handle, reign.term);
            self.seat = Seat::Empty { not_before: reign.over_at(), past };
        }
    }

    /// The holder is told to go: the seat is free when it says that it did, or surely has.
    pub(super) fn revoke(&mut self) {
        if let Seat::Taken(reign) = self.seat {
            let past = Past::Revoked(reign.handle, reign.term);
            self.seat = Seat::Empty { not_before: reign.over_at(), past };
            // Also one that was seated in this very turn, on its claim, has to hear that it is over.
            self.told = Some((reign.term, Leader::Unknown));
        }
    }

    /// Whether the claim of `handle` to lead in `term` still holds, although it is not on the seat.
    pub(super) fn may_return(&self, handle: Handle, term: Term) -> bool {
        let Seat::Empty { past, .. } = self.seat else { return false };
        match past {
            Past::Lost(..) | Past::BeforeRestart(..) => past.holder() == Some((handle, term)),
            Past::Clear | Past::Revoked(..) | Past::Unknown => false,
        }
    }
}
