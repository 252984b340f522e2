//! The snapshot that messages are routed by: members, their routes, and the selector's table for
//! exactly these members. Immutable; a change of the membership makes a new one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skymesh_naming::{InstanceRecord, InstanceState, Known, Member};
use skymesh_plugin_api::Member as Candidate;
use skymesh_plugin_host::{SelectorSlot, coarse_now_ns};
use skymesh_stages::{Choice, Chooser, Ejections, Entrant, Stage, StagesConfig, ZONE, sift};
use skymesh_types::{InstanceId, Key};

use crate::peer::Route;

/// One instance that can be routed to.
#[derive(Debug)]
pub(crate) struct ViewMember {
    pub(crate) record: Arc<InstanceRecord>,
    pub(crate) route: Arc<Route>,
    /// The stage that keeps it from the selector, if any does.
    pub(crate) dropped: Option<Stage>,
    /// When it was first seen, by the coarse clock; 0 if it was there before anybody looked.
    since_ns: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct View {
    /// Sorted by instance id.
    pub(crate) members: Vec<ViewMember>,
    /// What these members were made of; `None` while nothing was known.
    pub(crate) known: Option<Known>,
    choice: Choice,
    made: Instant,
}

/// What a view is made by, beside what is known of the instances.
#[derive(Debug)]
pub(crate) struct Recipe<'a> {
    pub(crate) selector: &'a SelectorSlot,
    pub(crate) stages: &'a StagesConfig,
    pub(crate) chooser: Chooser<'a>,
    pub(crate) ejections: &'a Ejections,
    /// The one before: who is in it is not new.
    pub(crate) previous: &'a View,
}

impl View {
    pub(crate) fn loading(selector: &SelectorSlot) -> Self {
        let choice = Choice::unprepared(selector);
        Self { members: Vec::new(), known: None, choice, made: Instant::now() }
    }

    /// The view of what is known. `route` answers how to reach an instance.
    pub(crate) fn new(
        known: Option<Known>,
        recipe: &Recipe<'_>,
        route: impl Fn(&Arc<InstanceRecord>) -> Arc<Route>,
    ) -> Self {
        let Some(known) = known else {
            return Self::loading(recipe.selector);
        };
        let now_ns = coarse_now_ns();
        let judged = judge(&known.members, recipe);
        let mut members = Vec::with_capacity(known.members.len());
        let mut entrants = Vec::with_capacity(known.members.len());
        for (member, dropped) in known.members.iter().zip(judged) {
            let route = route(&member.record);
            let since_ns = recipe.previous.since_ns(&member.record).unwrap_or(now_ns);
            let chosen_from = dropped.is_none().then(|| candidate(member, &route));
            entrants.push(Entrant { member: chosen_from, since_ns });
            let record = Arc::clone(&member.record);
            members.push(ViewMember { record, route, dropped, since_ns });
        }
        let choice = Choice::new(recipe.selector, entrants, recipe.stages.slow_start, now_ns);
        Self { members, known: Some(known), choice, made: Instant::now() }
    }

    /// Since when an instance is known; `None` if it is new.
    fn since_ns(&self, record: &InstanceRecord) -> Option<u64> {
        if self.is_loading() {
            return Some(0);
        }
        let before = self.find(record.url.instance)?;
        (before.record.handle == record.handle).then_some(before.since_ns)
    }

    /// Whether nothing is known of the service yet.
    pub(crate) fn is_loading(&self) -> bool {
        self.known.is_none()
    }

    /// Which exchange of the selector this was made by.
    pub(crate) fn selector_version(&self) -> u64 {
        self.choice.selector_version()
    }

    /// The strategy that picks from it. A reload may have put another one in the slot.
    pub(crate) fn strategy(&self) -> &str {
        self.choice.strategy()
    }

    /// The member that the selector picks; `None` if there is none.
    #[inline]
    pub(crate) fn pick(&self, key: Option<Key>) -> Option<&ViewMember> {
        self.members.get(self.choice.pick(key.map(Key::get))?)
    }

    /// How long ago it was made.
    pub(crate) fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// How much of its picks a member gets while it is new, in percent.
    pub(crate) fn slow_start_percent(&self, member: usize) -> u32 {
        self.choice.slow_start_percent(member, coarse_now_ns())
    }

    /// Whether somebody was new when it was made, and nobody is any more.
    pub(crate) fn slow_start_is_over(&self) -> bool {
        self.choice.slow_start_is_over(coarse_now_ns())
    }

    pub(crate) fn find(&self, instance: InstanceId) -> Option<&ViewMember> {
        let at = self.members.binary_search_by_key(&instance, |m| m.record.url.instance).ok()?;
        self.members.get(at)
    }
}

/// Which stage drops each member.
fn judge(members: &[Member], recipe: &Recipe<'_>) -> Vec<Option<Stage>> {
    let candidates = members.iter().map(|member| skymesh_stages::Candidate {
        instance: member.record.url.instance.get(),
        draining: member.record.state == InstanceState::Draining,
        suspect: member.suspect,
        ejected: recipe.ejections.contains(member.record.handle.get()),
        zone: member.record.attributes.get(ZONE).and_then(|zone| zone.as_str()),
    });
    let candidates: Vec<_> = candidates.collect();
    sift(recipe.stages, recipe.chooser, &candidates)
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
