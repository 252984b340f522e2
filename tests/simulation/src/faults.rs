//! What breaks in a run, and when: drawn once from the seed, so that the cores' behaviour does not
//! change what comes next. After the last fault everything is mended.

use std::time::Duration;

use crate::agenda::{Agenda, Happening};
use crate::dice::Dice;
use crate::scenario::Stage;
use crate::world::{NAMESERVER, NodeId};

/// Something breaks or is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Nothing gets through from the first to the second.
    Block(NodeId, NodeId),
    Unblock(NodeId, NodeId),
    /// One connection between these two breaks; each end hears of it in its own time.
    Cut(NodeId, NodeId),
    /// The process stops, as by SIGSTOP.
    Stop(NodeId),
    Continue(NodeId),
    /// The process dies; its host closes what it had open.
    Kill(NodeId),
    /// The host dies: nobody is told.
    PowerOff(NodeId),
    Start(NodeId),
    /// Packets take up to that many milliseconds longer, and one in so many is sent again.
    Weather(u64, u64),
    /// An operator kicks one instance of that agent.
    Kick(NodeId),
    /// The application changes its mind about one candidacy.
    Whim(NodeId),
    /// The application gives up and runs again at once.
    Dither(NodeId),
    /// The nameserver's queue to that agent is full: what it misses is left out.
    Clog(NodeId),
    Unclog(NodeId),
    /// An agent's stateful instance is to come, or to go.
    Scale(NodeId),
}

/// Longer than any packet takes in bad weather.
const CLEARING: Duration = Duration::from_millis(2300);

/// How much breaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) stage: Stage,
    pub(crate) begin: Duration,
    pub(crate) healed: Duration,
    /// Mean time between faults.
    pub(crate) mean: Duration,
}

/// Which of the kinds below. Where nothing may be lost, no agent dies.
fn draw_kind(stage: Stage, dice: &mut Dice) -> u64 {
    let kind = dice.below(16);
    match (stage, kind) {
        (Stage::CalmPlacement, 10) => 0,
        (Stage::Placement | Stage::CalmPlacement, 12..) => 5,
        _ => kind,
    }
}

/// What happens to a stateful service and between agents. The first agent's instance stays, so that
/// somebody owns every key.
fn draw_placement(stage: Stage, agent: NodeId, agents: &[NodeId], dice: &mut Dice) -> Fault {
    let other = agents[dice.below(agents.len() as u64) as usize];
    if stage == Stage::Placement && agent != other && dice.one_in(4) {
        return Fault::Cut(agent, other);
    }
    let scaled = agents[1 + dice.below(agents.len() as u64 - 1) as usize];
    Fault::Scale(scaled)
}

/// Draws the faults of a run with the agents `agents`.
pub(crate) fn draw(plan: Plan, agents: &[NodeId], agenda: &mut Agenda, dice: &mut Dice) {
    let mut at = plan.begin;
    loop {
        at += Duration::from_micros(dice.below(2 * plan.mean.as_micros() as u64));
        if at >= plan.healed {
            return;
        }
        let agent = agents[dice.below(agents.len() as u64) as usize];
        let lasting = if dice.one_in(3) { dice.millis(500, 5000) } else { dice.millis(1, 600) };
        let end = (at + lasting).min(plan.healed);
        let mut put = |at: Duration, fault: Fault| agenda.put(at, Happening::Fault(fault));
        if plan.stage != Stage::Elections && dice.one_in(16) {
            put(at, Fault::Clog(agent));
            put(end, Fault::Unclog(agent));
            continue;
        }
        if plan.stage != Stage::Elections && dice.one_in(2) {
            put(at, draw_placement(plan.stage, agent, agents, dice));
            continue;
        }
        match draw_kind(plan.stage, dice) {
            0..=1 => {
                put(at, Fault::Block(agent, NAMESERVER));
                put(at, Fault::Block(NAMESERVER, agent));
                put(end, Fault::Unblock(agent, NAMESERVER));
                put(end, Fault::Unblock(NAMESERVER, agent));
            }
            2 => {
                put(at, Fault::Block(agent, NAMESERVER));
                put(end, Fault::Unblock(agent, NAMESERVER));
            }
            3 => {
                put(at, Fault::Block(NAMESERVER, agent));
                put(end, Fault::Unblock(NAMESERVER, agent));
            }
            4 => put(at, Fault::Cut(agent, NAMESERVER)),
            5..=6 => {
                put(at, Fault::Stop(agent));
                put(end, Fault::Continue(agent));
            }
            7 => {
                put(at, Fault::Stop(NAMESERVER));
                put(end, Fault::Continue(NAMESERVER));
            }
            8..=9 => {
                let end = if dice.one_in(2) { at + dice.millis(1, 100) } else { end };
                let end = end.min(plan.healed);
                put(
                    at,
                    if dice.one_in(2) {
                        Fault::Kill(NAMESERVER)
                    } else {
                        Fault::PowerOff(NAMESERVER)
                    },
                );
                put(end, Fault::Start(NAMESERVER));
            }
            10 => {
                put(at, if dice.one_in(2) { Fault::Kill(agent) } else { Fault::PowerOff(agent) });
                put(end, Fault::Start(agent));
            }
            11 if at < plan.healed - CLEARING => {
                put(at, Fault::Weather(dice.below(800), 2 + dice.below(20)));
                // What was sent in bad weather arrives before the world is whole.
                put(end.min(plan.healed - CLEARING), Fault::Weather(0, 0));
            }
            12 => put(at, Fault::Kick(agent)),
            13..=14 => put(at, Fault::Whim(agent)),
            11 | 15.. => put(at, Fault::Dither(agent)),
        }
    }
}
