//! The snapshot that messages are routed by: members, their routes, and the selector's table for
//! exactly these members. Immutable; a change of the membership makes a new one.

use std::sync::Arc;

use skymesh_naming::{InstanceRecord, InstanceState, Known, Member};
use skymesh_plugin_api::Member as Candidate;
use skymesh_plugin_host::{Prepared, SelectorSlot};
use skymesh_types::{InstanceId, Key};

use crate::peer::Route;

/// One instance that can be routed to.
#[derive(Debug)]
pub(crate) struct ViewMember {
    pub(crate) record: Arc<InstanceRecord>,
    pub(crate) route: Arc<Route>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct View {
    /// Sorted by instance id.
    pub(crate) members: Vec<ViewMember>,
    /// What these members were made of; `None` while nothing was known.
    pub(crate) known: Option<Known>,
    /// Which members the selector chooses from; `None` while it is all of them.
    eligible: Option<Vec<u32>>,
    prepared: Prepared,
}

impl View {
    pub(crate) fn loading(selector: &SelectorSlot) -> Self {
        let prepared = selector.prepare(Vec::new());
        Self { members: Vec::new(), known: None, eligible: None, prepared }
    }

    /// The view of what is known. `route` answers how to reach an instance.
    pub(crate) fn new(
        known: Option<Known>,
        selector: &SelectorSlot,
        route: impl Fn(&Arc<InstanceRecord>) -> Arc<Route>,
    ) -> Self {
        let Some(known) = known else {
            return Self::loading(selector);
        };
        let mut members = Vec::with_capacity(known.members.len());
        let mut candidates = Vec::with_capacity(known.members.len());
        let mut eligible = Vec::new();
        for member in &*known.members {
            let route = route(&member.record);
            // An instance that drains serves what it has; nothing new goes to it.
            if member.record.state != InstanceState::Draining {
                eligible.push(members.len() as u32);
                candidates.push(candidate(member, &route));
            }
            members.push(ViewMember { record: Arc::clone(&member.record), route });
        }
        let eligible = (eligible.len() < members.len()).then_some(eligible);
        let prepared = selector.prepare(candidates);
        Self { members, known: Some(known), eligible, prepared }
    }

    /// Whether nothing is known of the service yet.
    pub(crate) fn is_loading(&self) -> bool {
        self.known.is_none()
    }

    /// Which exchange of the selector this was made by.
    pub(crate) fn selector_version(&self) -> u64 {
        self.prepared.version()
    }

    /// The member that the selector picks; `None` if there is none.
    #[inline]
    pub(crate) fn pick(&self, key: Option<Key>) -> Option<&ViewMember> {
        let picked = self.prepared.pick(key.map(Key::get))?;
        let index = match &self.eligible {
            None => picked,
            Some(eligible) => *eligible.get(picked)? as usize,
        };
        self.members.get(index)
    }

    pub(crate) fn find(&self, instance: InstanceId) -> Option<&ViewMember> {
        let at = self.members.binary_search_by_key(&instance, |m| m.record.url.instance).ok()?;
        self.members.get(at)
    }
}

fn candidate(member: &Member, route: &Route) -> Candidate {
    Candidate {
        instance: member.record.url.instance.get(),
        weight: member.record.weight,
        stats: Arc::clone(&route.stats),
        attributes: member.record.attributes.to_text().into(),
        suspect: member.suspect,
    }
}
