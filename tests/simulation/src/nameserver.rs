//! The nameserver's node: the real registry, a shell as thin as the production one, and a store
//! that outlives both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use skymesh_naming::placement::{Epoch, RoundEnd, is_placed};
use skymesh_naming::{
    Action, AgentInput, ConnectionId, Durable, Input, InstanceState, KickTarget, Note,
    OperatorInput, Registry, RegistryConfig, RequestId, StoreInput, StoreMemory,
};
use skymesh_types::{Handle, RegistryId, ServiceName};

use crate::dice::Dice;
use crate::keyed::node_of;
use crate::message::{Message, Said};
use crate::network::{ConnectionNumber, End};
use crate::scenario::{Disk, Scenario};
use crate::world::{Context, FIRST_AGENT, NodeId};

/// A nameserver that was stopped ends its rounds as soon as it goes on; a tick comes no later.
const OVERDUE: Duration = Duration::from_millis(1);

/// What a nameserver's disk has.
#[derive(Debug, Default)]
pub(crate) struct Store {
    records: BTreeMap<ServiceName, Durable>,
    /// Asked for and not done, with the nameserver's life.
    pending: VecDeque<(u32, Durable)>,
    /// Nothing fails any more.
    pub(crate) mended: bool,
}

impl Store {
    /// The oldest write of that life is done, or is not. `None` if it was lost in a crash.
    pub(crate) fn done(&mut self, life: u32, dice: &mut Dice) -> Option<StoreInput> {
        if self.pending.front()?.0 != life {
            return None;
        }
        let (_, record) = self.pending.pop_front()?;
        if !self.mended && dice.one_in(40) {
            // It may have happened all the same.
            if dice.one_in(2) {
                self.keep(record.clone());
            }
            return Some(StoreInput::NotStored(record));
        }
        self.keep(record.clone());
        Some(StoreInput::Stored(record))
    }

    fn keep(&mut self, record: Durable) {
        self.records.insert(record.name().clone(), record);
    }

    /// Of what was under way some has happened, the first first.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        while let Some((_, record)) = self.pending.pop_front() {
            if dice.one_in(2) {
                self.pending.clear();
                return;
            }
            self.keep(record);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Nameserver {
    config: RegistryConfig,
    scenario: Scenario,
    registry: Registry,
    pub(crate) store: Store,
    actions: Vec<Action>,
    /// Connections that the registry may count on, and who is behind them.
    open: BTreeMap<ConnectionId, NodeId>,
    /// Routers that the registry has called stale, by connection.
    stale: BTreeSet<ConnectionId>,
    /// Connections whose queue is full.
    clogged: BTreeSet<ConnectionId>,
    /// What the registry has not heard yet of queues that were full.
    queues: VecDeque<(ConnectionId, AgentInput)>,
}

impl Nameserver {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let scenario = *scenario;
        let config = scenario.registry();
        let id = RegistryId::new(1).expect("invariant: 1 is not 0");
        Self {
            registry: Registry::new(config.clone(), id, Duration::ZERO),
            config,
            scenario,
            store: Store::default(),
            actions: Vec::new(),
            open: BTreeMap::new(),
            stale: BTreeSet::new(),
            clogged: BTreeSet::new(),
            queues: VecDeque::new(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.registry.next_deadline()
    }

    /// A new life with the old disk.
    pub(crate) fn start(&mut self, cx: &mut Context<'_>) {
        self.open.clear();
        self.stale.clear();
        self.clogged.clear();
        self.queues.clear();
        let id = RegistryId::new(u64::from(cx.life)).expect("invariant: lives count from 1");
        self.registry = Registry::new(self.config.clone(), id, cx.now)
            .with_elector(self.scenario.elector())
            .with_flaw(self.scenario.flaw());
        let memory = match self.scenario.disk {
            Disk::Keeps => StoreMemory::Complete,
            Disk::Forgets => StoreMemory::Unsure,
        };
        if self.scenario.disk == Disk::Forgets {
            self.store.records.clear();
        }
        let records = self.store.records.values().cloned().collect();
        let restored = StoreInput::Restored { records, memory, floor: cx.wall_clock_ms() << 20 };
        self.feed(Input::Store(restored), cx);
    }

    pub(crate) fn asked(
        &mut self,
        connection: ConnectionNumber,
        input: AgentInput,
        cx: &mut Context<'_>,
    ) {
        let id = ConnectionId(connection as u64);
        match &input {
            AgentInput::Disconnected => {
                self.open.remove(&id);
            }
            AgentInput::Hello(hello) => {
                let node = hello.agent.map_or(0, |agent| agent.get() / 1000);
                self.open.insert(id, NodeId(node as usize));
            }
            _ => {}
        }
        self.feed(Input::Agent(id, input), cx);
    }

    pub(crate) fn closed(&mut self, connection: ConnectionNumber, cx: &mut Context<'_>) {
        self.asked(connection, AgentInput::Disconnected, cx);
    }

    pub(crate) fn wake(&mut self, cx: &mut Context<'_>) {
        if self.next_deadline().is_some_and(|due| due <= cx.now) {
            self.feed(Input::Tick, cx);
        }
        self.tell_of_queues(cx);
    }

    /// An agent does not read.
    pub(crate) fn clog(&mut self, agent: NodeId) {
        let connections = self.open.iter().filter(|(_, node)| **node == agent);
        self.clogged.extend(connections.map(|(connection, _)| *connection));
    }

    /// It does again.
    pub(crate) fn unclog(&mut self, agent: NodeId) {
        let connections = self.open.iter().filter(|(_, node)| **node == agent);
        for (connection, _) in connections {
            if self.clogged.remove(connection) {
                self.queues.push_back((*connection, AgentInput::Drained));
            }
        }
    }

    /// Before anything else happens, as the production shell does.
    fn tell_of_queues(&mut self, cx: &mut Context<'_>) {
        while let Some((connection, input)) = self.queues.pop_front() {
            self.take(Input::Agent(connection, input), cx);
        }
    }

    pub(crate) fn store_said(&mut self, said: StoreInput, cx: &mut Context<'_>) {
        self.feed(Input::Store(said), cx);
    }

    pub(crate) fn kick(&mut self, handle: Handle, cx: &mut Context<'_>) {
        let kick = OperatorInput::Kick(KickTarget::Instance(handle), "maintenance".into());
        self.feed(Input::Operator(RequestId(0), kick), cx);
    }

    fn feed(&mut self, input: Input, cx: &mut Context<'_>) {
        self.take(input, cx);
        self.tell_of_queues(cx);
        self.check_rounds(cx);
    }

    fn take(&mut self, input: Input, cx: &mut Context<'_>) {
        let mut actions = std::mem::take(&mut self.actions);
        self.registry.handle(cx.now, input, &mut actions);
        for action in actions.drain(..) {
            self.perform(action, cx);
        }
        self.actions = actions;
    }

    /// Sends what is left out while the queue is full.
    fn tell_watch(
        &mut self,
        to: ConnectionId,
        name: &ServiceName,
        said: Said,
        cx: &mut Context<'_>,
    ) {
        if self.clogged.contains(&to) {
            self.queues.push_back((to, AgentInput::Overflowed(name.clone())));
        } else {
            tell(to, said, cx);
        }
    }

    /// No round is open past its deadline, or waits for a connection that is gone.
    fn check_rounds(&self, cx: &mut Context<'_>) {
        for round in self.registry.rounds() {
            if round.deadline + OVERDUE < cx.now {
                cx.oracle.round_drags_on(format!("{round:?} is open at {:?}", cx.now));
            }
            if let Some(gone) = round.awaited.iter().find(|to| !self.open.contains_key(to)) {
                cx.oracle.round_drags_on(format!("{round:?} waits for {gone:?}, which is gone"));
            }
        }
    }

    /// Whether the instance that always stays owns keys, as far as the registry knows.
    fn note_owners(&self, known: bool, cx: &mut Context<'_>) {
        let mut owners = self.registry.instances(cx.now).filter(|one| is_placed(one.record));
        let first = owners.any(|one| node_of(one.record.handle) == NodeId(FIRST_AGENT));
        if known && !first {
            cx.oracle.bereft();
        }
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) {
        cx.oracle.tell(|| format!("nameserver at {:?}: {action:?}", cx.now));
        match action {
            Action::Welcome { to, lease, .. } => tell(to, Said::Welcome { lease }, cx),
            Action::Registered { to, handle, result, .. } => {
                tell(to, Said::Registered { handle, accepted: result.is_ok() }, cx);
            }
            Action::KeptAlive { to, seq, leads } => tell(to, Said::KeptAlive { seq, leads }, cx),
            Action::Leader { to, standing } => {
                cx.oracle.announced(&standing);
                for to in to {
                    tell(to, Said::Leader(standing.clone()), cx);
                }
            }
            Action::KickOff { to, handle, .. } => tell(to, Said::KickOff(handle), cx),
            Action::Answer { to, request, .. } => tell(to, Said::Answered(request), cx),
            Action::Snapshot { to, snapshot } => {
                self.note_owners(!snapshot.recovering, cx);
                if !snapshot.recovering {
                    let there: Vec<Handle> =
                        snapshot.instances.iter().map(|one| one.handle).collect();
                    cx.oracle.listed(&there);
                }
                for to in to {
                    self.tell_watch(to, &snapshot.name, Said::Snapshot(snapshot.clone()), cx);
                }
            }
            Action::Delta { to, delta } => {
                self.note_owners(delta.epoch != Epoch(0), cx);
                let gone = delta.changes.iter().filter(|one| one.state == InstanceState::Offline);
                gone.for_each(|one| cx.oracle.instance_gone(one.handle));
                for to in to {
                    self.tell_watch(to, &delta.name, Said::Delta(delta.clone()), cx);
                }
            }
            Action::Prepare { to, round } => {
                for to in to {
                    self.stale.remove(&to);
                    self.tell_watch(to, &round.name, Said::Prepare(round.clone()), cx);
                }
            }
            Action::RoundEnded { to, round, end, .. } => {
                if let RoundEnd::Committed(epoch) = end {
                    let fresh = to.iter().filter(|to| !self.stale.contains(to));
                    let nodes: Vec<NodeId> =
                        fresh.filter_map(|to| self.open.get(to).copied()).collect();
                    cx.oracle.committed(round, epoch, nodes.into_iter());
                }
                for to in to {
                    tell(to, Said::RoundEnded(round, end), cx);
                }
            }
            Action::Note(Note::RouterStale(connection, _)) => {
                self.stale.insert(connection);
            }
            Action::Close { connection, .. } => {
                self.open.remove(&connection);
                cx.close(connection.0 as ConnectionNumber, End::Listener);
            }
            Action::Persist(record) => {
                self.store.pending.push_back((cx.life, record));
                let takes = cx.dice.millis(0, 30);
                cx.store_later(takes);
            }
            _ => {}
        }
    }
}

fn tell(to: ConnectionId, said: Said, cx: &mut Context<'_>) {
    cx.send(to.0 as ConnectionNumber, End::Listener, Message::Said(said));
}
