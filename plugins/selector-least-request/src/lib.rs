//! `least_request`: of some random instances the one with the fewest requests under way, for its
//! weight. Knows nothing of latencies: what is slow fills up, and that is enough to be seen.
//!
//! # How it picks
//! `choices` eligible instances are drawn at random, in proportion to their weights. The one with
//! the fewest requests in flight from this process, divided by its weight, serves; of equal ones the
//! first drawn. With two choices this is the power of two choices (Mitzenmacher 1996), as in Envoy's
//! least-request balancer. Where there are no more instances than choices, all of them are compared.
//!
//! So with nothing in flight the shares are those of the weights exactly, and under load an instance
//! of double weight has double the requests under way.
//!
//! Eligible is the first of these groups that is not empty: healthy instances of weight above 0,
//! suspect ones of weight above 0, healthy ones (all drained), all. Keys are ignored.
//!
//! # Cost
//! * A pick: a random cache line of statistics and one of the table for each choice.
//! * A change of the membership: linear, about 30 ns an instance; 12 bytes an instance.
//!
//! # When not to use it
//! With keys. For one-way messages: nothing in flight is counted for them, and `weighted` does the
//! same for less. Where instances may fail at once: they have the fewest requests under way, and draw
//! the traffic; `p2c` and `quality` see errors.
//!
//! # Configuration
//! See [`LeastRequestConfig`].

use serde::Deserialize;
use skymesh_plugin_api::draw::AliasTable;
use skymesh_plugin_api::{InstanceStats, PluginError, Request, Selector, View, export_plugin};

/// For tools, and for the check before the constructor runs.
const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "choices": {
      "description": "how many instances are drawn and compared for each pick",
      "type": "integer", "minimum": 1, "maximum": 64, "default": 2
    }
  }
}"#;

/// The strategy's table in the config file.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeastRequestConfig {
    /// From 1 to 64, default 2: how many instances are drawn and compared for each pick. Two bring
    /// most of what there is to gain; more even the load out further, cost about 5 ns each, and let
    /// processes that know only their own requests choose the same instance more often. 1 is
    /// `weighted`.
    pub choices: u32,
}

impl Default for LeastRequestConfig {
    fn default() -> Self {
        Self { choices: 2 }
    }
}

/// The selector; see the crate's documentation.
#[derive(Debug)]
pub struct LeastRequest {
    choices: usize,
}

/// Who takes part, and how one is drawn.
#[derive(Debug)]
pub struct Field {
    eligible: Box<[u32]>,
    lots: AliasTable,
}

impl Selector for LeastRequest {
    const ID: &'static str = "least_request";
    const DESCRIPTION: &'static str =
        "of some random instances the one with the fewest requests in flight for its weight";
    const CONFIG_SCHEMA: &'static str = SCHEMA;
    type Config = LeastRequestConfig;
    type Table = Field;

    fn new(config: LeastRequestConfig) -> Result<Self, PluginError> {
        Ok(Self { choices: config.choices.max(1) as usize })
    }

    fn prepare(&self, view: &View<'_>) -> Field {
        let eligible = view.eligible();
        let weights: Vec<u32> =
            eligible.iter().map(|index| weight(view, *index as usize)).collect();
        Field { lots: AliasTable::new(&weights), eligible }
    }

    #[inline]
    fn pick(&self, view: &View<'_>, field: &Field, request: &Request) -> Option<usize> {
        let Field { eligible, lots } = field;
        let mut entropy = request.entropy();
        let first = lots.draw(entropy)?;
        let mut least = Load::of(view, eligible[first] as usize);
        if eligible.len() <= self.choices {
            // From the one that was drawn, so that it serves where all are equal.
            for place in (first + 1..eligible.len()).chain(0..first) {
                least = least.or_less(Load::of(view, eligible[place] as usize));
            }
        } else {
            for _ in 1..self.choices {
                entropy = remixed(entropy);
                // The same one may be drawn again: it is not less than itself.
                let place = lots.draw(entropy)?;
                least = least.or_less(Load::of(view, eligible[place] as usize));
            }
        }
        Some(least.index)
    }
}

/// What an instance has to do.
#[derive(Clone, Copy)]
struct Load {
    index: usize,
    in_flight: u64,
    weight: u64,
}

impl Load {
    #[inline]
    fn of(view: &View<'_>, index: usize) -> Self {
        let stats: &InstanceStats = view.stats(index);
        let weight = u64::from(weight(view, index));
        Self { index, in_flight: u64::from(stats.in_flight()), weight }
    }

    /// The other one if it has less to do for its weight.
    #[inline]
    fn or_less(self, other: Self) -> Self {
        // The fractions crosswise: two factors of 32 bits can't overflow.
        if other.in_flight * self.weight < self.in_flight * other.weight { other } else { self }
    }
}

/// Of weight 0 are all eligible ones, or none.
#[inline]
fn weight(view: &View<'_>, index: usize) -> u32 {
    view.weight(index).max(1)
}

/// Other random bits out of random bits (the finalizer of SplitMix64).
#[inline]
fn remixed(entropy: u64) -> u64 {
    let mixed = entropy.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

export_plugin! { selectors: [LeastRequest] }

#[cfg(test)]
mod tests;
