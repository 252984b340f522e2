//! A client: its own view of the servers, its own statistics of them, and its own instance of the
//! plugin. The statistics are kept as the agent and RPC keep them.

use std::sync::Arc;
use std::time::Duration;

use skymesh_plugin_host::{InstanceStats, Member, Request, SelectorSlot, SlotHealth};
use skymesh_stages::{
    Candidate, Choice, Chooser, Ejections, Entrant, Observed, Stage, StagesConfig, sift,
};

use crate::dice::Dice;
use crate::server::{Server, Standing};

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
    /// Of its calls: equal whatever the selector and the stages do.
    pub(crate) dice: Dice,
    /// Of its picks.
    chance: Dice,
    pub(crate) zone: &'static str,
    /// Its agent's number.
    agent: u64,
    /// `None` asks the selector for anybody.
    stages: Option<StagesConfig>,
    ejections: Ejections,
    slot: SelectorSlot,
    choice: Choice,
    /// Whom the indexes of the view mean.
    members: Vec<Listed>,
    /// By server.
    known: Vec<Known>,
    /// Calls made by the view of now.
    pub(crate) asked: u64,
}

/// A server that the view has.
#[derive(Debug, Clone, Copy)]
struct Listed {
    server: usize,
    dropped: Option<Stage>,
}

/// What a client keeps of one incarnation of a server.
#[derive(Debug, Default)]
struct Known {
    incarnation: u32,
    stats: Arc<InstanceStats>,
    /// A ping is not answered yet.
    pinged: bool,
    /// When the client heard of it; 0 if it was there from the beginning.
    since_ns: u64,
    /// The client has sent to the server, in whichever life.
    called: bool,
}

impl Client {
    pub(crate) fn new(
        slot: SelectorSlot,
        [dice, chance]: [Dice; 2],
        stages: Option<StagesConfig>,
        (agent, zone): (u64, &'static str),
        servers: &[Server],
    ) -> Self {
        let choice = Choice::unprepared(&slot);
        let known = servers.iter().map(|_| Known::default()).collect();
        let (ejections, members) = (Ejections::default(), Vec::new());
        let mut client = Self {
            dice,
            chance,
            zone,
            agent,
            stages,
            ejections,
            slot,
            choice,
            members,
            known,
            asked: 0,
        };
        client.learn(servers, 0);
        client
    }

    /// Takes the membership as it is now for its own.
    pub(crate) fn learn(&mut self, servers: &[Server], now_ns: u64) {
        for (known, server) in self.known.iter_mut().zip(servers) {
            if server.lives() && known.incarnation != server.incarnation {
                let (incarnation, called) = (server.incarnation, known.called);
                let since_ns = coarse(now_ns);
                *known = Known { incarnation, since_ns, called, ..Known::default() };
            }
        }
        let listed = listed(servers);
        let candidate = |server: &usize| Candidate {
            instance: *server as u64 + 1,
            draining: servers[*server].standing == Standing::Draining,
            suspect: servers[*server].standing == Standing::Doubted,
            ejected: self.ejections.contains(self.handle(*server)),
            zone: Some(servers[*server].zone).filter(|zone| !zone.is_empty()),
        };
        let candidates: Vec<_> = listed.iter().map(candidate).collect();
        let zone = Some(self.zone).filter(|zone| !zone.is_empty());
        let verdicts = match &self.stages {
            Some(stages) => sift(stages, Chooser { agent: self.agent, zone }, &candidates),
            None => vec![None; listed.len()],
        };
        let listed = listed.iter().zip(&verdicts);
        self.members = listed.map(|(&server, &dropped)| Listed { server, dropped }).collect();
        let entrant = |one: &Listed| Entrant {
            member: one.dropped.is_none().then(|| self.member(&servers[one.server], one.server)),
            since_ns: self.known[one.server].since_ns,
        };
        let entrants = self.members.iter().map(entrant).collect();
        let slow_start = self.stages.as_ref().map_or(Duration::ZERO, |stages| stages.slow_start);
        self.choice = Choice::new(&self.slot, entrants, slow_start, coarse(now_ns));
        self.asked = 0;
    }

    fn member(&self, server: &Server, number: usize) -> Member {
        Member {
            weight: server.weight,
            stats: Arc::clone(&self.known[number].stats),
            suspect: server.standing == Standing::Doubted,
            ..Member::new(number as u64 + 1)
        }
    }

    /// Tells incarnations apart.
    fn handle(&self, server: usize) -> u64 {
        ((server as u64) << 32) | u64::from(self.known[server].incarnation)
    }

    /// Looks at what only time changes, as agents do every second; answers whether a new view is due.
    pub(crate) fn review(&mut self, now_ns: u64) -> bool {
        let Some(stages) = &self.stages else { return false };
        let observe = |one: &Listed| Observed {
            handle: self.handle(one.server),
            error_ppm: self.known[one.server].stats.error_ppm(),
        };
        let observed: Vec<Observed> = self.members.iter().map(observe).collect();
        let now = Duration::from_nanos(now_ns);
        let reviewed = self.ejections.review(&stages.outliers, now, &observed);
        for one in &self.members {
            if reviewed.readmitted.contains(&self.handle(one.server)) {
                self.known[one.server].stats.set_error_ppm(0);
            }
        }
        let changed = !reviewed.ejected.is_empty() || !reviewed.readmitted.is_empty();
        changed || self.choice.slow_start_is_over(coarse(now_ns))
    }

    /// Which server the plugin picks, and the stages agree.
    pub(crate) fn pick(&mut self, key: Option<u64>, now_ns: u64) -> Option<usize> {
        let thread = self.chance.below(THREADS) as u32;
        let request = Request::new(key, self.chance.roll(), coarse(now_ns), thread);
        self.asked += 1;
        let picked = self.choice.pick_as(&request, || self.chance.roll())?;
        let server = self.members[picked].server;
        self.known[server].called = true;
        Some(server)
    }

    /// Those among whom calls are due, if all is to be even: whoever is able to serve, be it in another
    /// zone or subset.
    pub(crate) fn able(&self) -> impl Iterator<Item = usize> + Clone {
        let able = |one: &&Listed| matches!(one.dropped, None | Some(Stage::Zone | Stage::Subset));
        self.members.iter().filter(able).map(|one| one.server)
    }

    /// Those whom it has connections to.
    pub(crate) fn connected(&self) -> Vec<usize> {
        let far = |one: &Listed| matches!(one.dropped, Some(Stage::Zone | Stage::Subset));
        self.members.iter().filter(|one| !far(one)).map(|one| one.server).collect()
    }

    /// To how many servers it has sent.
    pub(crate) fn peers(&self) -> usize {
        self.known.iter().filter(|known| known.called).count()
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

/// The servers that clients are told of.
pub(crate) fn listed(servers: &[Server]) -> Vec<usize> {
    (0..servers.len()).filter(|server| servers[*server].is_listed()).collect()
}

/// As plugins are told the time; never 0, which means "never".
fn coarse(now_ns: u64) -> u64 {
    (now_ns - now_ns % TICK_NS).max(1)
}
