//! The task of one stateful service: does what the rules of placements say with what comes to the
//! desk. It waits for nothing but its own events: where a destination has no room, the messages to it
//! queue up, and those to others go on.

mod lines;
mod opening;
mod switching;

use std::collections::VecDeque;
use std::sync::Arc;

use skymesh_naming::placement::{
    Bounced, Epoch, HoldLimits, KeyedRouter, Parcel, Placement, PlacementAction, PlacementInput,
    RoundId, Undelivered,
};
use skymesh_types::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::desk::Entry;
use super::placed::{Line, PlacedKey};
use super::tables::ByTable;
use super::{Kept, Keyed};
use crate::inbox::{Event, UnroutedReason};
use crate::peer::{NotPosted, Refusal};
use crate::runtime::Runtime;
use lines::{Lines, Waiting};

/// See the module.
pub(super) struct Carrier {
    runtime: Arc<Runtime>,
    keyed: Arc<Keyed>,
    router: KeyedRouter<ByTable, Kept>,
    /// The placement that the router is at.
    placement: Option<Placement>,
    entries: VecDeque<Entry>,
    actions: Vec<PlacementAction<Kept>>,
    lines: Lines,
    /// What the snapshot says of them.
    shown: Vec<(Handle, Arc<Line>)>,
    /// A round that waits until what was sent before it is out.
    settling: Option<RoundId>,
    /// Rounds that wait until what is out has arrived.
    arriving: JoinSet<RoundId>,
    /// The next placement waits until what was sent by this one has arrived or come back, so that
    /// later messages of a key do not overtake it. Nothing else is done until then, and nothing sent.
    switching: JoinSet<()>,
    /// What comes next needs owners that the selector is asked for. It waits for them, and all that came
    /// after it.
    making: JoinSet<()>,
}

impl Carrier {
    pub(super) fn new(runtime: Arc<Runtime>, keyed: Arc<Keyed>) -> Self {
        // The desk bounds what is taken over, all that is kept anywhere together.
        let (parcels, bytes, time) = (usize::MAX, usize::MAX, keyed.limits.time);
        let limits = HoldLimits { parcels, bytes, time };
        let router = KeyedRouter::new(ByTable(Arc::clone(&keyed.tables)), limits);
        Self {
            runtime,
            keyed,
            router,
            placement: None,
            entries: VecDeque::new(),
            actions: Vec::new(),
            lines: Lines::default(),
            shown: Vec::new(),
            settling: None,
            arriving: JoinSet::new(),
            switching: JoinSet::new(),
            making: JoinSet::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let stopped = self.runtime.stopped.clone();
        tokio::select! {
            () = stopped.cancelled() => {}
            () = self.carry() => {}
        }
        let left = self.keyed.end();
        self.show_passed();
        self.runtime.counters.keyed_undelivered.add(left as u64);
    }

    async fn carry(&mut self) {
        loop {
            let due = self.router.next_deadline().filter(|_| !self.is_switching());
            let at =
                Instant::now() + due.unwrap_or_default().saturating_sub(self.runtime.elapsed());
            tokio::select! {
                // Work last: clients that send without end are not to keep out what ends a wait.
                biased;
                Some(()) = self.lines.room() => {}
                Some(round) = self.arriving.join_next() => {
                    // What came back before the answer is at the desk already, and goes first.
                    self.take_entries();
                    if let Ok(round) = round {
                        self.settled(round);
                    }
                }
                Some(_) = self.switching.join_next() => self.switch(),
                Some(_) = self.making.join_next() => {}
                () = sleep_until(at), if due.is_some() => self.feed(PlacementInput::Tick),
                () = self.keyed.work.notified() => {}
            }
            self.advance();
        }
    }

    /// Does what can be done now.
    fn advance(&mut self) {
        self.take_entries();
        self.send_on();
        self.settle();
        self.show_passed();
        self.open();
    }

    fn take_entries(&mut self) {
        self.keyed.take(&mut self.entries);
        while !self.stands_still()
            && let Some(entry) = self.entries.pop_front()
        {
            match entry {
                Entry::Parcel(parcel) => self.offer(parcel),
                Entry::Input(input) if self.make_owners(&input) => {
                    self.entries.push_front(Entry::Input(input));
                }
                Entry::Input(PlacementInput::Placed(next)) if self.is_newer(&next) => {
                    self.entries.push_front(Entry::Input(PlacementInput::Placed(next)));
                    self.begin_switch();
                }
                Entry::Input(input) => self.feed(input),
            }
        }
        if self.stands_still() && !self.is_switching() {
            self.take_back();
        }
    }

    /// Whether nothing is taken but what comes back.
    fn stands_still(&self) -> bool {
        !self.switching.is_empty() || !self.making.is_empty()
    }

    /// Takes only what comes back: others of its key that are out are to be waited for.
    fn take_back(&mut self) {
        for back in self.bounced() {
            self.feed(PlacementInput::Bounced(back));
        }
    }

    /// What has come back by now; all else stays where it is.
    fn bounced(&mut self) -> Vec<Bounced<Kept>> {
        self.keyed.take(&mut self.entries);
        let (mut bounced, mut others) = (Vec::new(), VecDeque::with_capacity(self.entries.len()));
        for entry in std::mem::take(&mut self.entries) {
            match entry {
                Entry::Input(PlacementInput::Bounced(back)) => bounced.push(back),
                other => others.push_back(other),
            }
        }
        self.entries = others;
        bounced
    }

    fn offer(&mut self, parcel: Parcel<Kept>) {
        let now = self.runtime.elapsed();
        let offered = self.router.offer(now, parcel, &mut self.actions);
        if let Err(full) = offered {
            // The router's own limits are out of reach.
            self.give_back(&full.parcel, UnroutedReason::WrongEpoch);
        }
        self.perform();
    }

    fn feed(&mut self, input: PlacementInput<Kept>) {
        if let PlacementInput::Placed(placement) = &input {
            // Never back: a later word may have been fed first by another task.
            if self.placement.as_ref().is_some_and(|known| known.epoch > placement.epoch) {
                return;
            }
            self.placement = Some(placement.clone());
        }
        let known = self.placement.is_some();
        self.router.handle(self.runtime.elapsed(), input, &mut self.actions);
        self.perform();
        if known {
            self.keyed.note_known();
        }
    }

    /// Does what the router says, what follows from it included.
    fn perform(&mut self) {
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: PlacementAction<Kept>) {
        match action {
            PlacementAction::Send { to, epoch, parcel } => {
                let waiting = Waiting::new(to, epoch, parcel);
                if self.lines.is_busy(waiting.to.handle) {
                    self.lines.push(waiting);
                } else {
                    self.send(waiting);
                }
            }
            PlacementAction::Settle(round) => {
                // Also if it was named before: messages may have left since.
                self.arriving = JoinSet::new();
                self.lines.mark();
                self.settling = Some(round);
            }
            PlacementAction::Prepared(round) => {
                self.runtime.errands.prepared(self.keyed.name.clone(), round);
            }
            PlacementAction::Undelivered(parcel, why) => self.give_back(&parcel, reason(why)),
        }
    }

    /// Sends a message, or has it wait for room. Answers whether there was.
    fn send(&mut self, mut waiting: Waiting) -> bool {
        let (to, epoch) = (waiting.to.handle, waiting.epoch);
        let Some(route) = self.runtime.directory.placed_route(&self.runtime, &waiting.to) else {
            self.returned(waiting.parcel, epoch, None);
            return true;
        };
        if waiting.parcel.message.told.is_some_and(|told| told != to) {
            // Before it is sent, so that the answer comes after this.
            waiting.parcel.message.told = Some(to);
            self.tell_rerouted(&waiting.parcel.message, to);
        }
        let kept = &waiting.parcel.message;
        let key = PlacedKey {
            key: waiting.parcel.key,
            epoch,
            tag: self.keyed.tag,
            live: None,
            line: None,
        };
        match key.seal(&kept.post(), |post| route.post(post)) {
            Ok(_) => {
                self.lines.note_used(&route);
                self.keyed.let_go(kept);
            }
            Err(NotPosted::Gone | NotPosted::Refused(Refusal::Closed)) => {
                self.returned(waiting.parcel, epoch, None);
            }
            Err(NotPosted::WrongEpoch(known)) => self.returned(waiting.parcel, epoch, Some(known)),
            Err(NotPosted::Refused(refusal)) => {
                self.give_back(&waiting.parcel, UnroutedReason::from(&refusal));
            }
            Err(full) => {
                self.lines.put_first(waiting, full);
                return false;
            }
        }
        true
    }

    /// A message did not get out of this process.
    fn returned(&mut self, parcel: Parcel<Kept>, sent: Epoch, known: Option<Epoch>) {
        self.keyed.close();
        let input = PlacementInput::Bounced(Bounced { parcel, sent, known });
        self.router.handle(self.runtime.elapsed(), input, &mut self.actions);
    }

    /// Sends what waited for room, as far as there is room now; nothing while another placement is about
    /// to hold, for it would come back after that.
    fn send_on(&mut self) {
        if self.is_switching() {
            return;
        }
        while let Some(to) = self.lines.next_ready() {
            while let Some(waiting) = self.lines.next(to) {
                if !self.send(waiting) {
                    break;
                }
                self.perform();
            }
        }
    }

    /// Once all is out that was sent before the round: waits for its arrival.
    fn settle(&mut self) {
        let out = |_: &mut RoundId| !self.lines.has_marked();
        let Some(round) = self.settling.take_if(out) else { return };
        let routes = self.lines.used();
        let runtime = Arc::clone(&self.runtime);
        self.arriving.spawn(async move {
            runtime.arrived(routes).await;
            round
        });
    }

    fn settled(&mut self, round: RoundId) {
        let settled = PlacementInput::Settled(round);
        if self.is_switching() {
            // Since a moment. It may let something go, which is to go by the next placement: that is the
            // first entry. Not behind the others, for the round may be asked for anew there.
            self.entries.insert(1, Entry::Input(settled));
        } else {
            self.feed(settled);
        }
    }

    fn tell_rerouted(&self, kept: &Kept, to: Handle) {
        if let Some(queue) = self.runtime.directory.local(kept.source()) {
            queue.push_event(Event::Rerouted { correlation: kept.correlation, to });
        }
    }

    /// A message that was taken over can't be delivered: its sender hears of it.
    fn give_back(&self, parcel: &Parcel<Kept>, reason: UnroutedReason) {
        let kept = &parcel.message;
        self.keyed.let_go(kept);
        self.runtime.counters.keyed_undelivered.add(1);
        if let Some(queue) = self.runtime.directory.local(kept.source()) {
            let (name, correlation) = (self.keyed.name.clone(), kept.correlation);
            let key = parcel.key.into();
            queue.push_event(Event::Unrouted { name, key, correlation, reason });
        }
    }
}

fn reason(why: Undelivered) -> UnroutedReason {
    match why {
        Undelivered::NoOwner => UnroutedReason::NoOwner,
        Undelivered::Unresolved => UnroutedReason::Unresolved,
        Undelivered::WrongEpoch => UnroutedReason::WrongEpoch,
        _ => UnroutedReason::Other,
    }
}
