//! The run itself: takes events in the order of time and lets them have their consequences.

mod changes;

use skymesh_plugin_host::{PluginLoadError, SelectorSlot};

use crate::agenda::{Agenda, Event};
use crate::client::{self, Client};
use crate::crowd::Crowd;
use crate::dice::Dice;
use crate::moves::Moves;
use crate::outcome::Outcome;
use crate::scenario::{Scenario, Settings, Staging};
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
/// How often a client looks at what only time changes, as agents do.
const REVIEW_EVERY_NS: u64 = 1_000_000_000;
/// One way from one zone to another, more than within one.
const ACROSS_NS: u64 = 2_000_000;
/// Who is in the zone of its own where there are two: every so many-th, from the first.
const ZONE_EVERY: usize = 4;
/// Of ten calls a failing node answers so many with an error.
const FAILING_OF_10: usize = 9;
/// How much longer a cold server takes for a call, and how long it takes to get warm.
const COLD_FACTOR: f64 = 8.0;
const COLD_NS: f64 = 5e9;
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
        let zones: [&'static str; 2] =
            if scenario == Scenario::Zones { ["a", "b"] } else { ["", ""] };
        let zone = |number: usize| zones[usize::from(!number.is_multiple_of(ZONE_EVERY))];
        let server = |number: usize| {
            let mut server = match scenario {
                Scenario::SkewedWeights => Server::of_weight(WEIGHTS[number % WEIGHTS.len()]),
                _ => Server::usual(),
            };
            server.zone = zone(number);
            server
        };
        let servers: Vec<Server> = (0..settings.instances.max(1) as usize).map(server).collect();
        let workers: u32 = servers.iter().map(|server| server.workers).sum();
        let clients = settings.clients.max(1);
        let load = settings.load.max(f64::MIN_POSITIVE);
        let gap_ns = SERVICE_NS * f64::from(clients) / (f64::from(workers) * load);
        let moves = match scenario {
            Scenario::Churn => Some(Moves::new(make()?, &servers)),
            _ => None,
        };
        let stages = || match settings.stages {
            Staging::OfScenario => Some(scenario.stages(settings.instances)),
            Staging::Off => None,
        };
        let client = |number: u64| {
            // Subsets are as random as agents' numbers.
            let agent = (seed.rotate_left(32) ^ number, zone(number as usize - 1));
            let dice = [Dice::new(seed, number), Dice::new(seed, !number)];
            Ok(Client::new(make()?, dice, stages(), agent, &servers))
        };
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
            let first = self.dice.below(REVIEW_EVERY_NS as usize) as u64;
            self.agenda.note(first, Event::Review { client });
        }
        self.note_changes();
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
            Event::Churn => self.churn(),
            Event::Change { server, change } => self.change(server, change),
            Event::Learn { client } => self.learn(client),
            Event::Review { client } => self.review(client),
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
        let key = Some(key).filter(|_| self.scenario != Scenario::ColdStart);
        self.tally.calls += 1;
        let Some(server) = caller.pick(key, self.now_ns) else {
            self.tally.failed += 1;
            return;
        };
        self.tally.sent(server, self.now_ns);
        self.tally.crossed += u64::from(caller.zone != self.servers[server].zone);
        let stats = caller.began(server);
        let call = Call { client, server, began_ns: self.now_ns, there: false, stats };
        let call = self.calls.begin(call);
        let way_ns = self.way_ns(client, server);
        self.agenda.note(self.now_ns + way_ns, Event::Reach { call });
    }

    fn reach(&mut self, id: CallId) {
        let Call { client, server, .. } = *self.calls.get(id);
        if !self.servers[server].lives() || self.refuses(server) {
            let back_ns = self.now_ns + self.way_ns(client, server);
            return self.agenda.note(back_ns, Event::Answer { call: id, answered: false });
        }
        self.calls.get(id).there = true;
        if let Some(call) = self.servers[server].take(id) {
            self.work(server, call);
        }
    }

    /// Whether a server that lives answers a call with an error.
    fn refuses(&mut self, server: usize) -> bool {
        let fails = self.scenario == Scenario::FailingNode && self.is_bad_now(server);
        fails && self.dice.below(10) < FAILING_OF_10
    }

    fn work(&mut self, server: usize, call: CallId) {
        let usual_ns = self.dice.exponential(SERVICE_NS) as f64;
        let one = &self.servers[server];
        let slower = match self.scenario {
            Scenario::ColdStart if one.born_ns > 0 => {
                let age = (self.now_ns - one.born_ns) as f64 / COLD_NS;
                COLD_FACTOR - (COLD_FACTOR - 1.0) * age.min(1.0)
            }
            _ => 1.0,
        };
        let done_ns = self.now_ns + (usual_ns * slower) as u64;
        let incarnation = one.incarnation;
        self.agenda.note(done_ns, Event::Done { server, incarnation, call });
    }

    fn done(&mut self, server: usize, call: CallId) {
        let open = self.calls.get(call);
        open.there = false;
        let client = open.client;
        let back_ns = self.now_ns + self.way_ns(client, server) + self.late_ns(server);
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
        for server in self.clients[client].connected() {
            if !self.clients[client].ping(server) || !self.servers[server].lives() {
                continue;
            }
            let late_ns = match self.scenario {
                Scenario::SlowNode => self.late_ns(server),
                _ => 0,
            };
            let (sent_ns, incarnation) = (self.now_ns, self.servers[server].incarnation);
            let ways_ns = self.way_ns(client, server) + self.way_ns(client, server);
            let back_ns = sent_ns + ways_ns + late_ns;
            self.agenda.note(back_ns, Event::Pong { client, server, incarnation, sent_ns });
        }
        if self.now_ns < self.end_ns {
            self.agenda.note(self.now_ns + PING_EVERY_NS, Event::Ping { client });
        }
    }

    fn review(&mut self, client: usize) {
        if self.clients[client].review(self.now_ns) {
            self.learn(client);
        }
        if self.now_ns < self.end_ns {
            self.agenda.note(self.now_ns + REVIEW_EVERY_NS, Event::Review { client });
        }
    }

    fn learn(&mut self, client: usize) {
        self.settle(client);
        self.clients[client].learn(&self.servers, self.now_ns);
    }

    /// What was due to whom by the view that a client has had until now.
    fn settle(&mut self, client: usize) {
        let client = &self.clients[client];
        let weight = |server: usize| (server, self.servers[server].weight);
        self.tally.due(client.asked, client.able().map(weight));
    }

    fn way_ns(&mut self, client: usize, server: usize) -> u64 {
        let across = self.clients[client].zone != self.servers[server].zone;
        WAY_NS + self.dice.exponential(DETOUR_NS) + if across { ACROSS_NS } else { 0 }
    }

    /// How late a server's answers of now are.
    fn late_ns(&self, server: usize) -> u64 {
        let slow = matches!(self.scenario, Scenario::SlowNode | Scenario::SlowService);
        if slow && self.is_bad_now(server) { LATE_NS } else { 0 }
    }

    /// Whether it is the bad server of a scenario that has one, at its bad time.
    fn is_bad_now(&self, server: usize) -> bool {
        let bad = self.end_ns / 4..self.end_ns / 4 * 3;
        server == 0 && bad.contains(&self.now_ns)
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
            local: (self.scenario == Scenario::Zones)
                .then(|| 1.0 - self.tally.crossed as f64 / (self.tally.calls as f64).max(1.0)),
            peers: self.clients.iter().map(Client::peers).sum::<usize>() as f64
                / self.clients.len() as f64,
            keys_moved: self.moves.as_ref().and_then(Moves::sum),
            latencies: self.tally.latencies,
        }
    }
}
