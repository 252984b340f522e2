//! What must hold of placements: one owner per key and epoch, no message without somebody who
//! answers for it, no voter that goes on as before after it has prepared.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use skymesh_naming::placement::{Epoch, RoundId, Undelivered};
use skymesh_types::Handle;

use super::{Broken, Oracle};
use crate::keyed::Id;
use crate::network::ConnectionNumber;
use crate::scenario::Stage;
use crate::world::NodeId;

/// Who answers for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Custody {
    /// The router of that node.
    Router(NodeId),
    /// It is on its way to that node.
    Line(ConnectionNumber, NodeId),
}

#[derive(Debug, Default)]
pub(super) struct Placements {
    /// To whom keys were sent.
    owners: BTreeMap<(u64, Epoch), Handle>,
    /// The newest epoch in which a key was sent.
    newest: BTreeMap<u64, Epoch>,
    /// The newest round that a router was asked to prepare for, unless it has given up since.
    preparing: BTreeMap<NodeId, RoundId>,
    /// Routers that had prepared for that epoch, and have not given up since.
    bound: BTreeMap<Epoch, BTreeSet<NodeId>>,
    /// Instances that are offline: what moves from them did not move by agreement.
    gone: BTreeSet<Handle>,
    /// At some time the registry did not know of the instance that always stays.
    bereft: bool,
    custody: BTreeMap<u64, Custody>,
    by_router: BTreeMap<NodeId, usize>,
    taken: BTreeSet<u64>,
}

/// The node whose application sent a message.
const fn sender_of(id: Id) -> NodeId {
    NodeId((id >> 48) as usize)
}

impl Oracle {
    /// A router has taken a message over from the application.
    pub(crate) fn accepted(&mut self, id: u64, node: NodeId) {
        self.counts.messages += 1;
        self.hand(id, Some(Custody::Router(node)));
    }

    fn hand(&mut self, id: u64, to: Option<Custody>) {
        let placements = &mut self.placements;
        let before = match to {
            Some(to) => placements.custody.insert(id, to),
            None => placements.custody.remove(&id),
        };
        if let Some(Custody::Router(node)) = before {
            *placements.by_router.entry(node).or_default() -= 1;
        }
        if let Some(Custody::Router(node)) = to {
            *placements.by_router.entry(node).or_default() += 1;
        }
    }

    /// A router sends to a key.
    pub(crate) fn sent(&mut self, node: NodeId, key: u64, epoch: Epoch, to: Handle) {
        (node, key, epoch.0, to.get()).hash(&mut self.trace);
        let owner = *self.placements.owners.entry((key, epoch)).or_insert(to);
        if owner != to {
            let seen = format!("key {key} in epoch {epoch} is sent to {owner:?} and {to:?}");
            self.violated(Broken::OneOwner, seen);
        }
        let newest = self.placements.newest.entry(key).or_insert(epoch);
        if epoch >= *newest {
            *newest = epoch;
            return;
        }
        let newest = *newest;
        if let Some(moved) = self.moved_with(node, key, epoch, newest, to) {
            let seen = format!(
                "{node:?} had prepared for {moved}, and sends key {key} to {to:?} in epoch {epoch} after {newest}"
            );
            self.violated(Broken::PreparedHolds, seen);
        }
    }

    /// A later epoch that `node` has prepared for and that takes the key away from `to`, which is
    /// still there.
    fn moved_with(
        &self,
        node: NodeId,
        key: u64,
        epoch: Epoch,
        newest: Epoch,
        to: Handle,
    ) -> Option<Epoch> {
        let placements = &self.placements;
        let later = placements.bound.range(Epoch(epoch.0 + 1)..=newest);
        let mut bound = later.filter(|(_, nodes)| nodes.contains(&node)).map(|(later, _)| *later);
        let elsewhere =
            |later: &Epoch| placements.owners.get(&(key, *later)).is_some_and(|owner| *owner != to);
        bound.find(elsewhere).filter(|_| !placements.gone.contains(&to))
    }

    pub(crate) fn flies(&mut self, id: u64, line: ConnectionNumber, to: NodeId) {
        self.hand(id, Some(Custody::Line(line, to)));
    }

    pub(crate) fn returned(&mut self, id: u64, node: NodeId) {
        self.counts.bounces += 1;
        self.hand(id, Some(Custody::Router(node)));
    }

    /// A receiver took a message, at the epoch `known`.
    pub(crate) fn taken(&mut self, id: u64, key: u64, epoch: Epoch, known: Epoch, by: Handle) {
        self.hand(id, None);
        if !self.placements.taken.insert(id) {
            self.violated(Broken::Exactly, format!("message {id:x} was taken twice"));
        }
        if epoch != known {
            let seen = format!("{by:?} at epoch {known} took key {key} of epoch {epoch}");
            self.violated(Broken::OneOwner, seen);
        }
    }

    /// The sender was told that a message can't be delivered.
    pub(crate) fn undelivered(&mut self, id: u64, why: Undelivered) {
        self.counts.undelivered += 1;
        self.hand(id, None);
        // A service whose every instance was cut off has no owners, and says so.
        let excused = why == Undelivered::NoOwner && self.placements.bereft;
        if self.stage == Stage::CalmPlacement && !excused {
            self.violated(Broken::Exactly, format!("message {id:x} was given up: {why}"));
        }
    }

    /// What was on its way on that line is lost, and the sender knows.
    pub(crate) fn line_broke(&mut self, line: ConnectionNumber) {
        self.placements.custody.retain(|_, custody| match custody {
            Custody::Line(on, _) => *on != line,
            Custody::Router(_) => true,
        });
    }

    /// A process died, and with it what its router held, what was on its way to it, and whoever would
    /// hear what became of what it sent.
    pub(super) fn router_died(&mut self, node: NodeId) {
        self.placements.custody.retain(|id, custody| match custody {
            Custody::Line(_, to) => *to != node && sender_of(*id) != node,
            Custody::Router(of) => *of != node,
        });
        self.placements.by_router.remove(&node);
        self.gave_up(node);
    }

    pub(crate) fn asked_to_prepare(&mut self, node: NodeId, round: RoundId) {
        self.placements.preparing.insert(node, round);
    }

    /// A router has held for as long as it may, and goes on as before.
    pub(crate) fn gave_up(&mut self, node: NodeId) {
        self.placements.preparing.remove(&node);
        for nodes in self.placements.bound.values_mut() {
            nodes.remove(&node);
        }
    }

    /// The registry does not know of the one instance that always stays.
    pub(crate) const fn bereft(&mut self) {
        self.placements.bereft = true;
    }

    /// The registry says who is there: owners that are not are gone without a word.
    pub(crate) fn listed(&mut self, there: &[Handle]) {
        let Placements { owners, gone, .. } = &mut self.placements;
        gone.extend(owners.values().filter(|owner| !there.contains(owner)));
    }

    pub(crate) fn instance_gone(&mut self, handle: Handle) {
        self.placements.gone.insert(handle);
    }

    /// A round was committed, and these routers had prepared for it.
    pub(crate) fn committed(
        &mut self,
        round: RoundId,
        epoch: Epoch,
        routers: impl Iterator<Item = NodeId>,
    ) {
        self.counts.rounds += 1;
        let preparing = &self.placements.preparing;
        let bound = routers.filter(|node| preparing.get(node) == Some(&round));
        self.placements.bound.entry(epoch).or_default().extend(bound);
    }

    /// How much the router of a node holds.
    pub(crate) fn holds(&mut self, node: NodeId, held: usize) {
        let custody = self.placements.by_router.get(&node).copied().unwrap_or_default();
        if custody != held {
            let seen = format!("{node:?} took {custody} messages over and holds {held}");
            self.violated(Broken::Exactly, seen);
        }
    }

    /// A round is open that should not be.
    pub(crate) fn round_drags_on(&mut self, why: String) {
        self.violated(Broken::RoundEnds, why);
    }

    /// Everyone has had time to agree.
    pub(crate) fn check_agreement(&mut self, agents: &[(NodeId, Epoch, usize, Vec<Handle>)]) {
        let Some((_, epoch, _, owners)) = agents.first() else { return };
        for (node, at, held, known) in agents {
            if at != epoch || known != owners || *held > 0 {
                let seen = format!(
                    "{node:?} is at {at} with {known:?} and holds {held}; not at {epoch} with {owners:?}"
                );
                return self.violated(Broken::AgreementAfterHealing, seen);
            }
        }
        if !self.placements.custody.is_empty() {
            let seen = format!("nobody answers for {:?}", self.placements.custody);
            self.violated(Broken::Exactly, seen);
        }
    }
}
