//! What breaks in a world and is mended: connections, processes, machines, and minds.

use std::time::Duration;

use super::{Context, FIRST_AGENT, NAMESERVER, NodeId, REGISTERS, Waiting, World};
use crate::agent::Agent;
use crate::faults::Fault;

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Block(from, to) => self.network.block(from, to),
            Fault::Unblock(from, to) => self.unblock(from, to),
            Fault::Cut(one, other) => self.cut(one, other),
            Fault::Stop(node) => self.hosts[node.0].stopped = self.hosts[node.0].running,
            Fault::Continue(node) => self.carry_on(node),
            Fault::Kill(node) => self.end(node, true),
            Fault::PowerOff(node) => self.end(node, false),
            Fault::Start(node) => self.start(node),
            Fault::Weather(slow, lossy) => {
                self.network.slowness = Duration::from_millis(slow);
                self.network.lossy = lossy;
            }
            Fault::Kick(agent) => self.kick(agent),
            Fault::Whim(agent) => self.on_agent(agent, Agent::whim),
            Fault::Dither(agent) => self.on_agent(agent, Agent::dither),
            Fault::Clog(agent) => self.nameserver.clog(agent),
            Fault::Unclog(agent) => self.unclog(agent),
            Fault::Scale(agent) => self.on_agent(agent, Agent::scale),
        }
    }

    pub(super) fn on_agent(
        &mut self,
        node: NodeId,
        work: impl FnOnce(&mut Agent, &mut Context<'_>),
    ) {
        let host = &self.hosts[node.0];
        if host.running && !host.stopped {
            self.with(node, |world, cx| work(&mut world.agents[node.0 - FIRST_AGENT], cx));
        }
    }

    fn unclog(&mut self, agent: NodeId) {
        self.nameserver.unclog(agent);
        let host = &self.hosts[NAMESERVER.0];
        if host.running && !host.stopped {
            self.wake(NAMESERVER);
        }
    }

    fn kick(&mut self, agent: NodeId) {
        let Some(handle) = self.agents[agent.0 - FIRST_AGENT].any_handle() else { return };
        let host = &self.hosts[NAMESERVER.0];
        if host.running && !host.stopped {
            self.with(NAMESERVER, |world, cx| world.nameserver.kick(handle, cx));
        }
    }

    fn unblock(&mut self, from: NodeId, to: NodeId) {
        self.network.unblock(from, to, self.now, &mut self.agenda, &mut self.dice);
    }

    /// Both processes go on, and hear of it one after the other.
    fn cut(&mut self, one: NodeId, other: NodeId) {
        for (connection, end) in self.network.ends_of(one) {
            if self.network.ends_of(other).contains(&(connection, end.other())) {
                self.reset(connection, end);
                self.reset(connection, end.other());
            }
        }
    }

    fn carry_on(&mut self, node: NodeId) {
        let host = &mut self.hosts[node.0];
        if !std::mem::replace(&mut host.stopped, false) {
            return;
        }
        // The nameserver looks at its clock first, an agent at whatever it likes.
        let clock_first = node == NAMESERVER || self.dice.one_in(2);
        if clock_first {
            self.wake(node);
        }
        while let Some(waiting) = self.hosts[node.0].waiting.pop_front() {
            match waiting {
                Waiting::Packet(connection, end, packet) => {
                    self.take(node, connection, end, packet);
                }
                Waiting::Store(said) => {
                    self.with(node, |world, cx| world.nameserver.store_said(said, cx));
                }
            }
        }
        if !clock_first {
            self.wake(node);
        }
    }

    fn end(&mut self, node: NodeId, loudly: bool) {
        let host = &mut self.hosts[node.0];
        if !host.running {
            return;
        }
        host.running = false;
        host.stopped = false;
        host.powered = loudly;
        host.wake_at = None;
        host.waiting.clear();
        for (connection, end) in self.network.ends_of(node) {
            if loudly {
                self.network.close(connection, end, self.now, &mut self.agenda, &mut self.dice);
            } else {
                self.network.forget(connection, end);
            }
        }
        match node {
            NAMESERVER => self.nameserver.store.crash(&mut self.dice),
            _ => self.agents[node.0 - FIRST_AGENT].died(&mut self.oracle),
        }
    }

    pub(super) fn start(&mut self, node: NodeId) {
        let host = &mut self.hosts[node.0];
        if host.running {
            return;
        }
        host.running = true;
        host.powered = true;
        host.life += 1;
        // What was sent in vain is sent again, to nobody.
        for (connection, end) in std::mem::take(&mut self.hosts[node.0].unheard) {
            self.reset(connection, end);
        }
        self.with(node, |world, cx| match node {
            NAMESERVER => world.nameserver.start(cx),
            REGISTERS => {}
            _ => world.agents[node.0 - FIRST_AGENT].start(cx),
        });
    }

    pub(super) fn heal(&mut self) {
        self.network.slowness = Duration::ZERO;
        self.network.lossy = 0;
        self.nameserver.store.mended = true;
        let nodes = 0..self.hosts.len();
        for (from, to) in nodes.clone().flat_map(|from| nodes.clone().map(move |to| (from, to))) {
            self.unblock(NodeId(from), NodeId(to));
        }
        for node in nodes.map(NodeId) {
            self.carry_on(node);
            self.start(node);
            if node.0 >= FIRST_AGENT {
                self.on_agent(node, Agent::settle_down);
            }
        }
    }
}
