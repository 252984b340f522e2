//! The owner of what a [`View`] shows.

use std::sync::Arc;

use abi_stable::std_types::{RSlice, RStr};

use crate::abi::layout::{InstanceStats, SUSPECT, View};

/// One instance, as the host puts it into a [`Roster`].
#[derive(Debug, Clone)]
pub struct Member {
    /// The instance id.
    pub instance: u64,
    /// Relative share of the traffic.
    pub weight: u32,
    /// Its live statistics, shared by all rosters that list it.
    pub stats: Arc<InstanceStats>,
    /// Its attributes as JSON text.
    pub attributes: Arc<str>,
    /// Whether its loss is doubted.
    pub suspect: bool,
}

impl Member {
    /// A healthy instance of weight 100, with no attributes and statistics of its own.
    pub fn new(instance: u64) -> Self {
        Self {
            instance,
            weight: 100,
            stats: Arc::default(),
            attributes: "{}".into(),
            suspect: false,
        }
    }
}

/// An immutable membership: owns all that its [`View`] shows. Hosts make one per change; authors
/// make them in tests.
pub struct Roster {
    /// Points into the vectors and shared parts below, which are never touched again.
    view: View<'static>,
    _instances: Vec<u64>,
    _weights: Vec<u32>,
    _flags: Vec<u32>,
    _stats: Vec<&'static InstanceStats>,
    _attributes: Vec<RStr<'static>>,
    _owners: Vec<(Arc<InstanceStats>, Arc<str>)>,
}

impl Roster {
    /// Sorts the members by instance id; members of one id stay in the order given.
    pub fn new(members: Vec<Member>) -> Self {
        Self::at_revision(members, 0)
    }

    /// As [`new`](Self::new), with what [`View::revision`] says.
    pub fn at_revision(mut members: Vec<Member>, revision: u64) -> Self {
        members.sort_by_key(|member| member.instance);
        let instances: Vec<u64> = members.iter().map(|member| member.instance).collect();
        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        let flags: Vec<u32> =
            members.iter().map(|member| if member.suspect { SUSPECT } else { 0 }).collect();
        let owners: Vec<(Arc<InstanceStats>, Arc<str>)> =
            members.into_iter().map(|member| (member.stats, member.attributes)).collect();
        let mut stats: Vec<&'static InstanceStats> = Vec::with_capacity(owners.len());
        let mut attributes: Vec<RStr<'static>> = Vec::with_capacity(owners.len());
        for (shared_stats, text) in &owners {
            // SAFETY: the referent is behind an `Arc` in `owners`, which lives as long as the
            // roster; nothing hands this reference out for longer than a borrow of the roster.
            stats.push(unsafe { &*Arc::as_ptr(shared_stats) });
            // SAFETY: as above.
            attributes.push(RStr::from_str(unsafe { &*Arc::as_ptr(text) }));
        }
        let view = View {
            instances: lasting(&instances),
            weights: lasting(&weights),
            stats: lasting(&stats),
            attributes: lasting(&attributes),
            flags: lasting(&flags),
            revision,
            reserved: [0; 3],
        };
        Self {
            view,
            _instances: instances,
            _weights: weights,
            _flags: flags,
            _stats: stats,
            _attributes: attributes,
            _owners: owners,
        }
    }

    /// What plugins are shown.
    #[inline]
    pub fn view(&self) -> &View<'_> {
        &self.view
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster").field("view", self.view()).finish_non_exhaustive()
    }
}

/// A vector's content for as long as the roster lives: moving a vector does not move its content.
fn lasting<T>(vector: &[T]) -> RSlice<'static, T> {
    // SAFETY: the vector becomes a field of the roster, is never changed, and is dropped with it;
    // the roster shortens the lifetime to its own wherever it hands the view out.
    RSlice::from_slice(unsafe { std::slice::from_raw_parts(vector.as_ptr(), vector.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_sorted_and_follows_the_statistics() {
        let mut late = Member::new(9);
        late.suspect = true;
        late.attributes = r#"{"zone":"a"}"#.into();
        let stats = late.stats.clone();
        let roster = Roster::at_revision(vec![late, Member::new(3)], 7);
        let moved = Box::new(roster);
        let view = moved.view();
        assert_eq!((view.instances(), view.revision(), view.len()), ([3, 9].as_slice(), 7, 2));
        assert!(view.is_suspect(1) && !view.is_suspect(0));
        assert_eq!((view.weight(0), view.attributes(1)), (100, r#"{"zone":"a"}"#));
        stats.began();
        assert_eq!(view.stats(1).in_flight(), 1);
    }
}
