//! What a selector sees of the membership. The host owns it; it never changes once made.

use crate::abi::layout::{SUSPECT, View};
use crate::{InstanceStats, Roster};

impl<'a> View<'a> {
    /// How many instances there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether there is no instance at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of the instance at `index`: the number in its URL. Ids ascend with the index and are
    /// the same in every process, so what is computed from them is the same everywhere.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len), as all accessors here.
    #[inline]
    pub fn instance(&self, index: usize) -> u64 {
        self.instances.as_slice()[index]
    }

    /// All instance ids, ascending.
    #[inline]
    pub fn instances(&self) -> &'a [u64] {
        self.instances.as_slice()
    }

    /// Relative share of the traffic that the instance asks for; 100 unless registered otherwise.
    /// 0 asks for none, but an instance of weight 0 may be picked where nothing else is left.
    #[inline]
    pub fn weight(&self, index: usize) -> u32 {
        self.weights.as_slice()[index]
    }

    /// All weights, in the order of the instances.
    #[inline]
    pub fn weights(&self) -> &'a [u32] {
        self.weights.as_slice()
    }

    /// Live statistics of the instance. They outlive the view: a new membership goes on with them.
    #[inline]
    pub fn stats(&self, index: usize) -> &'a InstanceStats {
        self.stats.as_slice()[index]
    }

    /// The instance's attributes as JSON text. Parse it in
    /// [`prepare`](crate::Selector::prepare), never in a pick.
    pub fn attributes(&self, index: usize) -> &'a str {
        self.attributes.as_slice()[index].as_str()
    }

    /// Whether the instance's loss is doubted. Prefer others; use it if there is no other.
    #[inline]
    pub fn is_suspect(&self, index: usize) -> bool {
        self.flags.as_slice()[index] & SUSPECT != 0
    }

    /// Indices of the instances that take part where all are asked alike: the first of these groups
    /// that is not empty. Healthy instances of weight above 0; suspect ones of weight above 0;
    /// healthy ones (all drained); all. Empty only for an empty view.
    ///
    /// One pass over the view for each group that is looked at: for
    /// [`prepare`](crate::Selector::prepare), not for a pick.
    pub fn eligible(&self) -> Box<[u32]> {
        let healthy = |index: usize| !self.is_suspect(index);
        let wanted = |index: usize| self.weight(index) > 0;
        let groups: [&dyn Fn(usize) -> bool; 4] =
            [&|index| healthy(index) && wanted(index), &wanted, &healthy, &|_| true];
        let members = |of_group: &dyn Fn(usize) -> bool| -> Box<[u32]> {
            (0..self.len()).filter(|&index| of_group(index)).map(|index| index as u32).collect()
        };
        groups.into_iter().map(members).find(|group| !group.is_empty()).unwrap_or_default()
    }

    /// Counts the memberships of this service as this process saw them: two views of one service
    /// with equal revisions have equal instances, weights and attributes. 0 where it is not known.
    #[inline]
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("revision", &self.revision)
            .field("instances", &self.instances())
            .finish_non_exhaustive()
    }
}

impl<'a> From<&'a Roster> for View<'a> {
    fn from(roster: &'a Roster) -> Self {
        *roster.view()
    }
}
