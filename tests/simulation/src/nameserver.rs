//! The nameserver's node: the real registry, a shell as thin as the production one, and a store
//! that outlives both.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use skymesh_naming::{
    Action, AgentInput, ConnectionId, Durable, Input, KickTarget, OperatorInput, Registry,
    RegistryConfig, RequestId, StoreInput, StoreMemory,
};
use skymesh_types::{Handle, RegistryId, ServiceName};

use crate::dice::Dice;
use crate::message::{Message, Said};
use crate::network::{ConnectionNumber, End};
use crate::scenario::{Disk, Scenario};
use crate::world::Context;

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
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.registry.next_deadline()
    }

    /// A new life with the old disk.
    pub(crate) fn start(&mut self, cx: &mut Context<'_>) {
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
        self.feed(Input::Agent(ConnectionId(connection as u64), input), cx);
    }

    pub(crate) fn closed(&mut self, connection: ConnectionNumber, cx: &mut Context<'_>) {
        self.asked(connection, AgentInput::Disconnected, cx);
    }

    pub(crate) fn wake(&mut self, cx: &mut Context<'_>) {
        if self.next_deadline().is_some_and(|due| due <= cx.now) {
            self.feed(Input::Tick, cx);
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
        let mut actions = std::mem::take(&mut self.actions);
        self.registry.handle(cx.now, input, &mut actions);
        for action in actions.drain(..) {
            self.perform(action, cx);
        }
        self.actions = actions;
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) {
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
            Action::Close { connection, .. } => {
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
