//! The snapshot that messages are routed by: members, their routes, and the selector's table for
//! exactly these members. Immutable; a change of the membership makes a new one.

use std::sync::Arc;

use skymesh_naming::{InstanceRecord, InstanceState, Known, Member, Resolve};
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
    pub(crate) loading: bool,
    /// Which members the selector chooses from; `None` while it is all of them.
    eligible: Option<Vec<u32>>,
    prepared: Prepared,
}

impl View {
    pub(crate) fn loading(selector: &SelectorSlot) -> Self {
        Self {
            members: Vec::new(),
            loading: true,
            eligible: None,
            prepared: selector.prepare(Vec::new()),
        }
    }

    /// The view of what is known. `route` answers how to reach an instance.
    pub(crate) fn new(
        resolve: &Resolve,
        selector: &SelectorSlot,
        route: impl Fn(&Arc<InstanceRecord>) -> Arc<Route>,
    ) -> Self {
        let known = match resolve {
            Resolve::Loading => return Self::loading(selector),
            Resolve::Empty => &Known::default(),
            Resolve::Ready(known) | Resolve::Stale(known, _) => known,
        };
        let mut members = Vec::with_capacity(known.members.len());
        let mut candidates = Vec::with_capacity(known.members.len());
        let mut eligible = Vec::new();
        for member in &known.members {
            let route = route(&member.record);
            // An instance that drains serves what it has; nothing new goes to it.
            if member.record.state != InstanceState::Draining {
                eligible.push(members.len() as u32);
                candidates.push(candidate(member, &route));
            }
            members.push(ViewMember { record: Arc::clone(&member.record), route });
        }
        let eligible = (eligible.len() < members.len()).then_some(eligible);
        Self { members, loading: false, eligible, prepared: selector.prepare(candidates) }
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
