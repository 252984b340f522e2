//! Sees everything, in true time, and says what must not happen. It decides nothing in the world.

mod placement;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use skymesh_naming::election::{Leader, Standing, Term};
use skymesh_types::{Handle, ServiceName};

use crate::agenda::Happening;
use crate::scenario::{Clocks, Report, Scenario, Stage};
use crate::trace::Trace;
use crate::world::NodeId;
use placement::Placements;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub broken: Broken,
    /// When, in true time.
    pub at: Duration,
    /// What was seen.
    pub seen: String,
}

/// The promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Broken {
    /// Terms strictly increase per name, and each belongs to one incarnation.
    TermsIncrease,
    /// No two agents believe to lead one name at one true time (within the bound of the clocks).
    OneLeader,
    /// A register behind a fence is linearizable, whatever the clocks do.
    Linearizable,
    /// Some time after healing somebody leads, and gets its writes through.
    LeaderAfterHealing,
    /// A run does not do the same thing for ever.
    Progress,
    /// No two routers send the same key of one epoch to different instances, and none takes a
    /// message of another epoch than its own.
    OneOwner,
    /// A router that has prepared for a round sends nothing that moves the old way once others send
    /// it the new way.
    PreparedHolds,
    /// A message is taken once, or its sender learns why not.
    Exactly,
    /// A round ends within its deadline whatever dies, and waits for nobody who is gone.
    RoundEnds,
    /// Some time after healing all routers know the same placement and hold nothing.
    AgreementAfterHealing,
}

/// How much happened, so that a run that proves nothing is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Things that happened.
    pub events: u64,
    /// Leaders that learned of their election.
    pub elections: u64,
    /// Announcements of a leader.
    pub announcements: u64,
    /// Writes that went through.
    pub writes: u64,
    /// Requests that a fence refused.
    pub fenced: u64,
    /// Keyed messages.
    pub messages: u64,
    /// Keyed messages that a receiver of another epoch sent back.
    pub bounces: u64,
    /// Keyed messages that their senders got back for good.
    pub undelivered: u64,
    /// Rounds that were committed.
    pub rounds: u64,
}

impl Counts {
    /// The sum of two.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            elections: self.elections + other.elections,
            announcements: self.announcements + other.announcements,
            writes: self.writes + other.writes,
            fenced: self.fenced + other.fenced,
            messages: self.messages + other.messages,
            bounces: self.bounces + other.bounces,
            undelivered: self.undelivered + other.undelivered,
            rounds: self.rounds + other.rounds,
        }
    }
}

/// Far more than happens in any run that goes on.
const EVENTS: u64 = 200_000;

#[derive(Debug)]
pub(crate) struct Oracle {
    clocks: Clocks,
    stage: Stage,
    placements: Placements,
    now: Duration,
    /// Everything is printed.
    telling: bool,
    trace: Trace,
    counts: Counts,
    violation: Option<Violation>,
    names: usize,
    announced: BTreeMap<ServiceName, (Term, Handle)>,
    holders: BTreeMap<(ServiceName, Term), Handle>,
    /// Who believes to lead what right now, found anew after everything that happens.
    beliefs: Vec<(usize, NodeId, Term)>,
    /// When the newest write of each register went through, and in which term.
    newest_writes: BTreeMap<usize, (Duration, Term)>,
    /// What has to hold after this.
    due: Option<Happening>,
}

impl Oracle {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            clocks: scenario.clocks,
            stage: scenario.stage,
            placements: Placements::default(),
            now: Duration::ZERO,
            telling: false,
            trace: Trace::default(),
            counts: Counts::default(),
            violation: None,
            names: scenario.names().len(),
            announced: BTreeMap::new(),
            holders: BTreeMap::new(),
            beliefs: Vec::new(),
            newest_writes: BTreeMap::new(),
            due: None,
        }
    }

    /// Prints everything from here on.
    pub(crate) const fn tell_all(&mut self) {
        self.telling = true;
    }

    /// Prints a line of the story, if somebody wants to read it.
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        if self.telling {
            println!("{:>10.6} {}", self.now.as_secs_f64(), line());
        }
    }

    pub(crate) fn report(self) -> Report {
        Report { trace: self.trace.finish(), counts: self.counts, violation: self.violation }
    }

    pub(crate) const fn has_violation(&self) -> bool {
        self.violation.is_some()
    }

    pub(crate) fn trace(&mut self, at: Duration, happening: &Happening) {
        self.now = at;
        self.counts.events += 1;
        if self.counts.events > EVENTS {
            self.violated(Broken::Progress, format!("more than {EVENTS} things happened"));
        }
        at.hash(&mut self.trace);
        match happening {
            Happening::Arrival(connection, end) => (0u8, connection, end).hash(&mut self.trace),
            Happening::Wake(node, life) => (1u8, node, life).hash(&mut self.trace),
            Happening::StoreDone(life) => (2u8, life).hash(&mut self.trace),
            Happening::Fault(_) => 3u8.hash(&mut self.trace),
            Happening::Healed => 4u8.hash(&mut self.trace),
            Happening::LeaderDue => 5u8.hash(&mut self.trace),
            Happening::WritesDue => 6u8.hash(&mut self.trace),
        }
    }

    fn violated(&mut self, broken: Broken, seen: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation { broken, at, seen });
    }

    /// The nameserver tells who leads.
    pub(crate) fn announced(&mut self, standing: &Standing) {
        let Leader::Is { handle, .. } = standing.leader else { return };
        let (name, term) = (&standing.name, standing.term);
        self.counts.announcements += 1;
        (name.as_str(), term.0, handle.get()).hash(&mut self.trace);
        let before = self.announced.insert(name.clone(), (term, handle));
        if let Some(before) = before.filter(|before| *before != (term, handle) && before.0 >= term)
        {
            let seen = format!("{name}: term {term} to {handle:?} after {before:?}");
            self.violated(Broken::TermsIncrease, seen);
        }
    }

    /// An agent learns that one of its instances leads.
    pub(crate) fn elected(&mut self, name: &ServiceName, term: Term, handle: Handle) {
        self.counts.elections += 1;
        let holder = *self.holders.entry((name.clone(), term)).or_insert(handle);
        if holder != handle {
            let seen = format!("{name}: term {term} is held by {holder:?} and {handle:?}");
            self.violated(Broken::TermsIncrease, seen);
        }
    }

    pub(crate) fn believes(&mut self, node: NodeId, name: usize, term: Term) {
        self.beliefs.push((name, node, term));
    }

    pub(crate) fn believes_no_more(&mut self, node: NodeId) {
        self.beliefs.retain(|(_, believer, _)| *believer != node);
        self.router_died(node);
    }

    /// Looks at what everyone believes now.
    pub(crate) fn judge(&mut self) {
        let beliefs = std::mem::take(&mut self.beliefs);
        if self.clocks == Clocks::WithinBound {
            for (at, one) in beliefs.iter().enumerate() {
                if let Some(other) = beliefs[at + 1..].iter().find(|other| other.0 == one.0) {
                    self.violated(Broken::OneLeader, format!("{one:?} and {other:?}"));
                }
            }
            if let Some(due) = self.due.take() {
                self.check_liveness(&due, &beliefs);
            }
        }
        self.beliefs = beliefs;
        self.beliefs.clear();
    }

    fn check_liveness(&mut self, due: &Happening, beliefs: &[(usize, NodeId, Term)]) {
        for name in 0..self.names {
            let Some((_, _, term)) = beliefs.iter().find(|belief| belief.0 == name) else {
                let seen = format!("nobody leads name {name}");
                return self.violated(Broken::LeaderAfterHealing, seen);
            };
            let newest = self.newest_writes.get(&name);
            if *due == Happening::WritesDue && newest.is_none_or(|(_, written)| written != term) {
                let seen = format!("the leader of name {name} in {term} wrote nothing: {newest:?}");
                return self.violated(Broken::LeaderAfterHealing, seen);
            }
        }
    }

    /// A write went through that was based on `based_on`, over `held`.
    pub(crate) fn written(&mut self, register: usize, term: Term, based_on: u64, held: u64) {
        self.counts.writes += 1;
        (register, term.0, held).hash(&mut self.trace);
        self.newest_writes.insert(register, (self.now, term));
        if based_on != held {
            let seen = format!(
                "register {register}: a write of term {term} is based on {based_on:x}, and overwrote {held:x}"
            );
            self.violated(Broken::Linearizable, seen);
        }
    }

    pub(crate) const fn fenced_off(&mut self) {
        self.counts.fenced += 1;
    }

    /// From now on this has to hold.
    pub(crate) fn due(&mut self, due: Happening) {
        self.due = Some(due);
    }
}
