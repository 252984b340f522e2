//! Two-phase going online and draining: when a round begins, is committed or comes to nothing, and
//! how epochs grow. Who votes is in `voters.rs`, who wants what in `wishes.rs`, what a router does
//! with it in `placement/router.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{Revision, ServiceName};

use super::input::ConnectionId;
use super::round::{Asked, Round, Wishes};
use super::service::Urgency;
use super::timer::Timer;
use super::{Action, Note, Registry};
use crate::InstanceState;
use crate::flaw::Flaw;
use crate::placement::{Epoch, Preparation, RoundEnd, RoundId};

/// Instances that one round is about. More wait for the next one, so that what a router is asked to
/// prepare for stays a small frame: some 40 kB.
const ROUND_INSTANCES: usize = 100;

/// Half of all numbers. Nobody has counted so far, so an agent that says so is not believed.
const EPOCHS: u64 = 1 << 63;

/// Longest round that an instance of protocol 1 waits for: the origin's agents give a registration up
/// after 3 s.
const ROUND_V1: Duration = Duration::from_secs(2);

/// An open round as operators and tests see it.
#[derive(Debug, Clone, Copy)]
pub struct OpenRound<'a> {
    /// The service.
    pub name: &'a ServiceName,
    /// Its number.
    pub id: RoundId,
    /// When it ends at the latest.
    pub deadline: Duration,
    /// Whose word is awaited.
    pub awaited: &'a BTreeSet<ConnectionId>,
}

/// How many rounds there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoundCounts {
    /// Open now.
    pub open: u64,
    /// Ended with everyone's word, or without that of the stale.
    pub committed: u64,
    /// Came to nothing.
    pub aborted: u64,
}

impl Registry {
    /// How many rounds there were in this life of the registry.
    pub const fn round_counts(&self) -> RoundCounts {
        self.round_counts
    }

    /// The placements whose epoch was raised since this was asked last, by service; epoch 0 if there is
    /// none any more.
    pub fn take_raised(&mut self) -> BTreeMap<ServiceName, Epoch> {
        std::mem::take(&mut self.raised)
    }

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

    /// An agent knows of an epoch that this life of the registry has not reached: one of an earlier
    /// life, before the clock of the nameserver was set back. Epochs count on from there.
    pub(super) fn hear_of_epoch(&mut self, epoch: Epoch) {
        if epoch.0 < EPOCHS {
            self.floor = self.floor.max(epoch.0.saturating_sub(self.revision.0));
        }
    }

    pub(super) fn preparation(&self, name: &ServiceName) -> Option<Arc<Preparation>> {
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
        self.answer_withdrawn(actions);
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
            let Some(service) = self.services.get(name) else { return };
            match &service.agreement.round {
                Some(round) if round.awaited.len() > usize::from(hasty) => return,
                Some(_) => self.commit(name, actions),
                None => {
                    let wished = !service.agreement.wishes.is_empty() && !self.recovering;
                    if !wished || !self.open_round(name, actions) {
                        self.touched.insert(name.clone());
                        return;
                    }
                }
            }
        }
    }

    /// Begins a round about what is wished for. Answers whether there was anything to be agreed on.
    fn open_round(&mut self, name: &ServiceName, actions: &mut Vec<Action>) -> bool {
        // Routers have to know the placement that the round is about.
        self.flush(name, actions);
        let id = RoundId(self.last_round + 1);
        let Some(service) = self.services.get_mut(name) else { return false };
        // One that is not agreed on yet leaves after it has come.
        let instances = &self.instances;
        let has_come = |handle| {
            let instance = instances.get(&handle);
            instance.is_some_and(|one| one.record.state != InstanceState::Pending)
        };
        let wishes = service.agreement.wishes.take(ROUND_INSTANCES, has_come);
        if wishes.is_empty() {
            return false;
        }
        let mut joining = wishes.joining.keys().filter_map(|handle| instances.get(handle));
        let hasty = joining.any(|instance| instance.record.protocol.version < 2);
        let time = if hasty { self.config.round.min(ROUND_V1) } else { self.config.round };
        let deadline = self.now + time;
        let (prepared, mut awaited) = (BTreeSet::new(), service.watchers.clone());
        awaited.extend(&service.agreement.routers_v1);
        let to: Vec<ConnectionId> = awaited.iter().copied().collect();
        awaited.extend(&service.agreement.lagging);
        service.agreement.round = Some(Round { id, wishes, deadline, awaited, prepared });
        self.last_round = id.0;
        self.round_counts.open += 1;
        self.timers.arm(deadline, Timer::Round(name.clone()));
        if let Some(round) = self.preparation(name).filter(|_| !to.is_empty()) {
            actions.push(Action::Prepare { to, round });
        }
        true
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

    pub(super) fn close_round(&mut self, name: &ServiceName) -> Option<Round> {
        let round = self.services.get_mut(name)?.agreement.round.take()?;
        self.timers.disarm(round.deadline, Timer::Round(name.clone()));
        self.round_counts.open -= 1;
        Some(round)
    }

    pub(super) fn end_round(
        &mut self,
        name: &ServiceName,
        round: &Round,
        end: RoundEnd,
        actions: &mut Vec<Action>,
    ) {
        match end {
            RoundEnd::Committed(_) => self.round_counts.committed += 1,
            RoundEnd::Aborted => self.round_counts.aborted += 1,
        }
        let to = round.prepared.iter().chain(&round.awaited);
        let to: Vec<ConnectionId> = to.copied().collect();
        if !to.is_empty() {
            let (name, round) = (name.clone(), round.id);
            actions.push(Action::RoundEnded { to, name, round, end });
        }
    }

    /// The owners of keys have changed by what the turn did last.
    pub(super) fn raise_epoch(&mut self, name: &ServiceName) {
        let fixed = self.has_flaw(Flaw::EpochNotRaised);
        let epoch = Epoch(self.numbered(self.revision));
        let service = self.services.get_mut(name);
        if let Some(service) = service.filter(|service| !fixed || service.epoch == Epoch(0)) {
            service.epoch = epoch;
            self.raised.insert(name.clone(), epoch);
        }
    }

    /// The epoch that watchers are told; unknown while it is unknown who is there.
    pub(super) fn epoch_of(&self, name: &ServiceName) -> Epoch {
        let known = self.services.get(name).filter(|_| !self.recovering);
        known.map_or(Epoch(0), |service| service.epoch)
    }
}
