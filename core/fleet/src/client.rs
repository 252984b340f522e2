//! A client: its own view of the servers, its own statistics of them, and its own instance of the
//! plugin. The statistics are kept as the agent and RPC keep them.

use std::sync::Arc;

use skymesh_plugin_host::{InstanceStats, Member, Prepared, Request, SelectorSlot, SlotHealth};

use crate::dice::Dice;
use crate::server::Server;

/// How coarse the host's clock is, in nanoseconds.
const TICK_NS: u64 = 4_000_000;
/// Threads of a client that make calls.
const THREADS: usize = 2;
/// Weight of the newest ping in the round-trip time, as a divisor: as in the agent.
const PING_SMOOTHING: u64 = 4;
/// Weight of the newest call in the share of errors, as a divisor: as in RPC.
const ERROR_SMOOTHING: u32 = 16;

/// One process that calls the service.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) dice: Dice,
    slot: SelectorSlot,
    prepared: Prepared,
    /// Which servers the indexes of the view mean.
    pub(crate) members: Vec<usize>,
    /// By server.
    known: Vec<Known>,
    /// Calls made by the view of now.
    pub(crate) asked: u64,
}

/// What a client keeps of one incarnation of a server.
#[derive(Debug, Default)]
struct Known {
    incarnation: u32,
    stats: Arc<InstanceStats>,
    /// A ping is not answered yet.
    pinged: bool,
}

impl Client {
    pub(crate) fn new(slot: SelectorSlot, dice: Dice, servers: &[Server]) -> Self {
        let prepared = slot.prepare(Vec::new());
        let known = servers.iter().map(|_| Known::default()).collect();
        let mut client = Self { dice, slot, prepared, members: Vec::new(), known, asked: 0 };
        client.learn(servers);
        client
    }

    /// Takes the membership as it is now for its own.
    pub(crate) fn learn(&mut self, servers: &[Server]) {
        for (known, server) in self.known.iter_mut().zip(servers) {
            if server.lives && known.incarnation != server.incarnation {
                *known = Known { incarnation: server.incarnation, ..Known::default() };
            }
        }
        self.members = living(servers);
        let member = |server: &usize| Member {
            weight: servers[*server].weight,
            stats: Arc::clone(&self.known[*server].stats),
            ..Member::new(*server as u64 + 1)
        };
        self.prepared = self.slot.prepare(self.members.iter().map(member).collect());
        self.asked = 0;
    }

    /// Which server the plugin picks.
    pub(crate) fn pick(&mut self, key: u64, now_ns: u64) -> Option<usize> {
        let thread = self.dice.below(THREADS) as u32;
        let request = Request::new(Some(key), self.dice.roll(), coarse(now_ns), thread);
        self.asked += 1;
        self.prepared.pick_as(&request).map(|index| self.members[index])
    }

    /// Notes a call that goes out; answers where its end is to be noted.
    pub(crate) fn began(&self, server: usize) -> Arc<InstanceStats> {
        let stats = Arc::clone(&self.known[server].stats);
        stats.began();
        stats
    }

    /// Sends a ping to a server that it knows, unless one is still open: then that one is late.
    pub(crate) fn ping(&mut self, server: usize) -> bool {
        let known = &mut self.known[server];
        if known.pinged {
            known.stats.set_ping_lost_streak(known.stats.ping_lost_streak() + 1);
        }
        !std::mem::replace(&mut known.pinged, true)
    }

    /// A ping is answered.
    pub(crate) fn pong(&mut self, server: usize, incarnation: u32, sent_ns: u64, now_ns: u64) {
        let known = &mut self.known[server];
        if known.incarnation != incarnation {
            return;
        }
        known.pinged = false;
        let (stats, sample) = (&known.stats, now_ns - sent_ns);
        let smoothed = match stats.rtt_ewma_ns() {
            0 => sample,
            old => old - old / PING_SMOOTHING + sample / PING_SMOOTHING,
        };
        stats.set_rtt_ewma_ns(smoothed.max(1));
        stats.set_last_sample_ns(coarse(now_ns));
        stats.set_ping_lost_streak(0);
    }

    /// Failures of the plugin, and whether it was taken out of service.
    pub(crate) fn faults(&self) -> (u64, bool) {
        match self.slot.health() {
            SlotHealth::Healthy { failures, .. } => (failures, false),
            SlotHealth::Quarantined { failures, .. } => (failures, true),
            SlotHealth::Builtin | SlotHealth::Missing { .. } => (0, false),
            _ => (0, false),
        }
    }
}

/// A call has ended, after `took_ns`.
pub(crate) fn ended(stats: &InstanceStats, answered: bool, took_ns: u64, now_ns: u64) {
    stats.ended();
    if answered {
        stats.note_latency(took_ns, coarse(now_ns));
    }
    let share = stats.error_ppm();
    if !answered || share > 0 {
        let sample = if answered { 0 } else { 1_000_000 };
        stats.set_error_ppm(share - share / ERROR_SMOOTHING + sample / ERROR_SMOOTHING);
    }
}

/// The servers that live.
pub(crate) fn living(servers: &[Server]) -> Vec<usize> {
    (0..servers.len()).filter(|server| servers[*server].lives).collect()
}

/// As plugins are told the time; never 0, which means "never".
fn coarse(now_ns: u64) -> u64 {
    (now_ns - now_ns % TICK_NS).max(1)
}
