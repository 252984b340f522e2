//! Elections by service name: who stands for one, gives up, leads on after a reconnect, or drops out.
//! When a seat is free is `office.rs`'s, who gets it `seating.rs`'s, who is told `standings.rs`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skymesh_types::{Handle, ServiceName, SessionId};

use super::input::{Candidacy, ConnectionId, RequestId};
use super::office::{Office, Past, Seat};
use super::store::{Durable, StoreMemory};
use super::{Action, Campaigned, Leading, Refusal, Registry};
use crate::election::{Elector, FirstCome, Term};
use crate::flaw::Flaw;

/// Half of all terms. Nobody has counted so far, so an agent that says so is not believed: the last
/// term has no successor.
const NEVER: Term = Term(1 << 63);

/// All elections, and what is common to them.
#[derive(Debug)]
pub(super) struct Offices {
    pub(super) by_name: BTreeMap<ServiceName, Office>,
    pub(super) elector: Box<dyn Elector>,
    /// Offices that this turn has to look at again.
    pub(super) touched: BTreeSet<ServiceName>,
    /// Before this time leaders of the registry's past may still lead.
    pub(super) opens_at: Duration,
    /// Whether names that the store does not know were certainly never led.
    pub(super) memory: StoreMemory,
    /// Where terms of names that it may have forgotten count on from.
    pub(super) floor: Term,
    joined: u64,
}

impl Offices {
    pub(super) fn new(opens_at: Duration) -> Self {
        Self {
            by_name: BTreeMap::new(),
            elector: Box::new(FirstCome),
            touched: BTreeSet::new(),
            opens_at,
            memory: StoreMemory::Unsure,
            floor: Term(0),
            joined: 0,
        }
    }

    pub(super) fn or_new(&mut self, name: &ServiceName) -> &mut Office {
        let (opens_at, memory, floor) = (self.opens_at, self.memory, self.floor);
        self.by_name.entry(name.clone()).or_insert_with(|| {
            let (not_before, past, newest) = match memory {
                StoreMemory::Complete => (Duration::ZERO, Past::Clear, Term(0)),
                StoreMemory::Unsure => (opens_at, Past::Unknown, floor),
            };
            let office = Office::new(Seat::Empty { not_before, past }, Term(0));
            Office { newest, base: newest, ..office }
        })
    }

    /// The office of a name of which the registry's past is known.
    pub(super) fn restore(&mut self, name: &ServiceName, term: Term, seat: Seat) {
        self.by_name.insert(name.clone(), Office::new(seat, term));
        self.touched.insert(name.clone());
    }
}

impl Registry {
    pub(super) fn run(
        &mut self,
        to: ConnectionId,
        request: RequestId,
        said: &Candidacy,
        actions: &mut Vec<Action>,
    ) {
        let handle = said.handle;
        let result = self.enter_race(to, said, actions);
        actions.push(Action::Campaigned { to, request, handle, result });
    }

    fn enter_race(
        &mut self,
        connection: ConnectionId,
        said: &Candidacy,
        actions: &mut Vec<Action>,
    ) -> Result<Campaigned, Refusal> {
        let name = self.own_name(connection, said.handle)?;
        self.check_offices(&name)?;
        let (now, handle) = (self.now, said.handle);
        let session = self.instance(handle).session;
        let lease = self.leader_lease(session);
        self.sessions.owner_mut(session).candidacies.insert(handle);
        self.offices.joined += 1;
        self.offices.touched.insert(name.clone());
        let (joined, memory) = (self.offices.joined, self.offices.memory);
        let office = self.offices.or_new(&name);
        office.enter(said, joined);
        if memory == StoreMemory::Unsure && said.seen < NEVER {
            // Its agent may have been away while names were learned anew.
            office.newest = office.newest.max(said.seen);
        }
        if let Some(reign) = office.reign_of(handle) {
            let same = said.claim == Some(reign.term);
            if lease.is_none() {
                return Ok(Campaigned::AlreadyLeads);
            }
            if same {
                office.confirmed(now);
                self.confirm(connection, &name, actions);
                return Ok(Campaigned::AlreadyLeads);
            }
            // It does not know of its leadership, or no longer believes in it.
            office.released(handle, None, now);
        } else if let Some(claim) = said.claim
            && office.may_return(handle, claim)
        {
            office.seat(handle, claim, now, lease);
            return Ok(Campaigned::AlreadyLeads);
        }
        if memory == StoreMemory::Unsure
            && matches!(office.seat, Seat::Empty { past: Past::Unknown, .. })
        {
            self.learn(&name, said, lease, actions);
        }
        let office = self.offices.or_new(&name);
        let taken = matches!(office.seat, Seat::Taken(_));
        Ok(if taken { Campaigned::Behind } else { Campaigned::Stands })
    }

    /// A registry without a memory takes the candidates' word for what was before it.
    fn learn(
        &mut self,
        name: &ServiceName,
        said: &Candidacy,
        lease: Option<Duration>,
        actions: &mut Vec<Action>,
    ) {
        let office = self.offices.or_new(name);
        if said.seen < NEVER {
            office.announced = office.announced.max(said.seen);
        }
        office.newest = office.newest.max(office.announced);
        let claim = said.claim.filter(|claim| (office.announced..NEVER).contains(claim));
        if let Some(term) = claim {
            office.newest = office.newest.max(term);
            // Until it is announced again, nobody is told that nobody leads.
            office.seat =
                Seat::Filling { handle: said.handle, term, past: Past::Unknown, released: false };
            let (name, lease) = (name.clone(), lease.unwrap_or_default());
            let leader = said.handle;
            actions.push(Action::Persist(Durable::Term { name, term, leader, lease }));
        }
    }

    pub(super) fn give_up(
        &mut self,
        connection: ConnectionId,
        handle: Handle,
    ) -> Result<Campaigned, Refusal> {
        let name = self.own_name(connection, handle)?;
        let now = self.now;
        let Some(office) = self.offices.by_name.get_mut(&name) else { return Ok(Campaigned::Quit) };
        let led = office.released(handle, None, now);
        self.leave_race(handle, &name);
        Ok(if led { Campaigned::SteppedDown } else { Campaigned::Quit })
    }

    /// The agent's word that it no longer leads in `term`; it stays a candidate.
    pub(super) fn stand_down(&mut self, connection: ConnectionId, handle: Handle, term: Term) {
        let Ok(name) = self.own_name(connection, handle) else { return };
        let now = self.now;
        if let Some(office) = self.offices.by_name.get_mut(&name) {
            office.released(handle, Some(term), now);
            self.offices.touched.insert(name);
        }
    }

    pub(super) fn watch_leader(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
        actions: &mut Vec<Action>,
    ) {
        if let Err(refusal) = self.accept_leader_watch(connection, name) {
            let name = name.clone();
            return actions.push(Action::WatchRefused { to: connection, name, refusal });
        }
        self.offices.or_new(name).watchers.insert(connection);
        self.offices.touched.insert(name.clone());
        self.confirm(connection, name, actions);
    }

    fn accept_leader_watch(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
    ) -> Result<(), Refusal> {
        let value = self.config.limits.watches_per_session;
        let session = self.sessions.on_mut(connection).ok_or(Refusal::NoSession)?;
        if !name.is_in(&session.app) {
            return Err(Refusal::ForeignApp { name: name.clone(), app: session.app.clone() });
        }
        if session.elections.len() >= value && !session.elections.contains(name) {
            let what = "leader watches of one session";
            return Err(Refusal::Limit { what, limit: "watches_per_session", value });
        }
        self.check_offices(name)?;
        if let Some(session) = self.sessions.on_mut(connection) {
            session.elections.insert(name.clone());
        }
        Ok(())
    }

    pub(super) fn unwatch_leader(&mut self, connection: ConnectionId, name: &ServiceName) {
        let Some(session) = self.sessions.on_mut(connection) else { return };
        session.elections.remove(name);
        if let Some(office) = self.offices.by_name.get_mut(name) {
            office.watchers.remove(&connection);
            self.offices.touched.insert(name.clone());
        }
    }

    /// What a session's connection leaves behind when it goes: no leader watches, and candidates
    /// that can't be told of a grant.
    pub(super) fn leave_offices(&mut self, id: SessionId) {
        let session = self.sessions.owner_mut(id);
        let elections = std::mem::take(&mut session.elections);
        let candidacies: Vec<Handle> = session.candidacies.iter().copied().collect();
        if let Some(connection) = session.connection() {
            for name in elections {
                if let Some(office) = self.offices.by_name.get_mut(&name) {
                    office.watchers.remove(&connection);
                    self.offices.touched.insert(name);
                }
            }
        }
        for handle in candidacies {
            let name = self.instance(handle).record.url.name.clone();
            if let Some(office) = self.offices.by_name.get_mut(&name) {
                if let Some(candidate) = office.candidates.get_mut(&handle) {
                    candidate.here = false;
                }
                self.offices.touched.insert(name);
            }
        }
    }

    /// The leaderships of a session, confirmed in answer to its keepalive.
    pub(super) fn confirm_leads(&mut self, connection: ConnectionId) -> Vec<Leading> {
        let Some(session) = self.sessions.on(connection) else { return Vec::new() };
        let candidacies: Vec<Handle> = session.candidacies.iter().copied().collect();
        let (now, booked) = (self.now, !self.has_flaw(Flaw::StaleSessionConfirmed));
        let mut leads = Vec::new();
        for handle in candidacies {
            let name = self.instance(handle).record.url.name.clone();
            let Some(office) = self.offices.by_name.get_mut(&name) else { continue };
            let here = office.candidates.get(&handle).is_some_and(|candidate| candidate.here);
            if here && let Some(reign) = office.reign_of(handle) {
                leads.push(Leading { handle, term: reign.term });
                if booked {
                    office.confirmed(now);
                }
            }
        }
        leads
    }

    /// An instance is gone or its session over, and its agent did not say so: it may still believe
    /// that it leads.
    pub(super) fn drop_out(&mut self, handle: Handle, name: &ServiceName) {
        let (now, awaited) = (self.now, !self.has_flaw(Flaw::LeaseNotAwaited));
        if let Some(office) = self.offices.by_name.get_mut(name)
            && office.candidates.contains_key(&handle)
        {
            if awaited {
                office.lost(handle);
            } else {
                office.released(handle, None, now);
            }
            self.leave_race(handle, name);
        }
    }

    /// The agent takes the instance off itself: it has stopped leading before it said so.
    pub(super) fn step_down(&mut self, handle: Handle) {
        let name = self.instance(handle).record.url.name.clone();
        let now = self.now;
        if let Some(office) = self.offices.by_name.get_mut(&name) {
            office.released(handle, None, now);
            self.leave_race(handle, &name);
        }
    }

    /// A candidate of protocol 1 came back: it does not say again that it stands.
    pub(super) fn stands_here(&mut self, handle: Handle) {
        let name = self.instance(handle).record.url.name.clone();
        let office = self.offices.by_name.get_mut(&name);
        if let Some(candidate) = office.and_then(|office| office.candidates.get_mut(&handle)) {
            candidate.here = true;
        }
        self.offices.touched.insert(name);
    }

    /// What a ballot says of an instance has changed: if it stands, the elector is asked again.
    pub(super) fn reconsider(&mut self, handle: Handle) {
        let instance = self.instance(handle);
        if self.sessions.owner(instance.session).candidacies.contains(&handle) {
            self.offices.touched.insert(instance.record.url.name.clone());
        }
    }

    fn leave_race(&mut self, handle: Handle, name: &ServiceName) {
        if let Some(office) = self.offices.by_name.get_mut(name) {
            office.candidates.remove(&handle);
        }
        if let Some(instance) = self.instances.get(&handle)
            && let Some(session) = self.sessions.get_mut(instance.session)
        {
            session.candidacies.remove(&handle);
        }
        self.offices.touched.insert(name.clone());
    }

    fn own_name(&self, connection: ConnectionId, handle: Handle) -> Result<ServiceName, Refusal> {
        self.own_instance(connection, handle)?;
        Ok(self.instance(handle).record.url.name.clone())
    }

    fn check_offices(&self, name: &ServiceName) -> Result<(), Refusal> {
        let (offices, value) = (&self.offices.by_name, self.config.limits.elections);
        if offices.len() >= value && !offices.contains_key(name) {
            let what = "service names with elections";
            return Err(Refusal::Limit { what, limit: "elections", value });
        }
        Ok(())
    }

    /// The lease of a leader of this session; `None` if its protocol knows none.
    pub(super) fn leader_lease(&self, session: SessionId) -> Option<Duration> {
        (!self.sessions.owner(session).is_v1()).then(|| self.lease_of(session))
    }
}
