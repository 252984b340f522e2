//! The run itself: takes events in the order of time and lets them have their consequences.

use skymesh_plugin_host::{PluginLoadError, SelectorSlot};

use crate::agenda::{Agenda, Event};
use crate::client::{self, Client};
use crate::crowd::Crowd;
use crate::dice::Dice;
use crate::moves::Moves;
use crate::outcome::Outcome;
use crate::scenario::{Scenario, Settings};
use crate::server::Server;
use crate::tally::{Call, CallId, Calls, Tally};

/// Mean time that a worker takes for a call. The times are exponential.
const SERVICE_NS: f64 = 10_000_000.0;
/// One way through the network: at least, and what comes to it in the mean.
const WAY_NS: u64 = 200_000;
const DETOUR_NS: f64 = 50_000.0;
/// What a slow node's answers come late by.
const LATE_NS: u64 = 2_000_000_000;
/// How often a client pings, as by the agent's default.
const PING_EVERY_NS: u64 = 1_000_000_000;
/// How often a server dies or comes back.
const CHANGE_EVERY_NS: u64 = 2_000_000_000;
/// Within what time of a change a client has heard of it.
const HEARD_WITHIN_NS: usize = 20_000_000;
/// Weights of servers where they differ, by turns.
const WEIGHTS: [u32; 4] = [50, 100, 200, 400];

/// Plays a scenario once. `make` gives each client its own instance of the plugin. Equal arguments
/// give equal outcomes, if the plugin has no randomness and no clock of its own.
///
/// # Errors
/// What `make` says.
pub fn play(
    scenario: Scenario,
    settings: &Settings,
    seed: u64,
    make: &mut dyn FnMut() -> Result<SelectorSlot, PluginLoadError>,
) -> Result<Outcome, PluginLoadError> {
    let mut world = World::new(scenario, settings, seed, make)?;
    while let Some((now_ns, event)) = world.agenda.next() {
        world.now_ns = now_ns;
        world.happens(event);
    }
    Ok(world.outcome())
}

struct World {
    scenario: Scenario,
    now_ns: u64,
    /// When clients stop to call.
    end_ns: u64,
    /// Mean time between two calls of a client.
    gap_ns: f64,
    agenda: Agenda,
    servers: Vec<Server>,
    clients: Vec<Client>,
    calls: Calls,
    crowd: Crowd,
    tally: Tally,
    moves: Option<Moves>,
    /// Of everything but the clients.
    dice: Dice,
}

impl World {
    fn new(
        scenario: Scenario,
        settings: &Settings,
        seed: u64,
        make: &mut dyn FnMut() -> Result<SelectorSlot, PluginLoadError>,
    ) -> Result<Self, PluginLoadError> {
        let weight = |server: usize| match scenario {
            Scenario::SkewedWeights => Server::of_weight(WEIGHTS[server % WEIGHTS.len()]),
            _ => Server::usual(),
        };
        let servers: Vec<Server> = (0..settings.instances.max(1) as usize).map(weight).collect();
        let workers: u32 = servers.iter().map(|server| server.workers).sum();
        let clients = settings.clients.max(1);
        let load = settings.load.max(f64::MIN_POSITIVE);
        let gap_ns = SERVICE_NS * f64::from(clients) / (f64::from(workers) * load);
        let moves = match scenario {
            Scenario::Churn => Some(Moves::new(make()?, &servers)),
            _ => None,
        };
        let client = |number| Ok(Client::new(make()?, Dice::new(seed, number), &servers));
        let clients = (1..=u64::from(clients)).map(client).collect::<Result<Vec<_>, _>>()?;
        let mut world = Self {
            scenario,
            now_ns: 0,
            end_ns: u64::try_from(settings.duration.as_nanos()).unwrap_or(u64::MAX),
            gap_ns,
            agenda: Agenda::default(),
            tally: Tally::new(servers.len()),
            servers,
            clients,
            calls: Calls::default(),
            crowd: if scenario == Scenario::HotKeys { Crowd::zipf() } else { Crowd::Even },
            moves,
            dice: Dice::new(seed, 0),
        };
        world.begin();
        Ok(world)
    }

    fn begin(&mut self) {
        for client in 0..self.clients.len() {
            self.note_next_call(client);
            // Not all at once.
            let first = self.dice.below(PING_EVERY_NS as usize) as u64;
            self.agenda.note(first, Event::Ping { client });
        }
        if self.scenario == Scenario::Churn {
            self.agenda.note(CHANGE_EVERY_NS, Event::Change);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Call { client } => self.call(client),
            Event::Reach { call } => self.reach(call),
            Event::Done { server, incarnation, call } => {
                if self.servers[server].incarnation == incarnation {
                    self.done(server, call);
                }
            }
            Event::Answer { call, answered } => self.answer(call, answered),
            Event::Ping { client } => self.ping(client),
            Event::Pong { client, server, incarnation, sent_ns } => {
                self.clients[client].pong(server, incarnation, sent_ns, self.now_ns);
            }
            Event::Change => self.change(),
            Event::Learn { client } => {
                self.settle(client);
                self.clients[client].learn(&self.servers);
            }
        }
    }

    fn note_next_call(&mut self, client: usize) {
        let at_ns = self.now_ns + self.clients[client].dice.exponential(self.gap_ns);
        if at_ns < self.end_ns {
            self.agenda.note(at_ns, Event::Call { client });
        }
    }

    fn call(&mut self, client: usize) {
        self.note_next_call(client);
        let caller = &mut self.clients[client];
        let key = self.crowd.draw(&mut caller.dice);
        self.tally.calls += 1;
        let Some(server) = caller.pick(key, self.now_ns) else {
            self.tally.failed += 1;
            return;
        };
        self.tally.sent(server, self.now_ns);
        let stats = caller.began(server);
        let call = Call { server, began_ns: self.now_ns, there: false, stats };
        let call = self.calls.begin(call);
        let way_ns = self.way_ns();
        self.agenda.note(self.now_ns + way_ns, Event::Reach { call });
    }

    fn reach(&mut self, id: CallId) {
        let call = self.calls.get(id);
        let server = call.server;
        if !self.servers[server].lives {
            let way_ns = self.way_ns();
            return self
                .agenda
                .note(self.now_ns + way_ns, Event::Answer { call: id, answered: false });
        }
        call.there = true;
        if let Some(call) = self.servers[server].take(id) {
            self.work(server, call);
        }
    }

    fn work(&mut self, server: usize, call: CallId) {
        let done_ns = self.now_ns + self.dice.exponential(SERVICE_NS);
        let incarnation = self.servers[server].incarnation;
        self.agenda.note(done_ns, Event::Done { server, incarnation, call });
    }

    fn done(&mut self, server: usize, call: CallId) {
        self.calls.get(call).there = false;
        let back_ns = self.now_ns + self.way_ns() + self.late_ns(server);
        self.agenda.note(back_ns, Event::Answer { call, answered: true });
        if let Some(next) = self.servers[server].finish() {
            self.work(server, next);
        }
    }

    fn answer(&mut self, call: CallId, answered: bool) {
        let call = self.calls.end(call);
        let took_ns = self.now_ns - call.began_ns;
        client::ended(&call.stats, answered, took_ns, self.now_ns);
        if answered {
            self.tally.latencies.note(took_ns);
        } else {
            self.tally.failed += 1;
        }
    }

    fn ping(&mut self, client: usize) {
        for server in self.clients[client].members.clone() {
            if !self.clients[client].ping(server) || !self.servers[server].lives {
                continue;
            }
            let late_ns = match self.scenario {
                Scenario::SlowNode => self.late_ns(server),
                _ => 0,
            };
            let (sent_ns, incarnation) = (self.now_ns, self.servers[server].incarnation);
            let back_ns = sent_ns + self.way_ns() + self.way_ns() + late_ns;
            self.agenda.note(back_ns, Event::Pong { client, server, incarnation, sent_ns });
        }
        if self.now_ns < self.end_ns {
            self.agenda.note(self.now_ns + PING_EVERY_NS, Event::Ping { client });
        }
    }

    /// The one that is dead comes back; if none is, one dies.
    fn change(&mut self) {
        match self.servers.iter().position(|server| !server.lives) {
            Some(dead) => self.servers[dead].lives = true,
            None if self.servers.len() > 1 => self.kill(),
            None => {}
        }
        if let Some(moves) = &mut self.moves {
            moves.note_change(&self.servers);
        }
        for client in 0..self.clients.len() {
            let heard_ns = self.now_ns + self.dice.below(HEARD_WITHIN_NS) as u64;
            self.agenda.note(heard_ns, Event::Learn { client });
        }
        if self.now_ns + CHANGE_EVERY_NS < self.end_ns {
            self.agenda.note(self.now_ns + CHANGE_EVERY_NS, Event::Change);
        }
    }

    fn kill(&mut self) {
        let server = self.dice.below(self.servers.len());
        for call in self.calls.at(server) {
            self.calls.get(call).there = false;
            let lost_ns = self.now_ns + self.way_ns();
            self.agenda.note(lost_ns, Event::Answer { call, answered: false });
        }
        self.servers[server].die();
    }

    /// What was due to whom by the view that a client has had until now.
    fn settle(&mut self, client: usize) {
        let client = &self.clients[client];
        let weight = |server: &usize| (*server, self.servers[*server].weight);
        self.tally.due(client.asked, client.members.iter().map(weight));
    }

    fn way_ns(&mut self) -> u64 {
        WAY_NS + self.dice.exponential(DETOUR_NS)
    }

    /// How late a server's answers of now are.
    fn late_ns(&self, server: usize) -> u64 {
        let slow = matches!(self.scenario, Scenario::SlowNode | Scenario::SlowService);
        let while_slow = self.end_ns / 4..self.end_ns / 4 * 3;
        if slow && server == 0 && while_slow.contains(&self.now_ns) { LATE_NS } else { 0 }
    }

    fn outcome(mut self) -> Outcome {
        (0..self.clients.len()).for_each(|client| self.settle(client));
        let faults = self.clients.iter().map(Client::faults);
        Outcome {
            calls: self.tally.calls,
            failed: self.tally.failed,
            faults: faults.clone().map(|(count, _)| count).sum(),
            quarantined: faults.filter(|(_, quarantined)| *quarantined).count() as u64,
            spread: self.tally.spread(),
            herd: self.tally.herd(),
            keys_moved: self.moves.as_ref().and_then(Moves::sum),
            latencies: self.tally.latencies,
        }
    }
}
