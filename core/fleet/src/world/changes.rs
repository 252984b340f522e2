//! What becomes of servers, by the scenario, and how clients hear of it.

use super::World;
use crate::agenda::{Change, Event};
use crate::scenario::Scenario;
use crate::server::Standing;

/// In a churn, how often a server dies or comes back.
const CHURN_EVERY_NS: u64 = 2_000_000_000;
/// Within what time of a change a client has heard of it.
const HEARD_WITHIN_NS: usize = 20_000_000;
/// A rolling restart: how long a server drains, and how long it is gone.
const DRAIN_NS: u64 = 500_000_000;
const GONE_NS: u64 = 1_000_000_000;
/// Cold starts of a run, with as many deaths between them.
const COLD_STARTS: u64 = 4;

impl World {
    /// Notes down what the scenario has in store.
    pub(super) fn note_changes(&mut self) {
        let (count, quarter) = (self.servers.len(), self.end_ns / 4);
        let mut note = |at_ns, server, change| {
            self.agenda.note(at_ns, Event::Change { server, change });
        };
        match self.scenario {
            Scenario::Churn => self.agenda.note(CHURN_EVERY_NS, Event::Churn),
            Scenario::Zones => {
                let zone = self.servers[0].zone;
                let there = (1..count).filter(|server| self.servers[*server].zone == zone);
                for server in there {
                    note(2 * quarter, server, Change::Die);
                    note(3 * quarter, server, Change::Rise);
                }
            }
            Scenario::ColdStart if count > 1 => {
                let part = self.end_ns / (2 * COLD_STARTS);
                for turn in 0..COLD_STARTS {
                    let server = turn as usize % count;
                    note(part * (2 * turn + 1) - part / 2, server, Change::Die);
                    note(part * (2 * turn + 1), server, Change::Rise);
                }
            }
            Scenario::MassLoss => {
                for server in 0..count / 3 {
                    note(quarter, server, Change::Vanish);
                    note(3 * quarter, server, Change::Rise);
                }
            }
            Scenario::RollingRestart if count > 1 => {
                let part = (self.end_ns / (count as u64 + 1)).max(DRAIN_NS + GONE_NS);
                for server in 0..count {
                    let at_ns = part * (server as u64 + 1) - (DRAIN_NS + GONE_NS);
                    note(at_ns, server, Change::Drain);
                    note(at_ns + DRAIN_NS, server, Change::Die);
                    note(at_ns + DRAIN_NS + GONE_NS, server, Change::Rise);
                }
            }
            _ => {}
        }
    }

    /// The one that is dead comes back; if none is, one dies.
    pub(super) fn churn(&mut self) {
        match self.servers.iter().position(|server| !server.lives()) {
            Some(dead) => self.servers[dead].rise(self.now_ns),
            None if self.servers.len() > 1 => {
                let server = self.dice.below(self.servers.len());
                self.kill(server, Standing::Gone);
            }
            None => {}
        }
        if let Some(moves) = &mut self.moves {
            moves.note_change(&self.servers);
        }
        self.spread_the_word();
        if self.now_ns + CHURN_EVERY_NS < self.end_ns {
            self.agenda.note(self.now_ns + CHURN_EVERY_NS, Event::Churn);
        }
    }

    pub(super) fn change(&mut self, server: usize, change: Change) {
        match change {
            Change::Drain => self.servers[server].standing = Standing::Draining,
            Change::Die => self.kill(server, Standing::Gone),
            Change::Vanish => self.kill(server, Standing::Doubted),
            Change::Rise => self.servers[server].rise(self.now_ns),
        }
        self.spread_the_word();
    }

    fn spread_the_word(&mut self) {
        for client in 0..self.clients.len() {
            let heard_ns = self.now_ns + self.dice.below(HEARD_WITHIN_NS) as u64;
            self.agenda.note(heard_ns, Event::Learn { client });
        }
    }

    fn kill(&mut self, server: usize, standing: Standing) {
        for id in self.calls.at(server) {
            let call = self.calls.get(id);
            call.there = false;
            let client = call.client;
            let lost_ns = self.now_ns + self.way_ns(client, server);
            self.agenda.note(lost_ns, Event::Answer { call: id, answered: false });
        }
        self.servers[server].die(standing);
    }
}
