//! `consistent_hash`: one instance per key, the same in every process, and a change of the
//! membership moves only the keys that it must move. Keeps no memory of former memberships: the
//! table is a pure function of ids and weights.
//!
//! # How it picks
//! Weighted rendezvous hashing (Thaler and Ravishankar 1998; exponential weights as in
//! draft-ietf-bess-weighted-hrw), worked out beforehand for a fixed number of slots: a pick is one
//! look into a table. Every instance has an order of preference over all slots that follows from
//! its id alone (a permutation, as in Maglev, Eisenbud and others 2016), and bids for the slot in place r at the time E(r) / weight, where E(r) is when the r-th of as many random
//! arrivals is expected. The earliest bid owns the slot. No bid depends on who else is there (in
//! Maglev it does, which is why a removal there moves about twice the keys), hence:
//! * an instance that leaves gives its own slots away and nothing else moves; one that comes takes
//!   slots and nothing else moves; a changed weight moves slots to or from that instance only;
//! * shares are proportional to weights, and more even than those of a hash ring or of random
//!   scores: their variance is half, since every instance has each rank exactly once.
//!
//! Weight 0 means drained: it owns nothing, unless all weights are 0 (then all count alike).
//! **Without a key**, the message goes to a random instance in proportion to the slots.
//!
//! With `bounded_load` (Mirrokni, Thorup and Zadimoghaddam 2016; jumping on at random as in Chen,
//! Coleman and Shrivastava 2021), a request whose instance is full goes to the owner of another
//! slot, drawn from the key: at most 32 tries, then to the least full of those. "Equal views give
//! equal picks" then takes the statistics as a part of the view. Below 1.25 the bound is a
//! tendency: when nearly all are full, 32 tries may find none with room.
//!
//! # Cost
//! * A pick: three multiplications and one load from the table. Nothing is written. With
//!   `bounded_load` it also reads one line of statistics, and more where instances are full.
//! * A change of the membership, whatever it is: slots * (ln n + 1) steps of about 4 ns, on the
//!   host's thread and off the message path. With the default of 524288 slots that took 8 ms for 10
//!   instances, 14 for 100, 19 for 1000 and 25 for 10 000 on a shared machine of 2 cores, and 6 MiB
//!   for that time. In proportion with fewer slots.
//! * Memory: 1 MiB per service (`slots` * 2 bytes).
//!
//! # Evenness (busiest / mean, equal weights) by slots and instances
//! | slots | 10 | 100 | 1000 | 10 000 |
//! |---|---|---|---|---|
//! | 65536 | 1.01 | 1.07 | 1.25 | 2.2 |
//! | 262144 | 1.006 | 1.035 | 1.15 | 1.6 |
//! | 524288 | 1.005 | 1.03 | 1.10 | 1.4 |
//! | 1048576 | 1.003 | 1.02 | 1.08 | 1.3 |
//! | 4194304 | 1.002 | 1.01 | 1.04 | 1.15 |
//!
//! # When not to use it
//! Without keys (`random` and `weighted` are smaller). For hundreds of services of few instances
//! each in one process: set `slots` to 65536 there. Where the instance behind a key must be unique
//! at any moment: no hash can promise that while memberships differ; that takes a lease.
//!
//! # Configuration
//! See [`ConsistentHashConfig`].

mod config;
mod crowd;
mod permutation;
mod table;

use skymesh_plugin_api::{PluginError, Request, Selector, View, export_plugin};

pub use crate::config::{ConsistentHashConfig, Suspects};
use crate::crowd::Crowd;
use crate::table::{Bidder, SlotTable};

/// How many owners a request asks under `bounded_load` before it takes the least full of them. With
/// a bound of 1.25 at most four fifths can be full, so that all 32 are in fewer than 1 of 1000.
const TRIES: u64 = 32;

/// How many of these tries follow from the key alone. The others follow from the load too: else one
/// key with more traffic than its 32 owners may take would press on those for ever.
const TRIES_OF_THE_KEY: u64 = 8;

/// The selector; see the crate's documentation.
#[derive(Debug)]
pub struct ConsistentHash {
    config: ConsistentHashConfig,
}

/// Who owns which slot, and, with `bounded_load`, how full the instances are.
#[derive(Debug)]
pub struct Placement {
    /// `None` for an empty view.
    slots: Option<SlotTable>,
    bound: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    factor: f64,
    crowd: Crowd,
}

impl Selector for ConsistentHash {
    const ID: &'static str = "consistent_hash";
    const DESCRIPTION: &'static str = "one instance per key; a change moves only the keys it must";
    const CONFIG_SCHEMA: &'static str = config::SCHEMA;
    const DETERMINISTIC: bool = true;
    type Config = ConsistentHashConfig;
    type Table = Placement;

    fn new(config: ConsistentHashConfig) -> Result<Self, PluginError> {
        Ok(Self { config })
    }

    fn prepare(&self, view: &View<'_>) -> Placement {
        let weights = effective_weights(view, self.config.suspects);
        let bidder = |(index, &weight): (usize, &u32)| Bidder {
            index: index as u32,
            id: view.instance(index),
            weight,
        };
        let bidders: Vec<Bidder> =
            weights.iter().enumerate().map(bidder).filter(|bidder| bidder.weight > 0).collect();
        Placement {
            slots: SlotTable::new(&bidders, self.config.slots.ilog2()),
            bound: self
                .config
                .bounded_load
                .map(|factor| Bound { factor, crowd: Crowd::new(view, &weights) }),
        }
    }

    #[inline]
    fn pick(&self, view: &View<'_>, placement: &Placement, request: &Request) -> Option<usize> {
        let slots = placement.slots.as_ref()?;
        let key = request.key().unwrap_or(request.entropy());
        let owner = slots.owner(key) as usize;
        match &placement.bound {
            None => Some(owner),
            Some(bound) => Some(bound.within(view, slots, key, owner, request.now_ns())),
        }
    }
}

impl Bound {
    /// The first owner in the key's sequence that is not full; the least full of all tries if none.
    /// Out of line: a pick without a bound saves no registers for it.
    #[inline(never)]
    fn within(
        &self,
        view: &View<'_>,
        slots: &SlotTable,
        key: u64,
        owner: usize,
        now_ns: u64,
    ) -> usize {
        self.crowd.refresh(view, now_ns);
        if self.crowd.fullness(view, owner, self.factor) <= 1.0 {
            return owner;
        }
        self.crowd.spilled(view);
        let (mut least_full, mut least) = (owner, f64::INFINITY);
        for attempt in 0..TRIES {
            let next = match attempt {
                // The owner again: the count may be fresh now.
                0 => owner,
                1..TRIES_OF_THE_KEY => slots.owner(permutation::jump(key, attempt)) as usize,
                _ => slots.owner(permutation::jump(key ^ self.crowd.total(), attempt)) as usize,
            };
            let fullness = self.crowd.fullness(view, next, self.factor);
            if fullness <= 1.0 {
                return next;
            }
            if fullness < least {
                (least_full, least) = (next, fullness);
            }
        }
        least_full
    }
}

/// The weights that count: the first of these that is not all zeros.
fn effective_weights(view: &View<'_>, suspects: Suspects) -> Vec<u32> {
    let avoided = |index: usize| suspects == Suspects::Avoid && view.is_suspect(index);
    let unless_avoided = |index: usize, weight: u32| if avoided(index) { 0 } else { weight };
    let fallbacks: [&dyn Fn(usize) -> u32; 4] = [
        &|index| unless_avoided(index, view.weight(index)),
        &|index| view.weight(index),
        &|index| unless_avoided(index, 1),
        &|_| 1,
    ];
    let masked = |weight: &dyn Fn(usize) -> u32| (0..view.len()).map(weight).collect::<Vec<u32>>();
    let mut all = fallbacks.into_iter().map(masked);
    all.find(|weights| weights.iter().any(|weight| *weight > 0)).unwrap_or_default()
}

export_plugin! { selectors: [ConsistentHash] }

#[cfg(test)]
mod tests;
