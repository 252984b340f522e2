//! `quality`: the better of two random instances, by round trip, errors, lost pings and requests in
//! flight. It never asks "who is the best of all": that sends every client to the same one.
//!
//! # How it picks
//! Two different eligible instances are drawn at random and compared by their cost
//!
//! ```text
//! cost = round trip * (requests in flight + 1) * (1 + error_penalty * e / (1 - e)) * 2^lost pings
//! ```
//!
//! where e is the share of failed requests. This is the power of two choices (Mitzenmacher 1996) on
//! the cost of Finagle's Peak-EWMA balancer. The cheaper one does not always win: it wins with odds
//! of (dearer / cheaper)^`sharpness`, at most 4096 to 1. So instances of nearly equal cost share
//! nearly equally, however the measurements of one client or another happen to order them, and one
//! that failed still gets a trickle by which its recovery is seen. Where even the winner is poor (8
//! times the typical round trip, errors or lost pings included), two others are drawn, up to three
//! times: else, with half of the instances dead, a quarter of the messages would meet two dead ones.
//!
//! An unknown round trip counts as the median of the known ones, as does one older than
//! `stale_after_ms`, whose errors are forgotten too. The median is taken anew every 250 ms, over at
//! most 64 instances.
//!
//! Eligible is the first of these groups that is not empty: healthy instances of weight above 0,
//! suspect ones of weight above 0, healthy ones (all drained), all. Keys and the size of the weights
//! are ignored.
//!
//! # Cost
//! * A pick: two cache lines of statistics read at random, some 20 floating-point operations, and a
//!   division for each of the two that has errors. Every 250 ms one pick pays 1 to 3 us for the median.
//! * A change of the membership: one pass over it, 4 bytes per eligible instance.
//!
//! # When not to use it
//! With keys. For one-way messages to equal machines in one place: nothing in flight is counted for
//! them, so only pings tell the instances apart, and `round_robin` is more even.
//!
//! # Configuration
//! See [`QualityConfig`].

mod config;
mod cost;
mod typical;

use std::hint::select_unpredictable;

use skymesh_plugin_api::draw::two_of;
use skymesh_plugin_api::{PluginError, Request, Selector, View, export_plugin};

pub use crate::config::QualityConfig;
use crate::cost::Judge;
use crate::typical::Typical;

/// How often two others are drawn when the winner is poor. Three times leave one pick in 256 with
/// a dead instance where half of them are dead.
const REDRAWS: u32 = 3;

/// Scrambles the bits between draws; odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The selector; see the crate's documentation.
#[derive(Debug)]
pub struct Quality {
    judge: Judge,
}

/// Who takes part, and what is typical of them.
#[derive(Debug)]
pub struct Field {
    eligible: Box<[u32]>,
    typical: Typical,
}

impl Selector for Quality {
    const ID: &'static str = "quality";
    const DESCRIPTION: &'static str =
        "the better of two random instances, by round trip and errors";
    const CONFIG_SCHEMA: &'static str = config::SCHEMA;
    type Config = QualityConfig;
    type Table = Field;

    fn new(config: QualityConfig) -> Result<Self, PluginError> {
        Ok(Self { judge: Judge::new(&config) })
    }

    fn prepare(&self, view: &View<'_>) -> Field {
        Field { eligible: view.eligible(), typical: Typical::default() }
    }

    #[inline]
    fn pick(&self, view: &View<'_>, field: &Field, request: &Request) -> Option<usize> {
        let eligible = &field.eligible;
        if eligible.len() < 2 {
            return eligible.first().map(|&index| index as usize);
        }
        if let Some(typical_ns) = field.typical.fresh_rtt_ns(request.now_ns()) {
            let winner = self.duels(view, field, request, typical_ns).fight(request.entropy());
            if !winner.is_poor {
                return Some(winner.index);
            }
        }
        Some(self.pick_with_care(view, field, request))
    }
}

impl Quality {
    #[inline]
    fn duels<'a>(
        &'a self,
        view: &'a View<'a>,
        field: &'a Field,
        request: &Request,
        typical_ns: f64,
    ) -> Duels<'a> {
        let (eligible, judge) = (&field.eligible, &self.judge);
        Duels { view, eligible, judge, typical_ns, now_ns: request.now_ns() }
    }

    /// The whole pick, where the typical round trip is to be taken, or the winner is poor: then others
    /// are drawn, within bounds. Out of line, so that the other picks save no registers for it.
    #[cold]
    #[inline(never)]
    fn pick_with_care(&self, view: &View<'_>, field: &Field, request: &Request) -> usize {
        let Field { eligible, typical } = field;
        let now_ns = request.now_ns();
        let typical_ns = typical.fresh_rtt_ns(now_ns).unwrap_or_else(|| {
            typical.take(view, eligible, &self.judge, now_ns);
            typical.last_rtt_ns()
        });
        let duels = self.duels(view, field, request, typical_ns);
        let mut entropy = request.entropy();
        let mut winner = duels.fight(entropy);
        for _ in 0..REDRAWS {
            if !winner.is_poor {
                break;
            }
            entropy = remixed(remixed(entropy));
            winner = duels.fight(entropy);
        }
        winner.index
    }
}

/// What the duels of one pick have in common.
struct Duels<'a> {
    view: &'a View<'a>,
    /// At least two.
    eligible: &'a [u32],
    judge: &'a Judge,
    typical_ns: f64,
    now_ns: u64,
}

struct Winner {
    index: usize,
    is_poor: bool,
}

impl Duels<'_> {
    /// Draws two and lets one win.
    #[inline]
    fn fight(&self, entropy: u64) -> Winner {
        let [one, other] =
            two_of(self.eligible.len(), entropy).map(|place| self.eligible[place] as usize);
        let cost = |index| self.judge.cost(self.view.stats(index), self.typical_ns, self.now_ns);
        let (cost_of_one, cost_of_other) = (cost(one), cost(other));
        // The two draws use the ends of the entropy; the coin must not depend on either.
        let coin = (remixed(entropy) >> 40) as f64 / (1u64 << 24) as f64;
        let one_wins = self.judge.first_wins(&cost_of_one, &cost_of_other, coin);
        let [one_is_poor, other_is_poor] =
            [cost_of_one, cost_of_other].map(|cost| cost.is_poor(self.typical_ns));
        // Nobody can predict who wins, so not by a branch: a wrong guess costs 5 ns.
        Winner {
            index: select_unpredictable(one_wins, one, other),
            is_poor: (one_wins & one_is_poor) | (!one_wins & other_is_poor),
        }
    }
}

/// Other random bits out of random bits.
#[inline]
fn remixed(entropy: u64) -> u64 {
    (entropy ^ (entropy >> 29)).wrapping_mul(GOLDEN)
}

export_plugin! { selectors: [Quality] }

#[cfg(test)]
mod tests;
