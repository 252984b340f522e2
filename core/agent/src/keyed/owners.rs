//! Who owns which key: a pure function of the members of a placement, the same in every process that
//! has the same selector configured. What is measured here (round-trip times, who seems dead) has no
//! part in it, or two processes would send one key to two instances. Neither has what only one process
//! meets: where its selector fails or is missing, the keys have no owner there.

use std::sync::{Arc, Mutex, PoisonError};

use skymesh_naming::InstanceRecord;
use skymesh_naming::placement::Placing;
use skymesh_plugin_api::{Member as Candidate, Request};
use skymesh_plugin_host::{Prepared, SelectorSlot, SlotHealth};
use skymesh_types::{Handle, Share};

/// How many tables are kept: the present one, that of the round, and the one before.
const TABLES: usize = 3;

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
    /// Rendezvous hashing over these seeds (Thaler and Ravishankar 1998): the highest bid owns.
    Rendezvous(Vec<u64>),
}

impl Owners {
    /// Of no members.
    pub(super) const fn nobody() -> Self {
        Self { bounds: Vec::new(), hashed: Vec::new(), table: Table::Rendezvous(Vec::new()) }
    }

    /// Runs plugin code, which may take milliseconds.
    fn new(members: &[Arc<InstanceRecord>], selector: &SelectorSlot) -> Self {
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
        let weight = |at: usize| members[at].weight;
        let candidate = |(share, at): &(Share, usize)| Candidate {
            weight: weight(*at),
            ..Candidate::new(share.get())
        };
        let table = match selector.health() {
            SlotHealth::Builtin => {
                Table::Rendezvous(hashed.iter().map(|(share, _)| mix(share.get())).collect())
            }
            SlotHealth::Missing { .. } => Table::Missing,
            _ => Table::Selector(selector.prepare(hashed.iter().map(candidate).collect())),
        };
        Self {
            bounds: bounds.collect(),
            hashed: hashed.into_iter().map(|(_, at)| at).collect(),
            table,
        }
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
            Table::Missing if !self.hashed.is_empty() => return None,
            Table::Rendezvous(seeds) => highest_bid(seeds, key),
            Table::Selector(_) | Table::Missing => None,
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

/// What owners depend on.
type Print = (Handle, u64, u32);

fn print(member: &InstanceRecord) -> Print {
    (member.handle, member.hash_key, member.weight)
}

#[derive(Debug)]
struct Made {
    version: u64,
    members: Vec<Print>,
    owners: Arc<Owners>,
}

impl Made {
    /// Another selector changes no owners while the members stay; but what never named one is made
    /// anew.
    fn is_of(&self, version: u64, members: &[Arc<InstanceRecord>]) -> bool {
        let same = || self.members.iter().copied().eq(members.iter().map(|m| print(m)));
        (self.version == version || !matches!(self.owners.table, Table::Missing)) && same()
    }
}

/// Makes the owners of each set of members once, with the selector that is configured then.
#[derive(Debug)]
pub(crate) struct Tables {
    selector: SelectorSlot,
    made: Mutex<Vec<Made>>,
}

impl Tables {
    pub(crate) fn new(selector: SelectorSlot) -> Self {
        Self { selector, made: Mutex::default() }
    }

    pub(crate) fn owners(&self, members: &[Arc<InstanceRecord>]) -> Arc<Owners> {
        let version = self.selector.version();
        if let Some(owners) = self.known(version, members) {
            return owners;
        }
        // Not under the lock: a plugin may take its time.
        let owners = Arc::new(Owners::new(members, &self.selector));
        let prints = members.iter().map(|member| print(member)).collect();
        if let Some(first) = self.known(version, members) {
            // Somebody else was faster: one table for each set.
            return first;
        }
        let mut made = self.lock();
        made.truncate(TABLES - 1);
        made.insert(0, Made { version, members: prints, owners: Arc::clone(&owners) });
        owners
    }

    /// The latest used stay.
    fn known(&self, version: u64, members: &[Arc<InstanceRecord>]) -> Option<Arc<Owners>> {
        let mut made = self.lock();
        let at = made.iter().position(|made| made.is_of(version, members))?;
        made[..=at].rotate_right(1);
        Some(Arc::clone(&made[0].owners))
    }

    /// What serves, for those who find no owner.
    pub(super) fn selector(&self) -> String {
        match self.selector.health() {
            SlotHealth::Missing { reason } => format!("the selector is missing: {reason}"),
            _ => format!("the selector {} names none", self.selector.strategy()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same tables, as the rules of placements ask for owners.
#[derive(Debug)]
pub(super) struct ByTable(pub(super) Arc<Tables>);

impl Placing for ByTable {
    fn owner(&self, members: &[Arc<InstanceRecord>], key: u64) -> Option<usize> {
        self.0.owners(members).owner(key)
    }
}

#[cfg(test)]
mod tests;
