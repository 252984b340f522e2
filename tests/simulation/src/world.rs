//! The world of one run: true time, hosts with their clocks, and the loop in which everything
//! happens, one thing after the other. The same seed makes the same world. What breaks in it is in
//! `world/breaking.rs`.

mod breaking;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use skymesh_naming::StoreInput;

use crate::agenda::{Agenda, Happening};
use crate::agent::Agent;
use crate::clock::Clock;
use crate::dice::Dice;
use crate::keyed::Keyed;
use crate::message::Message;
use crate::nameserver::Nameserver;
use crate::network::{ConnectionNumber, End, Network, Packet};
use crate::oracle::Oracle;
use crate::register::Registers;
use crate::scenario::{Report, Scenario};

/// A host. The nameserver's is 0, the registers' is 1, agents follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

pub(crate) const NAMESERVER: NodeId = NodeId(0);
pub(crate) const REGISTERS: NodeId = NodeId(1);
pub(crate) const FIRST_AGENT: usize = 2;

/// What waits for a stopped process.
#[derive(Debug)]
enum Waiting {
    Packet(ConnectionNumber, End, Packet),
    Store(StoreInput),
}

/// A machine and the process on it.
#[derive(Debug)]
struct Host {
    clock: Clock,
    /// Of the process; a new one with each start.
    life: u32,
    running: bool,
    /// The machine answers, whether the process runs or not.
    powered: bool,
    stopped: bool,
    waiting: VecDeque<Waiting>,
    /// Ends of connections that somebody sends to in vain while the machine is off.
    unheard: BTreeSet<(ConnectionNumber, End)>,
    /// When the process is to be woken, in true time.
    wake_at: Option<Duration>,
}

/// What a node may use while it is at work.
pub(crate) struct Context<'a> {
    pub(crate) node: NodeId,
    /// By the node's own clock.
    pub(crate) now: Duration,
    pub(crate) life: u32,
    true_now: Duration,
    network: &'a mut Network,
    agenda: &'a mut Agenda,
    pub(crate) dice: &'a mut Dice,
    pub(crate) oracle: &'a mut Oracle,
}

impl Context<'_> {
    pub(crate) fn dial(&mut self, to: NodeId) -> ConnectionNumber {
        self.network.dial(self.node, to, self.true_now, self.agenda, self.dice)
    }

    pub(crate) fn send(&mut self, connection: ConnectionNumber, from: End, message: Message) {
        self.network.send(connection, from, message, self.true_now, self.agenda, self.dice);
    }

    pub(crate) fn close(&mut self, connection: ConnectionNumber, end: End) {
        self.network.close(connection, end, self.true_now, self.agenda, self.dice);
    }

    pub(crate) fn is_open(&self, connection: ConnectionNumber, end: End) -> bool {
        self.network.is_open(connection, end)
    }

    /// Milliseconds since some day, as all hosts know them more or less.
    pub(crate) const fn wall_clock_ms(&self) -> u64 {
        1000 + self.true_now.as_millis() as u64
    }

    /// The store will have done one more thing after that time.
    pub(crate) fn store_later(&mut self, after: Duration) {
        self.agenda.put(self.true_now + after, Happening::StoreDone(self.life));
    }
}

pub(crate) struct World {
    now: Duration,
    agenda: Agenda,
    network: Network,
    dice: Dice,
    oracle: Oracle,
    hosts: Vec<Host>,
    nameserver: Nameserver,
    registers: Registers,
    agents: Vec<Agent>,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let agents = scenario.agents(&mut dice);
        let mut agenda = Agenda::default();
        let hosts: Vec<Host> = (0..FIRST_AGENT + agents)
            .map(|_| Host {
                clock: scenario.clock(&mut dice),
                life: 0,
                running: false,
                powered: true,
                stopped: false,
                waiting: VecDeque::new(),
                unheard: BTreeSet::new(),
                wake_at: None,
            })
            .collect();
        let nodes: Vec<NodeId> = (FIRST_AGENT..FIRST_AGENT + agents).map(NodeId).collect();
        scenario.schedule(&nodes, &mut agenda, &mut dice);
        Self {
            now: Duration::ZERO,
            agenda,
            network: Network::default(),
            oracle: Oracle::new(scenario),
            nameserver: Nameserver::new(scenario),
            registers: Registers::new(scenario),
            agents: nodes.iter().map(|node| Agent::new(*node, scenario)).collect(),
            hosts,
            dice,
        }
    }

    /// Prints what happens.
    pub(crate) const fn tell_all(&mut self) {
        self.oracle.tell_all();
    }

    /// Plays the run to its end, or to the first violation.
    pub(crate) fn run(mut self, end: Duration) -> Report {
        self.start(NAMESERVER);
        self.start(REGISTERS);
        for node in FIRST_AGENT..self.hosts.len() {
            self.start(NodeId(node));
        }
        while let Some((at, happening)) = self.agenda.next() {
            if at > end || self.oracle.has_violation() {
                break;
            }
            self.now = at;
            self.oracle.trace(at, &happening);
            self.happen(happening);
            self.look();
        }
        self.oracle.report()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival(connection, end) => {
                if let Some((node, packet)) = self.network.arrive(connection, end) {
                    self.arrive(node, connection, end, packet);
                }
            }
            Happening::Wake(node, life) => {
                let host = &mut self.hosts[node.0];
                if host.running && host.life == life && host.wake_at == Some(self.now) {
                    host.wake_at = None;
                    if !host.stopped {
                        self.wake(node);
                    }
                }
            }
            Happening::StoreDone(life) => self.store_done(life),
            Happening::Fault(fault) => {
                self.oracle.tell(|| format!("{fault:?}"));
                self.fault(fault);
            }
            Happening::Healed => self.heal(),
            Happening::LeaderDue | Happening::WritesDue => self.due(happening),
        }
    }

    fn arrive(&mut self, node: NodeId, connection: ConnectionNumber, end: End, packet: Packet) {
        let host = &mut self.hosts[node.0];
        if !host.running {
            if matches!(packet, Packet::Close) {
                return;
            }
            if host.powered {
                self.reset(connection, end);
            } else {
                host.unheard.insert((connection, end));
            }
            return;
        }
        if host.stopped {
            host.waiting.push_back(Waiting::Packet(connection, end, packet));
            return;
        }
        self.take(node, connection, end, packet);
    }

    fn take(&mut self, node: NodeId, connection: ConnectionNumber, end: End, packet: Packet) {
        match packet {
            Packet::Hello => self.network.accept(connection),
            // A message to an end that is closed: its sender learns so.
            Packet::Message(_) if !self.network.is_open(connection, end) => {
                self.reset(connection, end);
            }
            Packet::Message(message) => self.with(node, |world, cx| {
                cx.oracle.tell(|| format!("{node:?} <- {connection} {message:?}"));
                match message {
                    Message::Ask(input) => world.nameserver.asked(connection, input, cx),
                    Message::Said(said) => {
                        world.agents[node.0 - FIRST_AGENT].told(connection, said, cx)
                    }
                    Message::Store(request) => world.registers.asked(connection, request, cx),
                    Message::Post(post) => {
                        world.agents[node.0 - FIRST_AGENT].post(connection, post, cx);
                    }
                    Message::Stored(reply) => world.agents[node.0 - FIRST_AGENT].stored(reply, cx),
                }
            }),
            Packet::Close => {
                if !self.network.is_open(connection, end) {
                    return;
                }
                self.network.forget(connection, end);
                self.with(node, |world, cx| match node {
                    NAMESERVER => world.nameserver.closed(connection, cx),
                    REGISTERS => {}
                    _ => world.agents[node.0 - FIRST_AGENT].closed(connection, cx),
                });
            }
        }
    }

    fn reset(&mut self, connection: ConnectionNumber, end: End) {
        self.network.reset(connection, end, self.now, &mut self.agenda, &mut self.dice);
    }

    fn wake(&mut self, node: NodeId) {
        self.with(node, |world, cx| match node {
            NAMESERVER => world.nameserver.wake(cx),
            REGISTERS => {}
            _ => world.agents[node.0 - FIRST_AGENT].wake(cx),
        });
    }

    fn store_done(&mut self, life: u32) {
        let Some(said) = self.nameserver.store.done(life, &mut self.dice) else { return };
        let host = &mut self.hosts[NAMESERVER.0];
        if !host.running || host.life != life {
            return;
        }
        if host.stopped {
            return host.waiting.push_back(Waiting::Store(said));
        }
        self.with(NAMESERVER, |world, cx| world.nameserver.store_said(said, cx));
    }

    /// Lets a node work, and sees to it that it is woken when it wants to be.
    fn with(&mut self, node: NodeId, work: impl FnOnce(&mut Nodes<'_>, &mut Context<'_>)) {
        let host = &self.hosts[node.0];
        let mut cx = Context {
            node,
            now: host.clock.local(self.now),
            life: host.life,
            true_now: self.now,
            network: &mut self.network,
            agenda: &mut self.agenda,
            dice: &mut self.dice,
            oracle: &mut self.oracle,
        };
        let mut nodes = Nodes {
            nameserver: &mut self.nameserver,
            registers: &mut self.registers,
            agents: &mut self.agents,
        };
        work(&mut nodes, &mut cx);
        let wanted = match node {
            NAMESERVER => self.nameserver.next_deadline(),
            REGISTERS => None,
            _ => self.agents[node.0 - FIRST_AGENT].next_deadline(),
        };
        let host = &mut self.hosts[node.0];
        let wanted = wanted.map(|local| host.clock.true_time(local).max(self.now));
        if wanted != host.wake_at {
            host.wake_at = wanted;
            if let Some(at) = wanted {
                self.agenda.put(at, Happening::Wake(node, host.life));
            }
        }
    }

    /// After everything that happens: who believes what?
    fn look(&mut self) {
        for (agent, host) in self.agents.iter().zip(&self.hosts[FIRST_AGENT..]) {
            if host.running {
                agent.confess(host.clock.local(self.now), &mut self.oracle);
                if let Some(keyed) = &agent.keyed {
                    self.oracle.holds(agent.node(), keyed.held());
                }
            }
        }
        self.oracle.judge();
    }

    /// What has to hold by now?
    fn due(&mut self, due: Happening) {
        if self.agents.iter().all(|agent| agent.keyed.is_none()) {
            return self.oracle.due(due);
        }
        if due == Happening::LeaderDue {
            let keyed = self.agents.iter_mut().filter_map(|agent| agent.keyed.as_mut());
            return keyed.for_each(Keyed::hush);
        }
        if let Some(agent) = self.agents.iter().find(|agent| !agent.is_settled()) {
            self.oracle.round_drags_on(format!("{:?} is not as wanted", agent.node()));
        }
        let known = self.agents.iter().filter_map(|agent| {
            let keyed = agent.keyed.as_ref()?;
            Some((agent.node(), keyed.epoch(), keyed.held(), keyed.owners()))
        });
        self.oracle.check_agreement(&known.collect::<Vec<_>>());
    }
}

/// The nodes, apart from what they use.
struct Nodes<'a> {
    nameserver: &'a mut Nameserver,
    registers: &'a mut Registers,
    agents: &'a mut [Agent],
}
