//! A registry with agents around it, as a shell would run it: connections, queues that fill up, and
//! watchers that remember what they knew when they come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::{
    Action, AgentInput, ConnectionId, Hello, Input, Interest, MassLoss, PeerProtocol, Registry,
    RegistryConfig,
};
use skymesh_types::{AgentId, RegistryId, ServiceName};

use crate::model::{GRACE, LEASE};
use crate::operation::AGENTS;
use crate::watcher::{Listener, Watcher};

/// The connection of an agent that hears of the whole app.
const LISTENER: ConnectionId = ConnectionId(u64::MAX);

/// One agent's connection as the shell sees it.
#[derive(Default)]
pub(crate) struct Line {
    connection: Option<ConnectionId>,
    /// Its queue is full: every snapshot and delta is dropped and reported.
    pub(crate) clogged: bool,
    pub(crate) watches: BTreeMap<ServiceName, Watcher>,
}

pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) now: Duration,
    lines: Vec<Line>,
    /// What each agent remembers of what it watched on earlier connections.
    memories: Vec<BTreeMap<ServiceName, Watcher>>,
    listener: Listener,
    connections: u64,
    pub(crate) log: Vec<Action>,
    /// Whether the last registration or answer was a success.
    pub(crate) granted: Option<bool>,
}

impl World {
    pub(crate) fn new(guard: MassLoss) -> Self {
        let config = RegistryConfig {
            lease: LEASE,
            session_grace: GRACE,
            recovery: Duration::from_secs(1),
            history: 4,
            mass_loss: guard,
            ..RegistryConfig::default()
        };
        let mut world = Self {
            registry: Registry::new(config, RegistryId::new(7).unwrap(), Duration::ZERO),
            now: Duration::ZERO,
            lines: (0..AGENTS).map(|_| Line::default()).collect(),
            memories: (0..AGENTS).map(|_| BTreeMap::new()).collect(),
            listener: Listener::default(),
            connections: 0,
            log: Vec::new(),
            granted: None,
        };
        world.listen();
        world
    }

    pub(crate) fn feed(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut actions = Vec::new();
            self.registry.handle(self.now, input, &mut actions);
            for action in &actions {
                self.perform(action, &mut inputs);
            }
            self.log.extend(actions);
        }
    }

    fn line_of(&mut self, connection: ConnectionId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.connection == Some(connection))
    }

    fn perform(&mut self, action: &Action, inputs: &mut Vec<Input>) {
        match action {
            Action::Snapshot { to, snapshot } => {
                for to in to {
                    if *to == LISTENER {
                        self.listener.take(&snapshot.instances);
                        continue;
                    }
                    self.deliver(*to, &snapshot.name, inputs, |w| w.take_snapshot(snapshot));
                }
            }
            Action::Delta { to, delta } => {
                for to in to {
                    if *to == LISTENER {
                        self.listener.take(&delta.changes);
                        continue;
                    }
                    self.deliver(*to, &delta.name, inputs, |watcher| watcher.take_delta(delta));
                }
            }
            Action::Close { connection, .. } => {
                let line = self.lines.iter().position(|line| line.connection == Some(*connection));
                if let Some(agent) = line {
                    self.cut(agent);
                }
            }
            Action::Registered { result, .. }
            | Action::Answer { result, .. }
            | Action::OperatorAnswer { result, .. } => self.granted = Some(result.is_ok()),
            _ => {}
        }
    }

    fn deliver(
        &mut self,
        to: ConnectionId,
        name: &ServiceName,
        inputs: &mut Vec<Input>,
        take: impl FnOnce(&mut Watcher),
    ) {
        let line = self.line_of(to).expect("nothing is sent to a closed connection");
        if line.clogged {
            let overflowed = AgentInput::Overflowed(name.clone());
            return inputs.push(Input::Agent(to, overflowed));
        }
        take(line.watches.get_mut(name).expect("only watched names are told of"));
    }

    pub(crate) fn agent(&mut self, agent: usize, input: AgentInput) {
        if let Some(connection) = self.lines[agent].connection {
            self.feed(Input::Agent(connection, input));
        }
    }

    pub(crate) fn run_to(&mut self, until: Duration) {
        while let Some(due) = self.registry.next_deadline().filter(|due| *due <= until) {
            self.now = due;
            self.feed(Input::Tick);
        }
        self.now = until;
    }

    pub(crate) fn connect(&mut self, agent: usize) {
        self.cut(agent);
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.lines[agent] = Line { connection: Some(connection), ..Line::default() };
        let agent = AgentId::new(agent as u64 + 1).ok();
        let hello = AgentInput::Hello(hello(agent, 2, Interest::ByName));
        self.feed(Input::Agent(connection, hello));
    }

    /// The listener's connection breaks, and it begins anew.
    pub(crate) fn listen(&mut self) {
        self.feed(Input::Agent(LISTENER, AgentInput::Disconnected));
        self.listener = Listener::default();
        let hello = AgentInput::Hello(hello(None, 1, Interest::WholeApp));
        self.feed(Input::Agent(LISTENER, hello));
    }

    /// The agent's connection is no more; what it learned of its watches it remembers.
    fn cut(&mut self, agent: usize) -> Option<ConnectionId> {
        let line = std::mem::take(&mut self.lines[agent]);
        self.memories[agent].extend(line.watches);
        line.connection
    }

    pub(crate) fn hang_up(&mut self, agent: usize, input: AgentInput) {
        // The line goes first: what is said to it after that is said to nobody.
        if let Some(connection) = self.cut(agent) {
            self.feed(Input::Agent(connection, input));
        }
    }

    pub(crate) fn check_watchers(&mut self) {
        for agent in 0..AGENTS {
            if self.lines[agent].clogged {
                self.drain(agent);
            }
        }
        // Longer than anything is coalesced.
        self.run_to(self.now + Duration::from_millis(51));
        let heard: Vec<_> = self.listener.members.values().collect();
        let known: Vec<_> = self.registry.instances(self.now).map(|l| l.record).collect();
        assert_eq!(heard, known, "a listener hears of everything");
        for line in &self.lines {
            for (name, watcher) in &line.watches {
                let seen: Vec<_> = watcher.members.values().collect();
                let known: Vec<_> = self
                    .registry
                    .instances(self.now)
                    .filter(|listed| listed.record.url.name == *name)
                    .map(|listed| listed.record)
                    .collect();
                assert_eq!(seen, known, "a watcher of {name} sees what the registry knows");
            }
        }
    }

    pub(crate) fn watch(&mut self, agent: usize, name: &ServiceName) {
        if self.lines[agent].connection.is_none() {
            return;
        }
        let remembered = self.memories[agent].remove(name).unwrap_or_default();
        let watcher = self.lines[agent].watches.entry(name.clone()).or_insert(remembered);
        let at = watcher.at.map(|at| (self.registry.id(), at));
        self.agent(agent, AgentInput::Watch(name.clone(), at));
    }

    pub(crate) fn unwatch(&mut self, agent: usize, name: &ServiceName) {
        self.lines[agent].watches.remove(name);
        self.agent(agent, AgentInput::Unwatch(name.clone()));
    }

    /// The agent's queue is full from now on: what is sent is dropped and reported.
    pub(crate) fn clog(&mut self, agent: usize) {
        self.lines[agent].clogged = self.lines[agent].connection.is_some();
    }

    pub(crate) fn drain(&mut self, agent: usize) {
        self.lines[agent].clogged = false;
        self.agent(agent, AgentInput::Drained);
    }
}

fn hello(agent: Option<AgentId>, version: u32, interest: Interest) -> Hello {
    Hello {
        app: "app".parse().unwrap(),
        address: "host:1".into(),
        protocol: PeerProtocol { version, codecs: Arc::from([]) },
        agent,
        resume: None,
        interest,
    }
}
