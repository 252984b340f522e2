//! When the direct way opens: once nothing is held and nothing moves, and the owners are there.

use std::sync::Arc;

use skymesh_naming::InstanceRecord;
use skymesh_naming::placement::PlacementInput;

use super::Carrier;
use crate::keyed::Kept;
use crate::keyed::placed::{Line, Live, Placed};

impl Carrier {
    /// Has the selector find the owners that are asked for once `input` is taken in, if there are any
    /// that it was not asked for. Not here: it may take its time.
    pub(super) fn make_owners(&mut self, input: &PlacementInput<Kept>) -> bool {
        let mut sets = self.router.foreseen(input);
        sets.retain(|members| self.keyed.tables.wants(members));
        let needed = !sets.is_empty();
        if needed {
            self.make(sets);
        }
        needed
    }

    fn make(&mut self, sets: Vec<Vec<Arc<InstanceRecord>>>) {
        let keyed = Arc::clone(&self.keyed);
        let remade = move || keyed.remade();
        self.making.spawn(Arc::clone(&self.keyed.tables).make(sets, remade));
    }

    /// Lets others go where nothing waits for room any more; all, if the snapshot has ended.
    pub(super) fn show_passed(&mut self) {
        if self.shown.is_empty() {
            return;
        }
        let live = self.keyed.placed().is_live();
        self.shown.retain(|(to, line)| {
            let waits = live && self.lines.is_busy(*to);
            if !waits {
                line.pass();
            }
            waits
        });
    }

    /// Opens the direct way if nothing is held and nothing moves. Where messages wait for room, others
    /// wait behind them, which is nothing to the other members.
    pub(super) fn open(&mut self) {
        let Some(placement) = &self.placement else { return };
        if self.keyed.placed().is_live() {
            return;
        }
        if !self.stands_still() && self.keyed.tables.wants(&placement.members) {
            // Another selector, or the same with more time: what it was not asked for before.
            let members = placement.members.to_vec();
            self.make(vec![members]);
        }
        let Some(placement) = &self.placement else { return };
        let quiet = self.router.is_quiet() && self.settling.is_none() && !self.stands_still();
        self.keyed.set_closing(quiet);
        if !quiet {
            return;
        }
        let runtime = &self.runtime;
        let route = |member| runtime.directory.placed_route(runtime, member);
        let routes: Option<Vec<_>> = placement.members.iter().map(route).collect();
        let Some(routes) = routes else {
            // One is gone, and word of it is on its way: until then all goes over the desk.
            return self.keyed.set_closing(false);
        };
        let shown: Vec<_> = placement
            .members
            .iter()
            .map(|member| self.lines.is_busy(member.handle).then(Arc::default))
            .collect();
        let waits = |(member, line): (&Arc<InstanceRecord>, &Option<Arc<Line>>)| {
            Some((member.handle, Arc::clone(line.as_ref()?)))
        };
        let waiting: Vec<_> = placement.members.iter().zip(&shown).filter_map(waits).collect();
        let owners = self.keyed.tables.owners(&placement.members);
        let placed = Placed {
            epoch: placement.epoch,
            tag: self.keyed.tag,
            members: Arc::clone(&placement.members),
            owners: Arc::clone(&owners),
            routes: routes.clone(),
            lines: if waiting.is_empty() { Vec::new() } else { shown },
            live: Live::new(true),
        };
        if self.keyed.open(placed) {
            routes.iter().for_each(|route| self.lines.note_used(route));
            self.shown.drain(..).for_each(|(_, line)| line.pass());
            self.shown = waiting;
            // Who made others after these were looked up, and before the snapshot was in place, saw the one
            // before, and told nobody.
            let latest = self.keyed.tables.owners(&placement.members);
            if !owners.can_name() && !Arc::ptr_eq(&owners, &latest) {
                self.keyed.remade();
            }
        }
    }
}
