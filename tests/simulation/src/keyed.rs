//! The keyed side of an agent: the real cache, router and receiver's gate of one stateful service,
//! and a shell that carries parcels over direct connections. Its application sends to random keys,
//! and its own instance comes and goes as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::placement::{
    Bounced, Epoch, EpochGate, KeyedRouter, Parcel, PlacementAction, PlacementInput, Placing,
    RoundId,
};
use skymesh_naming::{Applied, Cache, InstanceRecord};
use skymesh_types::{Handle, ServiceName};

use crate::message::{Message, Post};
use crate::network::{ConnectionNumber, End};
use crate::scenario::{Plant, Scenario};
use crate::world::{Context, NodeId};

/// How many keys there are.
const KEYS: u64 = 12;

/// Between two messages of one agent.
const PAUSE_MS: (u64, u64) = (15, 60);

/// Of every parcel.
const BYTES: usize = 100;

/// Rendezvous hashing: who rates a key highest owns it.
#[derive(Debug)]
pub(crate) struct Rendezvous;

impl Placing for Rendezvous {
    fn owner(&self, members: &[Arc<InstanceRecord>], key: u64) -> Option<usize> {
        let rate = |member: &Arc<InstanceRecord>| {
            let mut z = member.hash_key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key;
            z = (z ^ (z >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (z ^ (z >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb)
        };
        let rated = members.iter().enumerate();
        rated.max_by_key(|(_, member)| rate(member)).map(|(index, _)| index)
    }
}

/// The node on which an incarnation lives.
pub(crate) const fn node_of(handle: Handle) -> NodeId {
    NodeId((handle.get() >> 32) as usize)
}

/// A message by its number.
pub(crate) type Id = u64;

/// Something that waits until all is delivered that was sent before its ping.
#[derive(Debug)]
struct Settling {
    round: RoundId,
    ping: u64,
    open: BTreeSet<ConnectionNumber>,
}

#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) name: ServiceName,
    pub(crate) cache: Cache,
    router: KeyedRouter<Rendezvous, Id>,
    gate: EpochGate,
    checks: bool,
    /// The handle of this agent's own instance, if it has one.
    pub(crate) own: Option<Handle>,
    lines: BTreeMap<NodeId, ConnectionNumber>,
    /// The round that waits for what is on its way, and on which lines that is.
    settling: Option<Settling>,
    pings: u64,
    next_message: Duration,
    sent: u64,
    quiet: bool,
    /// To be said to the nameserver.
    pub(crate) prepared: Vec<RoundId>,
}

impl Keyed {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let name: ServiceName = "app.env.store".parse().expect("invariant: a proper name");
        let mut cache = Cache::new();
        cache.watch(&name);
        let router = KeyedRouter::new(Rendezvous, scenario.hold());
        Self {
            name,
            cache,
            router: router.with_flaw(scenario.flaw()),
            gate: EpochGate::default(),
            checks: scenario.plant != Some(Plant::EpochNotChecked),
            own: None,
            lines: BTreeMap::new(),
            settling: None,
            pings: 0,
            next_message: Duration::ZERO,
            sent: 0,
            quiet: false,
            prepared: Vec::new(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let message = Some(self.next_message).filter(|_| !self.quiet);
        message.into_iter().chain(self.router.next_deadline()).min()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.router.epoch()
    }

    pub(crate) fn held(&self) -> usize {
        self.router.held()
    }

    /// Who owns keys, as this agent knows it.
    pub(crate) fn owners(&self) -> Vec<Handle> {
        let placement = self.cache.placement(&self.name).unwrap_or_default();
        placement.members.iter().map(|member| member.handle).collect()
    }

    /// The application says nothing more.
    pub(crate) const fn hush(&mut self) {
        self.quiet = true;
    }

    pub(crate) fn wake(&mut self, cx: &mut Context<'_>) {
        self.feed(PlacementInput::Tick, cx);
        if self.quiet || self.next_message > cx.now {
            return;
        }
        self.next_message = cx.now + cx.dice.millis(PAUSE_MS.0, PAUSE_MS.1);
        // An application sends once it is ready.
        if self.router.epoch() == Epoch(0) {
            return;
        }
        self.sent += 1;
        let id = ((cx.node.0 as u64) << 48) + (u64::from(cx.life) << 32) + self.sent;
        let parcel = Parcel::new(cx.dice.below(KEYS), BYTES, id);
        let mut actions = Vec::new();
        if self.router.offer(cx.now, parcel, &mut actions).is_ok() {
            cx.oracle.accepted(id, cx.node);
        }
        self.perform(actions, cx);
    }

    /// The nameserver said something that the cache has taken in. Answers whether it followed what
    /// was known.
    pub(crate) fn applied(&mut self, applied: &Applied, cx: &mut Context<'_>) -> bool {
        let followed = !matches!(applied, Applied::Gap);
        if let Some(placement) = self.cache.placement(&self.name).filter(|_| followed) {
            self.gate.heard(placement.epoch);
            if !self.cache.is_recovering(&self.name) {
                self.feed(PlacementInput::Placed(placement), cx);
            }
        }
        followed
    }

    pub(crate) fn feed(&mut self, input: PlacementInput<Id>, cx: &mut Context<'_>) {
        let mut actions = Vec::new();
        if let PlacementInput::Prepare(preparation) = &input {
            cx.oracle.asked_to_prepare(cx.node, preparation.round);
        }
        let preparing = self.router.preparing();
        let told = !matches!(input, PlacementInput::Tick | PlacementInput::Bounced(_));
        let in_time = self.router.next_deadline().is_none_or(|due| cx.now < due);
        self.router.handle(cx.now, input, &mut actions);
        if preparing.is_some() && self.router.preparing() != preparing && !(told && in_time) {
            cx.oracle.gave_up(cx.node);
        }
        self.perform(actions, cx);
    }

    fn perform(&mut self, actions: Vec<PlacementAction<Id>>, cx: &mut Context<'_>) {
        for action in actions {
            cx.oracle.tell(|| format!("router {:?} at {:?}: {action:?}", cx.node, cx.now));
            match action {
                PlacementAction::Send { to, epoch, parcel } => self.send(&to, epoch, parcel, cx),
                PlacementAction::Settle(round) => self.settle(round, cx),
                PlacementAction::Prepared(round) => self.prepared.push(round),
                PlacementAction::Undelivered(parcel, why) => {
                    cx.oracle.undelivered(parcel.message, why);
                }
            }
        }
    }

    fn send(
        &mut self,
        to: &InstanceRecord,
        epoch: Epoch,
        parcel: Parcel<Id>,
        cx: &mut Context<'_>,
    ) {
        let (id, key, to) = (parcel.message, parcel.key, to.handle);
        cx.oracle.sent(cx.node, key, epoch, to);
        if node_of(to) == cx.node {
            if let Err(known) = self.take(to, epoch, id, key, cx) {
                self.feed(PlacementInput::Bounced(Bounced { parcel, sent: epoch, known }), cx);
            }
            return;
        }
        let line = self.line(node_of(to), cx);
        cx.oracle.flies(id, line, node_of(to));
        cx.send(line, End::Dialler, Message::Post(Post::Parcel { to, epoch, parcel }));
    }

    fn line(&mut self, to: NodeId, cx: &mut Context<'_>) -> ConnectionNumber {
        let open = self.lines.get(&to).filter(|line| cx.is_open(**line, End::Dialler));
        if let Some(line) = open {
            return *line;
        }
        let line = cx.dial(to);
        self.lines.insert(to, line);
        line
    }

    /// A parcel is at its destination: it is taken, or the receiver's epoch is the answer.
    fn take(
        &self,
        to: Handle,
        epoch: Epoch,
        id: Id,
        key: u64,
        cx: &mut Context<'_>,
    ) -> Result<(), Option<Epoch>> {
        if self.own != Some(to) {
            return Err(None);
        }
        if self.checks
            && let Err(wrong) = self.gate.admit(epoch)
        {
            return Err(Some(wrong.known));
        }
        cx.oracle.taken(id, key, epoch, self.gate.known(), to);
        Ok(())
    }

    /// Something came over a direct connection.
    pub(crate) fn post(&mut self, line: ConnectionNumber, post: Post, cx: &mut Context<'_>) {
        match post {
            Post::Parcel { to, epoch, parcel } => {
                if let Err(known) = self.take(to, epoch, parcel.message, parcel.key, cx) {
                    let bounced = Bounced { parcel, sent: epoch, known };
                    cx.send(line, End::Listener, Message::Post(Post::Bounced(bounced)));
                }
            }
            Post::Bounced(bounced) => {
                cx.oracle.returned(bounced.parcel.message, cx.node);
                self.feed(PlacementInput::Bounced(bounced), cx);
            }
            Post::Ping(ping) => cx.send(line, End::Listener, Message::Post(Post::Pong(ping))),
            Post::Pong(ping) => self.arrived(line, Some(ping), cx),
        }
    }

    /// Asks on every line whether all that was sent has arrived.
    fn settle(&mut self, round: RoundId, cx: &mut Context<'_>) {
        let open = self.lines.values().filter(|line| cx.is_open(**line, End::Dialler));
        let open: BTreeSet<ConnectionNumber> = open.copied().collect();
        self.pings += 1;
        let ping = self.pings;
        for line in &open {
            cx.send(*line, End::Dialler, Message::Post(Post::Ping(ping)));
        }
        self.settling = Some(Settling { round, ping, open });
        self.note_settled(cx);
    }

    fn note_settled(&mut self, cx: &mut Context<'_>) {
        if let Some(settled) = self.settling.take_if(|settling| settling.open.is_empty()) {
            self.feed(PlacementInput::Settled(settled.round), cx);
        }
    }

    /// The answer to a ping came on a line; without one, it closed.
    fn arrived(&mut self, line: ConnectionNumber, answer: Option<u64>, cx: &mut Context<'_>) {
        if let Some(settling) = &mut self.settling
            && answer.is_none_or(|answer| answer == settling.ping)
        {
            settling.open.remove(&line);
        }
        self.note_settled(cx);
    }

    /// A direct connection is closed: what was on its way is lost, and what it waited for is over.
    pub(crate) fn closed(&mut self, line: ConnectionNumber, cx: &mut Context<'_>) {
        cx.oracle.line_broke(line);
        self.arrived(line, None, cx);
    }
}
