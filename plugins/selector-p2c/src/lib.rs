//! `p2c`: the cheaper of two random instances, by how long their answers take and how many requests
//! are under way. Made for RPC: it knows the time that a service takes, not only that of its network.
//!
//! # How it picks
//! Two different eligible instances are drawn at random, and the cheaper one serves:
//!
//! ```text
//! cost = latency * (requests in flight + 1) * (1 + error_penalty * e / (1 - e)) * 2^lost pings / weight
//! ```
//!
//! where e is the share of failed requests. This is the power of two choices (Mitzenmacher 1996:
//! drawing two instead of one takes the longest queue from log n to log log n) on the cost of
//! Finagle's Peak-EWMA balancer (Twitter; `PeakEwma.scala`). The latency is sensitive to peaks: one
//! slow answer counts at once, and is forgotten over seconds. Before slow answers come in, the
//! requests that pile up tell.
//!
//! An instance that is asked nothing answers nothing: so its latency halves with each
//! `half_life_ms` without an answer, and it will be tried again. A latency that is unknown is not
//! compared: then round trips of pings are, and if those are not known either, the two differ by the
//! rest of the cost only. So a new instance gets its share from the start, and no flood.
//!
//! Eligible is the first of these groups that is not empty: healthy instances of weight above 0,
//! suspect ones of weight above 0, healthy ones (all drained), all. Keys are ignored.
//!
//! # No herd
//! Whatever the clients believe, no client sends more than 2 in n messages to one of n instances,
//! for that is how often it is drawn. But of two idle ones the slightly faster one always wins, so
//! with little load the shares are uneven; `quality` lets the cheaper one win by odds instead.
//!
//! # Cost
//! * A pick: two cache lines of statistics read at random, some 20 floating-point operations; a
//!   division or two where one of the two is not well: errors, lost pings, no answer for a half-life.
//! * A change of the membership: one pass over it, 8 bytes per eligible instance.
//!
//! # When not to use it
//! With keys. For one-way messages: nobody answers them, so only pings tell instances apart.
//!
//! # Configuration
//! See [`P2cConfig`].

mod config;
mod cost;

use std::hint::select_unpredictable;

use skymesh_plugin_api::draw::two_of;
use skymesh_plugin_api::{PluginError, Request, Selector, View, export_plugin};

pub use crate::config::P2cConfig;
use crate::cost::{Judge, Known, lightness};

/// The selector; see the crate's documentation.
#[derive(Debug)]
pub struct P2c {
    judge: Judge,
}

impl Selector for P2c {
    const ID: &'static str = "p2c";
    const DESCRIPTION: &'static str =
        "the cheaper of two random instances, by peak-sensitive latency and requests in flight";
    const CONFIG_SCHEMA: &'static str = config::SCHEMA;
    type Config = P2cConfig;
    type Table = Field;

    fn new(config: P2cConfig) -> Result<Self, PluginError> {
        Ok(Self { judge: Judge::new(&config) })
    }

    fn prepare(&self, view: &View<'_>) -> Field {
        let candidate =
            |&index: &u32| Candidate { index, lightness: lightness(view.weight(index as usize)) };
        Field { eligible: view.eligible().iter().map(candidate).collect() }
    }

    #[inline]
    fn pick(&self, view: &View<'_>, field: &Field, request: &Request) -> Option<usize> {
        let eligible = &field.eligible;
        if eligible.len() >= 2
            && let [place, other] = two_of(eligible.len(), request.entropy())
            && let (Some(one), Some(other)) = (eligible.get(place), eligible.get(other))
            && let two = [*one, *other]
            && let Some(costs) =
                self.judge.costs_of_well(two.map(|one| one.known(view)), request.now_ns())
        {
            return Some(cheaper(two, costs));
        }
        self.pick_with_care(view, field, request)
    }
}

/// Who takes part.
#[derive(Debug)]
pub struct Field {
    eligible: Box<[Candidate]>,
}

/// An instance that takes part.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// In the view.
    index: u32,
    lightness: f32,
}

impl Candidate {
    #[inline]
    fn known<'a>(self, view: &View<'a>) -> Known<'a> {
        (view.stats(self.index as usize), self.lightness)
    }
}

impl P2c {
    /// The whole pick again, where one of the two is not well, or there are no two. Out of line, so that
    /// the other picks save no registers for it.
    #[cold]
    #[inline(never)]
    fn pick_with_care(&self, view: &View<'_>, field: &Field, request: &Request) -> Option<usize> {
        let eligible = &field.eligible;
        if eligible.len() < 2 {
            return eligible.first().map(|candidate| candidate.index as usize);
        }
        let two = two_of(eligible.len(), request.entropy()).map(|place| eligible[place]);
        Some(cheaper(two, self.judge.costs(two.map(|one| one.known(view)), request.now_ns())))
    }
}

#[inline]
fn cheaper([one, other]: [Candidate; 2], [of_one, of_other]: [f64; 2]) -> usize {
    // Nobody can predict who is cheaper, so not by a branch: a wrong guess costs 5 ns. Equal
    // ones are in random order already.
    select_unpredictable(of_one <= of_other, one.index, other.index) as usize
}

export_plugin! { selectors: [P2c] }

#[cfg(test)]
mod fleet;
#[cfg(test)]
mod tests;
