//! The owners of each set of members: made once, with the selector that is configured then. What only a
//! selector can say is made on a thread of its own, since preparing a table is a plugin's work; nobody
//! waits for it but the carrier of that service, and that for a time. Until it is there, its keys have no
//! owner here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skymesh_naming::InstanceRecord;
use skymesh_naming::placement::Placing;
use skymesh_plugin_host::{SelectorSlot, SlotHealth};
use skymesh_types::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::owners::Owners;
use crate::directory::PATIENCE;

/// How many tables are kept: the present one, that of the round, that of the round asked for behind it,
/// and the one before.
const TABLES: usize = 4;

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
        (self.version == version || self.owners.can_name()) && same()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tables {
    selector: SelectorSlot,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The latest used first.
    made: Vec<Made>,
    /// What the selector is at.
    making: Option<Making>,
    last_making: u64,
}

/// Owners that are being made.
#[derive(Debug)]
struct Making {
    number: u64,
    /// Of the selector that makes them.
    version: u64,
    late: bool,
}

impl Tables {
    pub(crate) fn new(selector: SelectorSlot) -> Self {
        Self { selector, state: Mutex::default() }
    }

    /// The owners among `members`. Where the selector was not asked yet, or has not answered in time,
    /// they name none of what only it knows. Runs no plugin code.
    pub(crate) fn owners(&self, members: &[Arc<InstanceRecord>]) -> Arc<Owners> {
        let version = self.selector.version();
        let mut state = self.lock();
        if let Some(owners) = state.known(version, members) {
            return owners;
        }
        if self.needs_selector(members) {
            return Arc::new(Owners::unready(members));
        }
        let owners = Arc::new(Owners::new(members, &self.selector));
        let before = state.keep(version, members, Arc::clone(&owners));
        drop(state);
        // Not under the lock: the end of a table is a plugin's work as well.
        drop(before);
        owners
    }

    /// Whether the selector has to be asked for the owners among `members`.
    pub(super) fn wants(&self, members: &[Arc<InstanceRecord>]) -> bool {
        let known = self.lock().known(self.selector.version(), members).is_some();
        !known && self.needs_selector(members)
    }

    fn needs_selector(&self, members: &[Arc<InstanceRecord>]) -> bool {
        let plugin =
            !matches!(self.selector.health(), SlotHealth::Builtin | SlotHealth::Missing { .. });
        plugin && Owners::need_selector(members)
    }

    /// Has the selector prepare the owners of each of `sets`, and waits up to [`PATIENCE`] for it; after
    /// that their keys have no owner until it is done, of which `remade` is told. One that has not come back
    /// from the last time is not asked again before. Cancel safe: it goes on.
    pub(super) async fn make(
        self: Arc<Self>,
        sets: Vec<Vec<Arc<InstanceRecord>>>,
        remade: impl FnOnce() + Send + 'static,
    ) {
        let version = self.selector.version();
        let Some(number) = self.begin(version) else { return self.note_unready(version, &sets) };
        let (done, finished) = oneshot::channel();
        let (tables, its_sets) = (Arc::clone(&self), sets.clone());
        let work = move || {
            let of = |set: &Vec<_>| Arc::new(Owners::new(set, &tables.selector));
            let made: Vec<_> = its_sets.iter().map(of).collect();
            if tables.finish(number, version, &its_sets, &made) {
                remade();
            }
            // Who waited may have gone.
            let _ = done.send(());
        };
        match std::thread::Builder::new().name("skymesh-owners".to_owned()).spawn(work) {
            Ok(_) if timeout(PATIENCE, finished).await.is_ok() => {}
            Ok(_) => self.give_up(number, version, &sets),
            Err(error) => {
                tracing::error!(%error, "no thread to prepare a stateful service's owners on");
                self.abandon(number);
                self.note_unready(version, &sets);
            }
        }
    }

    /// The number of a new making; `None` while the selector is still at the one before.
    fn begin(&self, version: u64) -> Option<u64> {
        let mut state = self.lock();
        if state.making.as_ref().is_some_and(|making| making.version == version) {
            return None;
        }
        state.last_making += 1;
        let number = state.last_making;
        state.making = Some(Making { number, version, late: false });
        Some(number)
    }

    /// They are there. Answers whether that is late, so that others were gone by meanwhile.
    fn finish(
        &self,
        number: u64,
        version: u64,
        sets: &[Vec<Arc<InstanceRecord>>],
        made: &[Arc<Owners>],
    ) -> bool {
        let mut state = self.lock();
        let making = state.making.take_if(|making| making.number == number);
        let late = making.as_ref().is_some_and(|making| making.late);
        if making.is_none() || self.selector.version() != version {
            // By a selector in whose place there is another one.
            return late;
        }
        // What was asked for meanwhile is to be asked for again.
        let all = std::mem::take(&mut state.made);
        let (stay, mut gone): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|made| made.version != version || !made.owners.is_unready());
        state.made = stay;
        for (set, owners) in sets.iter().zip(made).rev() {
            gone.extend(state.keep(version, set, Arc::clone(owners)));
        }
        drop(state);
        drop(gone);
        if late {
            self.selector.note_late(version, false);
            tracing::warn!(
                selector = self.selector.strategy(),
                "a stateful service's owners are there, late"
            );
        }
        late
    }

    /// They are not there in time.
    fn give_up(&self, number: u64, version: u64, sets: &[Vec<Arc<InstanceRecord>>]) {
        let mut state = self.lock();
        let Some(making) = state.making.as_mut().filter(|making| making.number == number) else {
            // Just now they are, or another selector is at work.
            return;
        };
        making.late = true;
        drop(state);
        self.selector.note_late(version, true);
        self.note_unready(version, sets);
        tracing::error!(
            selector = self.selector.strategy(),
            "the selector has not prepared a stateful service's owners within {PATIENCE:?}: what is sent by key is refused"
        );
    }

    fn abandon(&self, number: u64) {
        self.lock().making.take_if(|making| making.number == number);
    }

    /// Has nobody asked for them again until something changes.
    fn note_unready(&self, version: u64, sets: &[Vec<Arc<InstanceRecord>>]) {
        let mut state = self.lock();
        let mut before = Vec::new();
        for set in sets.iter().rev() {
            if state.known(version, set).is_none() {
                before.extend(state.keep(version, set, Arc::new(Owners::unready(set))));
            }
        }
        drop(state);
        drop(before);
    }

    /// What serves, for those who find no owner.
    pub(super) fn selector(&self, owners: &Owners) -> String {
        match self.selector.health() {
            SlotHealth::Missing { reason } => format!("the selector is missing: {reason}"),
            _ if owners.is_unready() => {
                let strategy = self.selector.strategy();
                format!("the selector {strategy} has not prepared its table within {PATIENCE:?}")
            }
            _ => format!("the selector {} names none", self.selector.strategy()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(&mut self, version: u64, members: &[Arc<InstanceRecord>]) -> Option<Arc<Owners>> {
        let at = self.made.iter().position(|made| made.is_of(version, members))?;
        self.made[..=at].rotate_right(1);
        Some(Arc::clone(&self.made[0].owners))
    }

    /// Keeps owners in the place of such of the same members; answers what is not kept any more.
    fn keep(
        &mut self,
        version: u64,
        members: &[Arc<InstanceRecord>],
        owners: Arc<Owners>,
    ) -> Vec<Made> {
        let members: Vec<Print> = members.iter().map(|member| print(member)).collect();
        let all = std::mem::take(&mut self.made);
        let (mut gone, stay): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|made| made.members == members);
        self.made = stay;
        self.made.insert(0, Made { version, members, owners });
        gone.extend(self.made.drain(TABLES.min(self.made.len())..));
        gone
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
