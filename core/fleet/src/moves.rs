//! Which keys move when the membership changes, seen by an instance of the plugin that makes no calls.

use skymesh_plugin_host::{Member, Prepared, Request, SelectorSlot};

use crate::client::listed;
use crate::crowd::Crowd;
use crate::outcome::KeysMoved;
use crate::server::Server;

/// A selector goes by keys if it sends this share of them to the same server again. Those that pass
/// on what is too much for one server do so with some.
const BY_KEY: f64 = 0.9;

/// Looks at every change.
#[derive(Debug)]
pub(crate) struct Moves {
    slot: SelectorSlot,
    view: View,
    sum: Option<KeysMoved>,
}

/// Who serves each key.
#[derive(Debug)]
struct View {
    members: Vec<usize>,
    homes: Vec<Option<usize>>,
    by_key: bool,
}

impl Moves {
    pub(crate) fn new(slot: SelectorSlot, servers: &[Server]) -> Self {
        let view = View::of(&slot, servers);
        Self { slot, view, sum: None }
    }

    /// Servers have come or gone.
    pub(crate) fn note_change(&mut self, servers: &[Server]) {
        let now = View::of(&self.slot, servers);
        let before = std::mem::replace(&mut self.view, now);
        if !(before.by_key && self.view.by_key) {
            return;
        }
        let sum = self.sum.get_or_insert_default();
        for (old, new) in before.homes.iter().zip(&self.view.homes) {
            let left = old.is_some_and(|old| !self.view.members.contains(&old));
            let came = new.is_some_and(|new| !before.members.contains(&new));
            sum.keys += 1;
            sum.moved += u64::from(old != new);
            sum.least += u64::from(left || came);
        }
    }

    pub(crate) fn sum(&self) -> Option<KeysMoved> {
        self.sum
    }
}

impl View {
    fn of(slot: &SelectorSlot, servers: &[Server]) -> Self {
        let members = listed(servers);
        let member = |server: &usize| Member {
            weight: servers[*server].weight,
            ..Member::new(*server as u64 + 1)
        };
        let prepared = slot.prepare(members.iter().map(member).collect());
        let homes = |prepared: &Prepared, entropy: u64| -> Vec<Option<usize>> {
            let request = |key: u64| Request::new(Some(key), key.rotate_left(17) ^ entropy, 1, 0);
            let picks = Crowd::sample().map(|key| prepared.pick_as(&request(key)));
            picks.map(|index| index.map(|index| members[index])).collect()
        };
        let (first, again) = (homes(&prepared, 0), homes(&prepared, 0xD134_2543_DE82_EF95));
        let same = first.iter().zip(&again).filter(|(first, again)| first == again).count();
        let by_key = members.len() > 1 && same as f64 >= BY_KEY * first.len() as f64;
        Self { homes: first, by_key, members }
    }
}
