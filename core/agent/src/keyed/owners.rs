//! Who owns which key: a pure function of the members of a placement, the same in every process that
//! has the same selector configured. What is measured here (round-trip times, who seems dead) has no
//! part in it, or two processes would send one key to two instances. Neither has what only one process
//! meets: where its selector fails or is missing, the keys have no owner there.

use std::sync::Arc;

use skymesh_naming::InstanceRecord;
use skymesh_plugin_api::{Member as Candidate, Request};
use skymesh_plugin_host::{Prepared, SelectorSlot, SlotHealth};
use skymesh_types::Share;

/// The owners among one set of members.
#[derive(Debug)]
pub(crate) struct Owners {
    /// Explicit shares: the highest key and the member, by the key.
    bounds: Vec<(u64, usize)>,
    /// Hashed shares: the members, by their share.
    hashed: Vec<usize>,
    table: Table,
}

#[derive(Debug)]
enum Table {
    /// What the configured selector made of the shares.
    Selector(Prepared),
    /// It can't be had here, and in other processes maybe can.
    Missing,
    /// It has not been prepared, or not in time.
    Unready,
    /// Rendezvous hashing over these seeds (Thaler and Ravishankar 1998): the highest bid owns.
    Rendezvous(Vec<u64>),
}

impl Owners {
    /// Of no members.
    pub(super) const fn nobody() -> Self {
        Self { bounds: Vec::new(), hashed: Vec::new(), table: Table::Rendezvous(Vec::new()) }
    }

    /// May run plugin code, which may take milliseconds or for ever: see
    /// [`need_selector`](Self::need_selector).
    pub(super) fn new(members: &[Arc<InstanceRecord>], selector: &SelectorSlot) -> Self {
        let candidate = |(share, at): &(Share, usize)| Candidate {
            weight: members[*at].weight,
            ..Candidate::new(share.get())
        };
        Self::of(members, |hashed| match selector.health() {
            SlotHealth::Builtin => {
                Table::Rendezvous(hashed.iter().map(|(share, _)| mix(share.get())).collect())
            }
            SlotHealth::Missing { .. } => Table::Missing,
            _ if hashed.is_empty() => Table::Rendezvous(Vec::new()),
            _ => Table::Selector(selector.prepare(hashed.iter().map(candidate).collect())),
        })
    }

    /// Without what only a selector can say.
    pub(super) fn unready(members: &[Arc<InstanceRecord>]) -> Self {
        Self::of(members, |_| Table::Unready)
    }

    /// Whether a selector has to be asked who owns what among `members`: not where each of them says it.
    pub(super) fn need_selector(members: &[Arc<InstanceRecord>]) -> bool {
        let share = |member: &Arc<InstanceRecord>| Share::from_wire(member.hash_key);
        members.iter().filter_map(share).any(|share| share.bound().is_none())
    }

    fn of(members: &[Arc<InstanceRecord>], table: impl FnOnce(&[(Share, usize)]) -> Table) -> Self {
        let mut shares: Vec<(Share, usize)> = members
            .iter()
            .enumerate()
            .filter_map(|(index, member)| Some((Share::from_wire(member.hash_key)?, index)))
            .collect();
        // Stable, so of equal shares the lowest instance id comes first.
        shares.sort_by_key(|(share, _)| *share);
        shares.dedup_by_key(|(share, _)| *share);
        let (explicit, hashed): (Vec<_>, Vec<_>) =
            shares.into_iter().partition(|(share, _)| share.bound().is_some());
        let bounds = explicit.iter().filter_map(|(share, at)| Some((share.bound()?, *at)));
        Self {
            bounds: bounds.collect(),
            table: table(&hashed),
            hashed: hashed.into_iter().map(|(_, at)| at).collect(),
        }
    }

    /// Whether the table is still to come.
    pub(super) const fn is_unready(&self) -> bool {
        matches!(self.table, Table::Unready)
    }

    /// Whether there is a table. What has named owners goes on as long as the members stay.
    pub(super) const fn can_name(&self) -> bool {
        !matches!(self.table, Table::Unready | Table::Missing)
    }

    /// The owner's index; `None` if there is none, or the selector fails. Neither waits nor allocates.
    #[inline]
    pub(crate) fn owner(&self, key: u64) -> Option<usize> {
        let bound = self.bounds.partition_point(|(bound, _)| *bound < key);
        if let Some((_, at)) = self.bounds.get(bound) {
            return Some(*at);
        }
        let hashed = match &self.table {
            // Entropy, clock and thread as given, so that even a selector that would use them picks
            // alike everywhere.
            Table::Selector(prepared) if !self.hashed.is_empty() => {
                let request = Request::new(Some(key), mix(key), 0, 0);
                // Where it fails, another process may know the owner: nobody serves in its place.
                prepared.pick_strictly(&request).ok()?
            }
            Table::Missing | Table::Unready if !self.hashed.is_empty() => return None,
            Table::Rendezvous(seeds) => highest_bid(seeds, key),
            Table::Selector(_) | Table::Missing | Table::Unready => None,
        };
        let hashed = hashed.and_then(|index| self.hashed.get(index));
        hashed.or(self.bounds.first().map(|(_, at)| at)).copied()
    }
}

fn highest_bid(seeds: &[u64], key: u64) -> Option<usize> {
    let key = mix(key ^ 0x9e37_79b9_7f4a_7c15);
    let bids = seeds.iter().enumerate().map(|(index, seed)| (mix(seed ^ key), index));
    bids.max().map(|(_, index)| index)
}

/// SplitMix64's finish (Stafford's variant 13): every bit of the input stirs every bit.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
pub(super) mod tests;
