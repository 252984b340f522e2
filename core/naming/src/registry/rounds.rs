//! Two-phase going online and draining: who is asked to prepare, when a round is committed or comes
//! to nothing, and how epochs grow. What a router does with it is in `placement/router.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use skymesh_types::{Handle, Revision, ServiceName};

use super::input::{ConnectionId, RequestId};
use super::round::{Asked, Round, Wishes};
use super::service::Urgency;
use super::timer::Timer;
use super::{Action, Note, Refusal, Registry};
use crate::InstanceState;
use crate::flaw::Flaw;
use crate::placement::{Epoch, Preparation, RoundEnd, RoundId, is_placed};

/// An open round as operators and tests see it.
#[derive(Debug, Clone, Copy)]
pub struct OpenRound<'a> {
    /// The service.
    pub name: &'a ServiceName,
    /// Its number.
    pub id: RoundId,
    /// When it ends at the latest.
    pub deadline: std::time::Duration,
    /// Whose word is awaited.
    pub awaited: &'a BTreeSet<ConnectionId>,
}

impl Registry {
    /// The rounds that are open now.
    pub fn rounds(&self) -> impl Iterator<Item = OpenRound<'_>> {
        self.services.values().filter_map(|service| {
            let round = service.agreement.round.as_ref()?;
            Some(OpenRound {
                name: &service.name,
                id: round.id,
                deadline: round.deadline,
                awaited: &round.awaited,
            })
        })
    }

    /// The number of this turn's change, above those of every life before.
    pub(super) const fn numbered(&self, revision: Revision) -> u64 {
        let floor = match self.flaw {
            Some(Flaw::EpochForgotten) => 0,
            _ => self.floor,
        };
        floor + revision.0
    }

    /// A pending instance wants to own keys.
    pub(super) fn wish_to_join(&mut self, handle: Handle, to: ConnectionId, request: RequestId) {
        let name = self.instance(handle).record.url.name.clone();
        let asked = Some(Asked { to, request });
        self.service_or_new(&name).agreement.wishes.joining.insert(handle, asked);
        self.agreed_on.insert(name);
    }

    /// An instance that owns keys wants to own none. Answers whether that takes a round.
    pub(super) fn wish_to_leave(&mut self, handle: Handle, asked: Option<Asked>) -> bool {
        let record = &self.instance(handle).record;
        if !is_placed(record) {
            return false;
        }
        let name = record.url.name.clone();
        self.service_or_new(&name).agreement.wishes.leaving.insert(handle, asked);
        self.agreed_on.insert(name);
        true
    }

    /// Whoever asked again for what is under way is answered instead of who asked first.
    pub(super) fn wish_again(&mut self, handle: Handle, to: ConnectionId, request: RequestId) {
        let name = self.instance(handle).record.url.name.clone();
        let agreement = &mut self.service_or_new(&name).agreement;
        let round = agreement.round.as_mut().map(|round| &mut round.wishes);
        for wishes in round.into_iter().chain([&mut agreement.wishes]) {
            if let Some(asked) = wishes.joining.get_mut(&handle) {
                *asked = Some(Asked { to, request });
            }
        }
    }

    /// An instance is gone. A round that counted on it comes to nothing, and the next one begins
    /// with what is left.
    pub(super) fn forget_wish(&mut self, handle: Handle, name: &ServiceName) {
        let Some(service) = self.services.get_mut(name) else { return };
        let agreement = &mut service.agreement;
        let waited = agreement.wishes.remove(handle);
        let counted = agreement.round.as_mut().is_some_and(|round| round.wishes.remove(handle));
        if counted {
            self.agreed_on.insert(name.clone());
            self.void.insert(name.clone());
        }
        if waited {
            self.agreed_on.insert(name.clone());
        }
    }

    /// A router has prepared.
    pub(super) fn prepared(&mut self, connection: ConnectionId, name: &ServiceName, id: RoundId) {
        let Some(service) = self.services.get_mut(name) else { return };
        let Some(round) = &mut service.agreement.round else { return };
        // Protocol 1 knows no numbers.
        if (round.id == id || id == RoundId(0)) && round.awaited.remove(&connection) {
            round.prepared.insert(connection);
            self.agreed_on.insert(name.clone());
        }
    }

    /// A router of protocol 1 says that it can't.
    pub(super) fn unprepared(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
        actions: &mut Vec<Action>,
    ) {
        let Some(service) = self.services.get_mut(name) else { return };
        let awaited = service.agreement.round.as_ref().is_some_and(|round| {
            round.awaited.contains(&connection) || round.prepared.contains(&connection)
        });
        if awaited && let Some(round) = self.close_round(name) {
            self.end_round(name, &round, RoundEnd::Aborted, actions);
            self.refuse(name, &round.wishes, actions);
        }
    }

    /// A connection of protocol 1 routes to the service.
    pub(super) fn route_v1(&mut self, connection: ConnectionId, name: &ServiceName) {
        let value = self.config.limits.watches_per_session;
        let Some(session) = self.sessions.on_mut(connection) else { return };
        if name.is_in(&session.app) && session.routes.len() < value {
            session.routes.insert(name.clone());
            self.service_or_new(name).agreement.routers_v1.insert(connection);
        }
    }

    /// Ends what a session's connection of protocol 1 routes to.
    pub(super) fn unroute_v1(&mut self, connection: ConnectionId, names: BTreeSet<ServiceName>) {
        for name in names {
            if let Some(service) = self.services.get_mut(&name) {
                service.agreement.routers_v1.remove(&connection);
                service.leave(connection);
                self.touched.insert(name.clone());
                self.agreed_on.insert(name);
            }
        }
    }

    /// Who begins to watch while a round is open has a voice in it.
    pub(super) fn ask_to_prepare(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
        actions: &mut Vec<Action>,
    ) {
        let Some(service) = self.services.get_mut(name) else { return };
        let Some(round) = &mut service.agreement.round else { return };
        round.prepared.remove(&connection);
        round.awaited.insert(connection);
        let preparation = self.preparation(name);
        actions.extend(preparation.map(|round| Action::Prepare { to: vec![connection], round }));
    }

    fn preparation(&self, name: &ServiceName) -> Option<Arc<Preparation>> {
        let round = self.services.get(name)?.agreement.round.as_ref()?;
        let joining = round.wishes.joining.keys();
        Some(Arc::new(Preparation {
            name: name.clone(),
            round: round.id,
            joining: joining.map(|handle| Arc::clone(&self.instance(*handle).record)).collect(),
            leaving: round.wishes.leaving.keys().copied().collect(),
        }))
    }

    /// Looks at every agreement that the turn has touched.
    pub(super) fn settle_agreements(&mut self, actions: &mut Vec<Action>) {
        while let Some(name) = self.agreed_on.pop_first() {
            let void = self.void.remove(&name);
            if void && let Some(round) = self.close_round(&name) {
                self.end_round(&name, &round, RoundEnd::Aborted, actions);
                self.service_or_new(&name).agreement.wishes.add(round.wishes);
            }
            self.settle_agreement(&name, actions);
        }
    }

    fn settle_agreement(&mut self, name: &ServiceName, actions: &mut Vec<Action>) {
        let hasty = self.has_flaw(Flaw::CommitBeforeLastAck);
        loop {
            let Some(service) = self.services.get_mut(name) else { return };
            match &service.agreement.round {
                Some(round) => {
                    let enough = if hasty { 1 } else { 0 };
                    if round.awaited.len() > enough {
                        return;
                    }
                    self.commit(name, actions);
                }
                None if service.agreement.wishes.is_empty() || self.recovering => {
                    self.touched.insert(name.clone());
                    return;
                }
                None => self.open_round(name, actions),
            }
        }
    }

    fn open_round(&mut self, name: &ServiceName, actions: &mut Vec<Action>) {
        // Routers have to know the placement that the round is about.
        self.flush(name, actions);
        self.last_round += 1;
        let (id, deadline) = (RoundId(self.last_round), self.now + self.config.round);
        let Some(service) = self.services.get_mut(name) else { return };
        let mut awaited = service.watchers.clone();
        awaited.extend(&service.agreement.routers_v1);
        let wishes = std::mem::take(&mut service.agreement.wishes);
        let to: Vec<ConnectionId> = awaited.iter().copied().collect();
        let prepared = BTreeSet::new();
        service.agreement.round = Some(Round { id, wishes, deadline, awaited, prepared });
        self.timers.arm(deadline, Timer::Round(name.clone()));
        if let Some(round) = self.preparation(name).filter(|_| !to.is_empty()) {
            actions.push(Action::Prepare { to, round });
        }
    }

    /// The deadline of a round has come: those who have not prepared are stale from here on.
    pub(super) fn round_due(&mut self, name: &ServiceName, actions: &mut Vec<Action>) {
        if self.has_flaw(Flaw::RoundDeadlineIgnored) {
            return;
        }
        let Some(service) = self.services.get_mut(name) else { return };
        let Some(round) = &mut service.agreement.round else { return };
        if round.deadline > self.now {
            return;
        }
        for connection in std::mem::take(&mut round.awaited) {
            round.prepared.insert(connection);
            // It must know the new placement as a whole before it routes again.
            if service.watchers.remove(&connection) {
                service.joining.insert(connection, None);
            }
            actions.push(Action::Note(Note::RouterStale(connection, name.clone())));
        }
        self.agreed_on.insert(name.clone());
    }

    /// Everyone has prepared, or is stale, or gone.
    fn commit(&mut self, name: &ServiceName, actions: &mut Vec<Action>) {
        let Some(round) = self.close_round(name) else { return };
        for handle in round.wishes.joining.keys() {
            self.amend(*handle, Urgency::AtOnce, |record| record.state = InstanceState::Online);
        }
        for handle in round.wishes.leaving.keys() {
            self.amend(*handle, Urgency::AtOnce, |record| record.state = InstanceState::Draining);
        }
        self.flush(name, actions);
        let epoch = self.epoch_of(name);
        self.end_round(name, &round, RoundEnd::Committed(epoch), actions);
        let Wishes { joining, leaving } = round.wishes;
        let revision = self.revision;
        for (handle, asked) in joining {
            let Some(Asked { to, request }) = asked else { continue };
            actions.push(Action::Registered { to, request, handle, result: Ok(revision) });
        }
        for asked in leaving.into_values().flatten() {
            let Asked { to, request } = asked;
            actions.push(Action::Answer { to, request, result: Ok(revision) });
        }
    }

    fn close_round(&mut self, name: &ServiceName) -> Option<Round> {
        let round = self.services.get_mut(name)?.agreement.round.take()?;
        self.timers.disarm(round.deadline, Timer::Round(name.clone()));
        Some(round)
    }

    fn end_round(
        &self,
        name: &ServiceName,
        round: &Round,
        end: RoundEnd,
        actions: &mut Vec<Action>,
    ) {
        let to = round.prepared.iter().chain(&round.awaited);
        let to: Vec<ConnectionId> = to.copied().collect();
        if !to.is_empty() {
            let (name, round) = (name.clone(), round.id);
            actions.push(Action::RoundEnded { to, name, round, end });
        }
    }

    /// What was wished for does not come true: pending instances go, the others stay as they are.
    fn refuse(&mut self, name: &ServiceName, wishes: &Wishes, actions: &mut Vec<Action>) {
        for (handle, asked) in &wishes.joining {
            let refusal = Refusal::VotedDown(name.clone());
            if let Some(Asked { to, request }) = *asked {
                let (handle, result) = (*handle, Err(refusal));
                actions.push(Action::Registered { to, request, handle, result });
            }
            self.remove(*handle);
        }
        for Asked { to, request } in wishes.leaving.values().copied().flatten() {
            let result = Err(Refusal::VotedDown(name.clone()));
            actions.push(Action::Answer { to, request, result });
        }
    }

    /// The owners of keys have changed by what the turn did last.
    pub(super) fn raise_epoch(&mut self, name: &ServiceName) {
        let fixed = self.has_flaw(Flaw::EpochNotRaised);
        let epoch = Epoch(self.numbered(self.revision));
        let service = self.services.get_mut(name);
        if let Some(service) = service.filter(|service| !fixed || service.epoch == Epoch(0)) {
            service.epoch = epoch;
        }
    }

    /// The epoch that watchers are told; unknown while it is unknown who is there.
    pub(super) fn epoch_of(&self, name: &ServiceName) -> Epoch {
        let known = self.services.get(name).filter(|_| !self.recovering);
        known.map_or(Epoch(0), |service| service.epoch)
    }
}
