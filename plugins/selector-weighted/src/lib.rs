//! `weighted`: a random instance, in proportion to the weights that the instances registered. Not a
//! feedback loop: weights are what the instances ask for, not what is measured of them.
//!
//! # How it picks
//! An alias table (Walker 1977, built by Vose's linear method, 1991): one column per instance, each
//! shared by at most two. The upper half of one multiplication chooses the column, its lower half
//! tosses the coin between the two.
//!
//! Weight 0 means drained: nothing is sent there. Suspect instances count as weight 0 too. If
//! nobody is left, suspect instances serve by their weights; if all weights are 0, the healthy ones
//! serve alike, and if there is none, all. Keys are ignored.
//!
//! # Cost
//! * A pick: a multiplication and one load of 8 bytes; nothing is written. The same for any number
//!   of instances and any weights.
//! * A change of the membership: linear, about 30 ns an instance; 8 bytes an instance.
//!
//! # Accuracy
//! Shares are exact to 2^-32 of a column, whatever the weights.
//!
//! # When not to use it
//! Where the weights should follow the load (use `quality`), or a key decides (use
//! `consistent_hash`, which knows weights too).
//!
//! # Configuration
//! None. The weight is part of an instance's registration, 100 unless it says otherwise.

use skymesh_plugin_api::draw::AliasTable;
use skymesh_plugin_api::{NoConfig, PluginError, Request, Selector, View, export_plugin};

/// The selector; see the crate's documentation.
#[derive(Debug)]
pub struct Weighted;

impl Selector for Weighted {
    const ID: &'static str = "weighted";
    const DESCRIPTION: &'static str = "a random healthy instance, in proportion to the weights";
    type Config = NoConfig;
    type Table = AliasTable;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn prepare(&self, view: &View<'_>) -> AliasTable {
        AliasTable::new(&effective_weights(view))
    }

    #[inline]
    fn pick(&self, _view: &View<'_>, table: &AliasTable, request: &Request) -> Option<usize> {
        table.draw(request.entropy())
    }
}

/// The weights to draw by: the first of the fallbacks that is not all zeros.
fn effective_weights(view: &View<'_>) -> Vec<u32> {
    let masked = |weight: &dyn Fn(usize) -> u32| (0..view.len()).map(weight).collect::<Vec<u32>>();
    let unless_suspect =
        |index: usize, weight: u32| if view.is_suspect(index) { 0 } else { weight };
    let fallbacks: [&dyn Fn(usize) -> u32; 4] = [
        &|index| unless_suspect(index, view.weight(index)),
        &|index| view.weight(index),
        &|index| unless_suspect(index, 1),
        &|_| 1,
    ];
    let mut all = fallbacks.into_iter().map(masked);
    all.find(|weights| weights.iter().any(|weight| *weight > 0)).unwrap_or_default()
}

export_plugin! { selectors: [Weighted] }

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::{Member, Roster};

    use super::*;

    /// Weights, and who is suspect.
    type Members = &'static [(u32, bool)];

    #[test]
    fn keeps_the_contract() {
        skymesh_plugin_api::conformance::selector::<Weighted>();
    }

    #[test]
    fn drained_and_suspect_instances_come_last() {
        let cases: [(Members, &[u32]); 6] = [
            (&[(100, false), (50, false)], &[100, 50]),
            (&[(100, false), (0, false)], &[100, 0]),
            (&[(100, true), (50, false)], &[0, 50]),
            (&[(100, true), (0, false)], &[100, 0]),
            (&[(0, true), (0, false)], &[0, 1]),
            (&[(0, true), (0, true)], &[1, 1]),
        ];
        for (members, expected) in cases {
            let member = |(id, &(weight, suspect))| Member { weight, suspect, ..Member::new(id) };
            let roster = Roster::new((1..).zip(members).map(member).collect());
            assert_eq!(effective_weights(roster.view()), expected, "{members:?}");
        }
    }
}
