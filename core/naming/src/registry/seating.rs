//! At the end of a turn: who is asked for a leader, which term is made durable, and when nobody may
//! be seated yet.

use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{Handle, ServiceName};

use super::input::ConnectionId;
use super::office::{Office, Past, Seat};
use super::session::{Link, Session};
use super::store::Durable;
use super::timer::Timer;
use super::{Action, Registry};
use crate::InstanceState;
use crate::election::{Ballot, BallotEntry, Elector, FirstCome, Term};
use crate::flaw::Flaw;

/// How long after the store refused a term the election is tried again: a store that is out of
/// order should not be flooded, and a second without a leader is less than a lease.
const STORE_RETRY: Duration = Duration::from_secs(1);

impl Registry {
    /// Looks again at every election that the turn has touched.
    pub(super) fn settle_offices(&mut self, actions: &mut Vec<Action>) {
        while let Some(name) = self.offices.touched.pop_first() {
            self.settle(&name, actions);
            self.tell(&name, actions);
            let idle = self.offices.by_name.get(&name).is_some_and(Office::is_idle);
            if idle && let Some(office) = self.offices.by_name.remove(&name) {
                self.disarm_office(&name, office.timer);
            }
        }
    }

    /// Offices that the elector left vacant are looked at again.
    pub(super) fn touch_vacancies(&mut self) {
        let offices = self.offices.by_name.iter();
        let vacant = offices.filter(|(_, office)| matches!(office.seat, Seat::Empty { .. }));
        self.offices.touched.extend(vacant.map(|(name, _)| name.clone()));
    }

    fn settle(&mut self, name: &ServiceName, actions: &mut Vec<Action>) {
        let Some(office) = self.offices.by_name.get(name) else { return };
        match office.seat {
            Seat::Filling { .. } => {}
            Seat::Empty { not_before, .. } if self.now < not_before => {
                self.arm_office(name, not_before);
            }
            Seat::Empty { .. } => {
                let past = Past::Clear;
                let office = self.offices.or_new(name);
                office.seat = Seat::Empty { not_before: Duration::ZERO, past };
                self.fill(name, actions);
            }
            Seat::Taken(reign) => {
                let here = office.candidates.get(&reign.handle).is_some_and(|leader| leader.here);
                if !here && reign.lease.is_some() {
                    if reign.over_at() <= self.now {
                        // Its session may come back within the grace, but not as the leader.
                        self.offices.or_new(name).lost(reign.handle);
                        return self.settle(name, actions);
                    }
                    self.arm_office(name, reign.over_at());
                }
                if self.elect(name, Some(reign.handle)) != Some(reign.handle) {
                    let (now, hasty) = (self.now, self.has_flaw(Flaw::RevocationNotAwaited));
                    let office = self.offices.or_new(name);
                    if hasty {
                        office.released(reign.handle, None, now);
                    } else {
                        office.revoke();
                    }
                    self.settle(name, actions);
                }
            }
        }
    }

    /// Asks for a leader and has its term made durable.
    fn fill(&mut self, name: &ServiceName, actions: &mut Vec<Action>) {
        let Some(handle) = self.elect(name, None) else { return };
        let lease = self.leader_lease(self.instance(handle).session);
        let (now, hasty) = (self.now, self.has_flaw(Flaw::TermNotPersisted));
        let office = self.offices.or_new(name);
        let term = office.newest.next();
        office.newest = term;
        office.seat = Seat::Filling { handle, term, past: Past::Clear, released: false };
        if hasty {
            office.seat(handle, term, now, lease);
        }
        let (name, leader, lease) = (name.clone(), handle, lease.unwrap_or_default());
        actions.push(Action::Persist(Durable::Term { name, term, leader, lease }));
    }

    /// The elector's choice among those who can be told, and the incumbent.
    fn elect(&mut self, name: &ServiceName, incumbent: Option<Handle>) -> Option<Handle> {
        let ballot = self.ballot(name, incumbent)?;
        let elector = &mut self.offices.elector;
        let index = elector.elect(name, &ballot)?;
        let chosen = ballot
            .candidates
            .get(index)
            .or_else(|| ballot.candidates.get(FirstCome.elect(name, &ballot)?));
        chosen.map(|entry| entry.handle)
    }

    fn ballot(&self, name: &ServiceName, incumbent: Option<Handle>) -> Option<Ballot> {
        let office = self.offices.by_name.get(name)?;
        let leads = |handle: Handle| incumbent == Some(handle);
        let mut candidates: Vec<BallotEntry> = Vec::new();
        for (handle, candidate) in &office.candidates {
            if !candidate.here && !leads(*handle) {
                continue;
            }
            let instance = self.instance(*handle);
            let record = &instance.record;
            let session = self.sessions.owner(instance.session);
            candidates.push(BallotEntry {
                instance: record.url.instance,
                handle: *handle,
                attributes: Arc::clone(&record.attributes),
                priority: candidate.priority,
                joined: candidate.joined,
                silent_for: self.silent_for(session),
                suspect: !matches!(session.link, Link::Up(_)),
                draining: record.state == InstanceState::Draining,
            });
        }
        // One that has missed a keepalive may be dead: seated, it would cost a lease without a leader.
        let is_heard = |entry: &BallotEntry| {
            self.is_heard(self.sessions.owner(self.instance(entry.handle).session))
        };
        if incumbent.is_some() || candidates.iter().any(is_heard) {
            candidates.retain(|entry| leads(entry.handle) || is_heard(entry));
        }
        candidates.sort_by_key(|entry| entry.instance);
        let incumbent = candidates.iter().position(|entry| leads(entry.handle));
        let led_for = match &office.seat {
            Seat::Taken(reign) => self.now.saturating_sub(reign.since),
            Seat::Empty { .. } | Seat::Filling { .. } => Duration::ZERO,
        };
        Some(Ballot { candidates, incumbent, term: office.newest, now: self.now, led_for })
    }

    /// How long a session was silent while the registry listened.
    fn silent_for(&self, session: &Session) -> Duration {
        self.now.saturating_sub(session.heard.max(self.awake_since))
    }

    /// Whether a session was heard of when it ought to be: agents keep alive every third of a lease.
    fn is_heard(&self, session: &Session) -> bool {
        self.silent_for(session) <= self.lease_of(session.id) * 2 / 3
    }

    /// A connection brought something. Candidates that were not heard of for long count again.
    pub(super) fn hear(&mut self, connection: ConnectionId) {
        let Some(session) = self.sessions.on(connection) else { return };
        let returning = if self.is_heard(session) {
            Vec::new()
        } else {
            session.candidacies.iter().copied().collect()
        };
        for handle in returning {
            let name = self.instance(handle).record.url.name.clone();
            self.offices.touched.insert(name);
        }
        let now = self.now;
        if let Some(session) = self.sessions.on_mut(connection) {
            session.heard = now;
        }
    }

    /// The store has a term: whoever was chosen is announced, if it is still there and still the
    /// choice. One that was told and revoked in a breath would never have heard of its term, and the
    /// seat would wait for the end of a lease that nobody holds.
    pub(super) fn term_stored(&mut self, name: &ServiceName, stored: Term) {
        let now = self.now;
        let Some(office) = self.offices.by_name.get_mut(name) else { return };
        let Seat::Filling { handle, term, past, released } = office.seat else { return };
        if term != stored {
            return;
        }
        self.offices.touched.insert(name.clone());
        let here = office.candidates.get(&handle).is_some_and(|candidate| candidate.here);
        // Who claims to lead from before a restart does so already: it is seated, and told to go.
        let chosen = past != Past::Clear || self.elect(name, Some(handle)) == Some(handle);
        if !here || released || !chosen {
            let seat = Seat::unfilled(past, now, self.offices.opens_at);
            self.offices.or_new(name).seat = seat;
            return;
        }
        let lease = self.leader_lease(self.instance(handle).session);
        self.offices.or_new(name).seat(handle, term, now, lease);
    }

    /// The store did not take a term, or may have: its number is not used again.
    pub(super) fn term_not_stored(&mut self, name: &ServiceName, refused: Term) {
        let retry = self.now + STORE_RETRY;
        let Some(office) = self.offices.by_name.get_mut(name) else { return };
        if let Seat::Filling { term, past, .. } = office.seat
            && term == refused
        {
            office.seat = Seat::unfilled(past, retry, self.offices.opens_at);
            self.offices.touched.insert(name.clone());
        }
    }

    fn arm_office(&mut self, name: &ServiceName, at: Duration) {
        let armed = self.offices.or_new(name).timer.replace(at);
        self.disarm_office(name, armed.filter(|armed| *armed != at));
        self.timers.arm(at, Timer::Office(name.clone()));
    }

    fn disarm_office(&mut self, name: &ServiceName, armed: Option<Duration>) {
        if let Some(at) = armed {
            self.timers.disarm(at, Timer::Office(name.clone()));
        }
    }

    pub(super) fn office_due(&mut self, name: ServiceName) {
        if let Some(office) = self.offices.by_name.get_mut(&name) {
            office.timer = None;
            self.offices.touched.insert(name);
        }
    }
}
