//! One router of one stateful service: routes keyed parcels by the placement that the agent knows,
//! holds those whose keys are about to move, and routes again what came back. Sans-io, and not on
//! the path of keys that stay: a shell may look keys up in a snapshot while nothing is held. When
//! what is held goes is in `router/release.rs`.

mod release;

use std::sync::Arc;
use std::time::Duration;

use super::hold::{Held, Hold, HoldLimits, Wait};
use super::{
    Epoch, Full, Parcel, Placement, PlacementAction, PlacementInput, Placing, Preparation,
    RoundEnd, RoundId, Undelivered,
};
use crate::InstanceRecord;
use crate::flaw::Flaw;

/// A receiver that is behind is tried again after this: a delta takes about as long. Each further
/// time takes twice as long, up to `RETRY_DOUBLINGS` times: one that is cut off from the registry is
/// behind for long, and would be flooded.
const RETRY: Duration = Duration::from_millis(10);

/// See [`RETRY`].
const RETRY_DOUBLINGS: u32 = 6;

/// A round that the registry asked to prepare for.
#[derive(Debug)]
struct Round {
    id: RoundId,
    preparation: Arc<Preparation>,
    since: Duration,
    /// It is committed, and the placement of that epoch is on its way.
    committed: Option<Epoch>,
    /// The registry was lost since: it says anew what holds, and asks anew if the round is open.
    orphaned: bool,
}

/// Routes the keyed parcels of one service.
///
/// Parcels of one key leave in the order in which they were offered, unless one of them comes back.
#[derive(Debug)]
pub struct KeyedRouter<P, M> {
    placing: P,
    placement: Option<Placement>,
    /// The members that the round would make; empty without a round.
    future: Vec<Arc<InstanceRecord>>,
    round: Option<Round>,
    /// What to prepare for once it is known what came of the round: word of it was left out while the
    /// registry's queue to this agent was full.
    next: Option<Arc<Preparation>>,
    hold: Hold<M>,
    /// When time alone lets something go that is held.
    release_at: Option<Duration>,
    flaw: Option<Flaw>,
}

impl<P: Placing, M> KeyedRouter<P, M> {
    /// A router that knows no placement yet.
    pub fn new(placing: P, limits: HoldLimits) -> Self {
        Self {
            placing,
            placement: None,
            future: Vec::new(),
            round: None,
            next: None,
            hold: Hold::new(limits),
            release_at: None,
            flaw: None,
        }
    }

    /// With a planted bug, for simulations that have to find it.
    #[doc(hidden)]
    #[must_use]
    pub fn with_flaw(mut self, flaw: Option<Flaw>) -> Self {
        self.flaw = flaw;
        self
    }

    /// Routes a parcel, or holds it.
    ///
    /// # Errors
    /// [`Full`] if it would have to be held and there is no room; it is given back then.
    pub fn offer(
        &mut self,
        now: Duration,
        parcel: Parcel<M>,
        actions: &mut Vec<PlacementAction<M>>,
    ) -> Result<(), Full<M>> {
        if self.hold.holds(parcel.key) {
            return self.hold.push(parcel, now, Wait::Turn);
        }
        if self.must_hold(parcel.key) {
            self.hold.push(parcel, now, Wait::Moving)?;
            if self.placement.is_none() {
                let patience = now + self.hold.patience();
                self.release_at.get_or_insert(patience);
            }
            return Ok(());
        }
        self.send(parcel, actions);
        Ok(())
    }

    /// Takes in what happened at `now` and adds what is to be done, in order, to `actions`.
    pub fn handle(
        &mut self,
        now: Duration,
        input: PlacementInput<M>,
        actions: &mut Vec<PlacementAction<M>>,
    ) {
        let mut may_go = true;
        match input {
            PlacementInput::Placed(placement) => self.placed(placement),
            PlacementInput::Prepare(preparation) => self.asked(now, preparation, actions),
            PlacementInput::Settled(round) => {
                // A registry that was lost counts on it no more, until it has asked anew.
                let asked = |open: &Round| open.id == round && !open.orphaned;
                if self.round.as_ref().is_some_and(asked) {
                    actions.push(PlacementAction::Prepared(round));
                }
            }
            PlacementInput::Ended(round, end) => self.ended(round, end),
            PlacementInput::Disconnected => self.orphan(),
            PlacementInput::Tick => {}
            PlacementInput::Bounced(bounced) => may_go = self.bounced(now, bounced, actions),
        }
        may_go |= self.give_up_round(now);
        if self.round.is_none()
            && let Some(next) = self.next.take()
        {
            self.prepare(now, next, actions);
        }
        if may_go {
            self.release(now, actions);
            self.release_at = self.hold.heads().filter_map(|held| self.due(held)).min();
        }
    }

    /// The members among which owners may be asked for once `input` is taken in, and were not before: for
    /// a shell that has to find them beforehand.
    pub fn foreseen(&self, input: &PlacementInput<M>) -> Vec<Vec<Arc<InstanceRecord>>> {
        let (members, asked) = match (input, &self.placement) {
            (PlacementInput::Placed(placement), _) => (&placement.members, None),
            (PlacementInput::Prepare(preparation), Some(known)) => {
                (&known.members, Some(preparation))
            }
            _ => return Vec::new(),
        };
        let open = self.round.iter().map(|round| &round.preparation);
        let rounds = open.chain(&self.next).chain(asked).map(|round| round.of(members));
        std::iter::once(members.to_vec()).chain(rounds).collect()
    }

    /// When [`PlacementInput::Tick`] is wanted.
    pub fn next_deadline(&self) -> Option<Duration> {
        let round = self.round.as_ref().map(|round| round.since + self.hold.patience());
        round.into_iter().chain(self.release_at).min()
    }

    /// The epoch that parcels are sent with; 0 while no placement is known.
    pub fn epoch(&self) -> Epoch {
        self.placement.as_ref().map_or(Epoch(0), |placement| placement.epoch)
    }

    /// How many parcels are held.
    pub fn held(&self) -> usize {
        self.hold.len()
    }

    /// The round that this router prepares for, or has prepared for and does not know the end of.
    pub fn preparing(&self) -> Option<RoundId> {
        self.round.as_ref().map(|round| round.id)
    }

    /// Whether keys may be looked up in the placement alone: nothing is held and nothing moves.
    pub fn is_quiet(&self) -> bool {
        self.placement.is_some() && self.round.is_none() && self.hold.len() == 0
    }

    fn must_hold(&self, key: u64) -> bool {
        let Some(placement) = &self.placement else { return true };
        if self.round.is_none() || self.flaw == Some(Flaw::RouterDoesNotHold) {
            return false;
        }
        let owner = |members: &[Arc<InstanceRecord>]| {
            self.placing.owner(members, key).map(|index| members[index].handle)
        };
        owner(&placement.members) != owner(&self.future)
    }

    fn send(&self, parcel: Parcel<M>, actions: &mut Vec<PlacementAction<M>>) {
        let placement = self.placement.as_ref().map(|one| (one.epoch, &one.members));
        let routed = placement.and_then(|(epoch, members)| {
            let to = members.get(self.placing.owner(members, parcel.key)?)?;
            Some((epoch, Arc::clone(to)))
        });
        actions.push(match routed {
            Some((epoch, to)) => PlacementAction::Send { to, epoch, parcel },
            None => PlacementAction::Undelivered(parcel, Undelivered::NoOwner),
        });
    }

    fn placed(&mut self, placement: Placement) {
        let over = |round: &Round| {
            round.orphaned || round.committed.is_some_and(|epoch| epoch <= placement.epoch)
        };
        if self.round.as_ref().is_some_and(over) {
            self.round = None;
        }
        self.placement = Some(placement);
        self.foresee();
    }

    /// What the members will be if the round is committed.
    fn foresee(&mut self) {
        self.future.clear();
        let (Some(round), Some(placement)) = (&self.round, &self.placement) else { return };
        self.future = round.preparation.of(&placement.members);
    }

    /// The placement that the round has made, or left, has to be known before the next round counts.
    fn asked(
        &mut self,
        now: Duration,
        preparation: Arc<Preparation>,
        actions: &mut Vec<PlacementAction<M>>,
    ) {
        let unclear = |round: &Round| round.orphaned || round.committed.is_some();
        if self.round.as_ref().is_some_and(unclear) {
            self.next = Some(preparation);
        } else {
            self.prepare(now, preparation, actions);
        }
    }

    fn prepare(
        &mut self,
        now: Duration,
        preparation: Arc<Preparation>,
        actions: &mut Vec<PlacementAction<M>>,
    ) {
        let id = preparation.round;
        self.round = Some(Round { id, preparation, since: now, committed: None, orphaned: false });
        self.foresee();
        actions.push(PlacementAction::Settle(id));
    }

    fn ended(&mut self, id: RoundId, end: RoundEnd) {
        self.next.take_if(|next| next.round == id);
        let here = self.epoch();
        let Some(round) = self.round.as_mut().filter(|round| round.id == id) else { return };
        match end {
            RoundEnd::Committed(epoch) if here < epoch => round.committed = Some(epoch),
            RoundEnd::Committed(_) => self.round = None,
            RoundEnd::Aborted => {
                self.round = None;
                if self.flaw == Some(Flaw::HeldDroppedOnAbort) {
                    self.hold.clear();
                }
            }
        }
        self.foresee();
    }

    /// The registry forgets a voter that it lost.
    fn orphan(&mut self) {
        self.next = None;
        if let Some(round) = &mut self.round {
            round.orphaned = true;
        }
    }

    /// The registry ends every round in less time than this, so it is out of reach: the last
    /// placement goes on serving. Answers whether it gave up.
    fn give_up_round(&mut self, now: Duration) -> bool {
        let patience = self.hold.patience();
        let over = self.round.take_if(|round| round.since + patience <= now).is_some();
        if over {
            self.foresee();
        }
        over
    }
}

#[cfg(test)]
mod tests;
