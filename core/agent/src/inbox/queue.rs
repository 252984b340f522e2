//! The sending end of an inbox: what connections, naming and local senders push into.

mod batch;
mod seats;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use skymesh_naming::placement::EpochGate;
use skymesh_types::{Handle, InstanceId, ServiceName, ServiceUrl};
use tokio::sync::Notify;

use super::{Entry, Event};
use crate::config::InboxConfig;
use crate::counters::Counters;
use crate::election::{Admission, Belief};
use crate::meter::Meter;
use crate::runtime::Runtime;
use batch::Batch;
pub(crate) use batch::Pushed;

/// Most events that wait in an inbox. A service that does not read gets one
/// [`Event::Lagged`] per service name instead of what comes after, and one
/// [`Event::OutcomesLagged`] for what became of its messages.
const WAITING_EVENTS: usize = 65_536;

/// How a sender's window learns what became of its messages.
pub(crate) trait Settle: Send + Sync + fmt::Debug {
    /// The service took that much.
    fn credit(&self, bytes: u64, messages: u64);
    /// The service closed without reading so many messages of `source`.
    fn refuse_unread(&self, source: Handle, bytes: u64, messages: u64);
}

/// Shared by the pushing sides and the one [`Inbox`](super::Inbox).
#[derive(Debug)]
pub(crate) struct Queue {
    /// The service that it belongs to (or that it watches).
    name: ServiceName,
    /// Whose inbox it is; `None` for who only watches.
    instance: Option<InstanceId>,
    handle: Handle,
    config: InboxConfig,
    counters: Arc<Counters>,
    /// Asked about messages that have to do with leaders.
    admission: Admission,
    meter: Arc<Meter>,
    state: Mutex<State>,
    /// Cost of all messages ever taken out; behind by what the receiver has swapped out.
    taken_bytes: AtomicU64,
    /// Told when the inbox has read what it had, or takes nothing more.
    room: Notify,
    /// Which keyed messages a stateful instance admits.
    gate: OnceLock<Arc<EpochGate>>,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    waker: Option<Waker>,
    closed: bool,
    /// Cost of all messages ever pushed.
    pushed_bytes: u64,
    /// Of those, what the receiver has swapped out so far.
    swapped_bytes: u64,
    /// What the seats count for that the receiver has not heard of.
    seat_bytes: u64,
    events: usize,
    lagged: Vec<ServiceName>,
    outcomes_lagged: bool,
    next_slot: u32,
    free_slots: Vec<u32>,
}

impl Queue {
    /// The inbox of an instance.
    pub(crate) fn of_instance(
        url: &ServiceUrl,
        handle: Handle,
        config: InboxConfig,
        runtime: &Runtime,
        admission: Admission,
    ) -> Arc<Self> {
        let owner = (url.name.clone(), Some(url.instance));
        Self::new(owner, handle, config, runtime, admission)
    }

    /// The queue of somebody who only watches a service.
    pub(crate) fn of_watcher(
        name: ServiceName,
        handle: Handle,
        config: InboxConfig,
        runtime: &Runtime,
    ) -> Arc<Self> {
        Self::new((name, None), handle, config, runtime, Admission::new(handle, Vec::new()))
    }

    fn new(
        (name, instance): (ServiceName, Option<InstanceId>),
        handle: Handle,
        config: InboxConfig,
        runtime: &Runtime,
        admission: Admission,
    ) -> Arc<Self> {
        let (counters, meter) = (Arc::clone(&runtime.counters), runtime.meters.of(&name));
        Arc::new(Self {
            name,
            instance,
            handle,
            config,
            counters,
            admission,
            meter,
            state: Mutex::default(),
            taken_bytes: AtomicU64::new(0),
            room: Notify::new(),
            gate: OnceLock::new(),
        })
    }

    /// From now on keyed messages are admitted by `gate`. Before the instance is registered.
    pub(crate) fn guard(&self, gate: Arc<EpochGate>) {
        let _ = self.gate.set(gate);
    }

    /// What admits keyed messages; `None` for a stateless instance.
    pub(crate) fn gate(&self) -> Option<&Arc<EpochGate>> {
        self.gate.get()
    }

    pub(crate) fn instance(&self) -> Option<InstanceId> {
        self.instance
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The cost of what was pushed and not read.
    pub(crate) fn unread_bytes(&self) -> u64 {
        self.lock().pushed_bytes - self.taken_bytes.load(Relaxed)
    }

    /// Whether its instance leads, as far as it may believe so.
    pub(crate) fn belief(&self) -> &Belief {
        self.admission.belief()
    }

    pub(crate) fn name(&self) -> &ServiceName {
        &self.name
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle
    }

    pub(crate) fn window_bytes(&self) -> u64 {
        self.config.window_bytes
    }

    /// How much a lane takes before its sender is told: often enough that the window never runs
    /// dry while the service reads, seldom enough to cost nothing.
    pub(super) fn credit_quantum(&self) -> u64 {
        self.config.window_bytes / 4
    }

    /// Whether every message that was ever pushed has been read.
    pub(crate) fn is_read(&self) -> bool {
        self.lock().pushed_bytes == self.taken_bytes.load(Relaxed)
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Starts a batch: the lock is held until the batch is dropped, which wakes the receiver.
    ///
    /// Its letters are ranges of `chunk`, which is kept only if one of them is taken.
    pub(crate) fn batch(&self, chunk: Bytes) -> Batch<'_> {
        Batch::new(self, self.lock(), chunk)
    }

    /// Queues an event; beyond the limit, one lagged event stands for those of its service, and one for
    /// those of none.
    pub(crate) fn push_event(&self, event: Event) {
        self.push_event_and(event, || ());
    }

    /// As [`push_event`](Self::push_event), and runs `change` before anything else is queued, even if
    /// the event is not: what the event says is true for every message after it, and for none before.
    pub(crate) fn push_event_and(&self, event: Event, change: impl FnOnce()) {
        let mut state = self.lock();
        change();
        if state.closed {
            return;
        }
        // The last event of all has its place.
        let queued = if state.events < WAITING_EVENTS || matches!(event, Event::KickedOff { .. }) {
            state.events += 1;
            Some(event)
        } else {
            self.counters.events_lagged.add(1);
            state.stand_in(&event)
        };
        state.entries.extend(queued.map(Entry::Event));
        wake(state);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nothing more is taken; what is queued can still be read.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        wake(state);
        self.room.notify_waiters();
        self.belief().left();
    }

    /// Whether what waits is over the limit.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.lock();
        !state.closed && self.waiting_bytes(&state) > self.config.limit_bytes
    }

    /// Waits until what waits is within the limit again, or nothing more is taken. Cancel safe.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registered before the check, so that room in between is not missed.
            room.as_mut().enable();
            if !self.is_full() {
                return;
            }
            room.await;
        }
    }

    /// What counts for the limit: messages, and seats.
    fn waiting_bytes(&self, state: &State) -> u64 {
        state.pushed_bytes - self.taken_bytes.load(Relaxed) + state.seat_bytes
    }

    /// Moves all that is queued into `ready`, which must be empty. Answers whether there was any.
    pub(super) fn swap(&self, ready: &mut VecDeque<Entry>) -> bool {
        self.lock().swap(ready)
    }

    /// All that was swapped out has been read.
    pub(super) fn note_read(&self) {
        let swapped = self.lock().swapped_bytes;
        self.taken_bytes.store(swapped, Relaxed);
        self.room.notify_waiters();
    }

    /// As [`swap`](Self::swap), and waits. `Ready(false)` at the end of a closed queue.
    pub(super) fn poll_swap(
        &self,
        ready: &mut VecDeque<Entry>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        let mut state = self.lock();
        if state.swap(ready) {
            return Poll::Ready(true);
        }
        if state.closed {
            return Poll::Ready(false);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held can't leave the state half changed: every step is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What stands for an event that has no place; `None` if it does already.
    fn stand_in(&mut self, event: &Event) -> Option<Event> {
        let Some(name) = service_of(event) else {
            let told = std::mem::replace(&mut self.outcomes_lagged, true);
            return (!told).then_some(Event::OutcomesLagged);
        };
        if self.lagged.contains(&name) {
            return None;
        }
        self.lagged.push(name.clone());
        Some(Event::Lagged { name })
    }

    fn swap(&mut self, ready: &mut VecDeque<Entry>) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.entries, ready);
        self.swapped_bytes = self.pushed_bytes;
        self.seat_bytes = 0;
        self.events = 0;
        self.lagged.clear();
        self.outcomes_lagged = false;
        true
    }
}

/// Wakes the receiver after the lock is released, so that it does not run into it.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn service_of(event: &Event) -> Option<ServiceName> {
    match event {
        Event::Online(record)
        | Event::Offline { record, .. }
        | Event::AttributesChanged { record, .. }
        | Event::StateChanged { record, .. } => Some(record.url.name.clone()),
        Event::Elected { name, .. }
        | Event::Unseated { name, .. }
        | Event::CandidacyRefused { name, .. }
        | Event::LeaderChanged { name, .. } => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
