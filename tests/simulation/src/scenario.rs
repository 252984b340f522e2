//! What a run is like: how large its world is, how wrong its clocks are, what breaks, and which bug
//! is planted in it.

use std::time::Duration;

use skymesh_naming::election::{Elector, FirstCome};
use skymesh_naming::flaw::Flaw;
use skymesh_naming::placement::HoldLimits;
use skymesh_naming::{MassLoss, RegistryConfig};
use skymesh_types::ServiceName;

use crate::agenda::{Agenda, Happening};
use crate::clock::{Clock, TRUE_RATE_PPM};
use crate::dice::Dice;
use crate::elector::LowestId;
use crate::faults::{self, Plan};
use crate::oracle::{Counts, Violation};
use crate::world::{NodeId, World};

/// The lease of every run.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// What may come on top of a lease until there is a leader after healing: to notice a dead
/// connection, to dial again, to make a term durable.
const DELTA: Duration = Duration::from_millis(1500);

/// A leader has read and written by then.
const WRITES_WITHIN: Duration = Duration::from_secs(2);

const BEGIN: Duration = Duration::from_millis(300);
const HEALED: Duration = Duration::from_secs(12);

/// A bug that the simulation has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// In the cores.
    Core(Flaw),
    /// The fence lets old leaders in and new ones not.
    FenceReversed,
    /// There is no fence.
    FenceMissing,
    /// Receivers take keyed messages of any epoch.
    EpochNotChecked,
}

/// How true the clocks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clocks {
    /// Each rate is within the bound that leases are made for, 5 %.
    WithinBound,
    /// Rates are wrong by up to 60 %: leases promise nothing, fences still do.
    BeyondBound,
}

/// What becomes of the nameserver's store when its process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It has all that was stored.
    Keeps,
    /// It was in memory only. Terms then stand on a wall clock that is never set back.
    Forgets,
}

/// How the nameserver picks leaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The built-in rule: an incumbent stays.
    FirstCome,
    /// The lowest instance id, at once: an incumbent is revoked.
    LowestId,
}

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Candidates, leaders and their registers.
    Elections,
    /// A stateful service whose instances come, go and crash, and routers that send to its keys.
    Placement,
    /// As `Placement`, and no process dies and no direct connection breaks: nothing may be lost.
    CalmPlacement,
}

/// One kind of run.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What it is about.
    pub stage: Stage,
    /// The clocks of all nodes.
    pub clocks: Clocks,
    /// The nameserver's store.
    pub disk: Disk,
    /// The nameserver's election algorithm.
    pub rule: Rule,
    /// The bug, if there is one.
    pub plant: Option<Plant>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// A hash over everything that happened, in order.
    pub trace: u64,
    /// How much happened.
    pub counts: Counts,
    /// What must not have happened.
    pub violation: Option<Violation>,
}

impl Scenario {
    /// The scenario that a seed is run in: every fourth one beyond the bound of the clocks, every
    /// eighth with a store that forgets, every third with an algorithm that pre-empts.
    pub const fn of_seed(seed: u64, plant: Option<Plant>) -> Self {
        let stage = Stage::Elections;
        let clocks = if seed % 4 == 3 { Clocks::BeyondBound } else { Clocks::WithinBound };
        let disk = if seed % 8 == 6 { Disk::Forgets } else { Disk::Keeps };
        let rule = if seed % 3 == 1 { Rule::LowestId } else { Rule::FirstCome };
        Self { stage, clocks, disk, rule, plant }
    }

    /// As [`of_seed`](Self::of_seed), of the placement of a stateful service; every third one calm.
    pub const fn of_placement_seed(seed: u64, plant: Option<Plant>) -> Self {
        let calm = seed.is_multiple_of(3);
        let stage = if calm { Stage::CalmPlacement } else { Stage::Placement };
        let disk = if seed % 8 == 6 { Disk::Forgets } else { Disk::Keeps };
        let (clocks, rule) = (Clocks::WithinBound, Rule::FirstCome);
        Self { stage, clocks, disk, rule, plant }
    }

    /// Plays a seed.
    pub fn play(&self, seed: u64) -> Report {
        World::new(self, seed).run(self.due() + LEASE + WRITES_WITHIN)
    }

    /// Plays a seed and prints what happens in it.
    pub fn tell(&self, seed: u64) -> Report {
        let mut world = World::new(self, seed);
        world.tell_all();
        world.run(self.due() + LEASE + WRITES_WITHIN)
    }

    pub(crate) fn agents(&self, dice: &mut Dice) -> usize {
        2 + dice.below(3) as usize
    }

    pub(crate) fn names(&self) -> Vec<ServiceName> {
        let name = |text: &str| text.parse().expect("invariant: a proper name");
        match self.stage {
            Stage::Elections => vec![name("app.env.room"), name("app.env.hall")],
            Stage::Placement | Stage::CalmPlacement => Vec::new(),
        }
    }

    pub(crate) fn clock(&self, dice: &mut Dice) -> Clock {
        let error = match self.clocks {
            Clocks::WithinBound => 50_000,
            Clocks::BeyondBound => 600_000,
        };
        // The edges are where it breaks.
        let rate = match dice.below(4) {
            0 => TRUE_RATE_PPM - error,
            1 => TRUE_RATE_PPM + error,
            _ => TRUE_RATE_PPM - error + dice.below(2 * error),
        };
        Clock::new(dice.millis(0, 100_000), rate)
    }

    pub(crate) const fn flaw(&self) -> Option<Flaw> {
        match self.plant {
            Some(Plant::Core(flaw)) => Some(flaw),
            _ => None,
        }
    }

    pub(crate) fn elector(&self) -> Box<dyn Elector> {
        match self.rule {
            Rule::FirstCome => Box::new(FirstCome),
            Rule::LowestId => Box::new(LowestId),
        }
    }

    pub(crate) fn registry(&self) -> RegistryConfig {
        RegistryConfig {
            lease: LEASE,
            session_grace: Duration::from_millis(700),
            recovery: LEASE,
            mass_loss: MassLoss { percent: 100, ..MassLoss::default() },
            ..RegistryConfig::default()
        }
    }

    /// How long routers hold. Where every message has to arrive, longer than anything lasts.
    pub(crate) fn hold(&self) -> HoldLimits {
        let time = match self.stage {
            Stage::CalmPlacement => Duration::from_secs(30),
            _ => Duration::from_secs(4),
        };
        HoldLimits { time, ..HoldLimits::default() }
    }

    /// When there has to be a leader again, in true time. The slowest clock in the bound takes 5 %
    /// longer over a lease.
    fn due(&self) -> Duration {
        let slowest = match self.clocks {
            Clocks::WithinBound => 19,
            Clocks::BeyondBound => 8,
        };
        let rounds = match self.stage {
            Stage::Elections => Duration::ZERO,
            Stage::Placement | Stage::CalmPlacement => Duration::from_secs(4),
        };
        HEALED + LEASE * 20 / slowest + DELTA + rounds
    }

    pub(crate) fn schedule(&self, agents: &[NodeId], agenda: &mut Agenda, dice: &mut Dice) {
        let mean = Duration::from_millis(100 + dice.below(900));
        let plan = Plan { stage: self.stage, begin: BEGIN, healed: HEALED, mean };
        faults::draw(plan, agents, agenda, dice);
        agenda.put(HEALED, Happening::Healed);
        agenda.put(self.due(), Happening::LeaderDue);
        agenda.put(self.due() + WRITES_WITHIN, Happening::WritesDue);
    }
}
