//! The one task that owns the registry: it feeds it what connections and operators bring, ticks it
//! when it asks for it, and does what it says. Nothing here waits for a connection.

mod agreement;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use skymesh_naming::{
    Action, AgentInput, CloseReason, ConnectionId, Delta, Durable, Input, OperatorInput, Refusal,
    Registry, Remembered, RequestId, Snapshot,
};
use skymesh_proto as proto;
use skymesh_types::{Revision, ServiceName, ServicePattern, ServiceUrl};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::archive::{Archive, Saved};
use crate::counters::Counters;
use crate::intake::{Speaks, speaks_of, watch_refused};
use crate::ledger::Ledger;
use crate::lines::{Line, Lines, Sent};
use crate::render::{self, ListingPart};

/// Events taken from the queue before the clock is looked at.
const BATCH: usize = 64;

/// Encoded snapshots kept, for many agents that begin to watch the same names.
const SNAPSHOTS_KEPT: usize = 8;

/// Encoded snapshots larger than this, in bytes, are not kept: memory for a rare case.
const KEPT_SNAPSHOT_BYTES: usize = 4 * 1024 * 1024;

/// What the keeper is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection introduced itself.
    Opened(ConnectionId, Line),
    /// Something came from a connection. `Disconnected` closes it.
    Agent(ConnectionId, AgentInput),
    /// Somebody wants the part of a listing that follows an instance, or the first one.
    List(Option<ServicePattern>, Option<ServiceUrl>, oneshot::Sender<ListingPart>),
    /// The store has registrations, or not.
    Saved(Saved),
    /// Something else for the registry.
    Input(Input),
    /// An operator asks for something.
    Operator(OperatorInput, oneshot::Sender<Result<Revision, Refusal>>),
}

#[derive(Debug)]
pub(crate) struct Keeper {
    registry: Registry,
    /// The registry's times count from here.
    epoch: Instant,
    lines: Lines,
    counters: Arc<Counters>,
    /// For the tasks that wait until a clogged connection drains.
    events: mpsc::Sender<Event>,
    actions: Vec<Action>,
    /// Watches that the actions at hand could not serve: the registry hears of them next.
    overflowed: VecDeque<(ConnectionId, ServiceName)>,
    operator_answer: Option<Result<Revision, Refusal>>,
    snapshots: VecDeque<(Arc<Snapshot>, Bytes)>,
    ledger: Ledger,
    /// For a warm restart.
    archive: Option<Archive>,
}

impl Keeper {
    pub(crate) fn new(
        registry: Registry,
        epoch: Instant,
        counters: Arc<Counters>,
        events: mpsc::Sender<Event>,
        ledger: Ledger,
    ) -> Self {
        Self {
            registry,
            epoch,
            lines: Lines::default(),
            counters,
            events,
            actions: Vec::new(),
            overflowed: VecDeque::new(),
            operator_answer: None,
            snapshots: VecDeque::new(),
            ledger,
            archive: None,
        }
    }

    /// Lists what an earlier life has left, and from now on leaves as much to the next one.
    pub(crate) fn recall(&mut self, remembered: Vec<Remembered>, archive: Archive) {
        self.registry.track_unsaved();
        self.feed(Input::Recall(remembered));
        // Only what was not taken: the store has the rest as it is.
        let taken = self.registry.take_unsaved(usize::MAX).into_iter();
        let left_out = taken.filter(|(_, kept)| kept.is_none()).map(|(handle, _)| handle);
        let left_out: Vec<_> = left_out.collect();
        self.registry.return_unsaved(left_out);
        self.archive = Some(archive);
    }

    /// Serves until `stop` turns true or nobody is left to ask for it; then closes every connection.
    pub(crate) async fn run(
        mut self,
        mut queue: mpsc::Receiver<Event>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let deadline = self.registry.next_deadline();
            let save_at = self.archive.as_mut().and_then(|archive| {
                archive.look(&self.registry);
                archive.due()
            });
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = sleep_until(self.epoch + deadline.unwrap_or_default()), if deadline.is_some() => {
                    self.feed(Input::Tick);
                }
                () = sleep_until(save_at.unwrap_or(self.epoch)), if save_at.is_some() => {
                    if let Some(archive) = &mut self.archive {
                        archive.save(&mut self.registry);
                    }
                }
                _ = queue.recv_many(&mut batch, BATCH) => {
                    for event in batch.drain(..) {
                        self.take(event);
                    }
                }
            }
        }
        self.lines.close_all("the nameserver stops; connect again later");
        if let Some(archive) = self.archive {
            archive.finish(&mut self.registry).await;
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Opened(connection, line) => self.lines.open(connection, line),
            Event::Agent(connection, input) => {
                match &input {
                    AgentInput::Hello(hello) => {
                        self.lines.introduce(connection, speaks_of(hello), &hello.address);
                    }
                    AgentInput::Drained => self.lines.drained(connection),
                    AgentInput::Disconnected => self.lines.close(connection, None),
                    _ => {}
                }
                self.feed(Input::Agent(connection, input));
            }
            Event::List(pattern, last, to) => {
                // Whoever asked may have gone.
                let _ = to.send(self.listing_part(pattern.as_ref(), last.as_ref()));
            }
            Event::Input(input) => self.feed(input),
            Event::Saved(saved) => {
                if let Some(archive) = &mut self.archive {
                    archive.saved(saved, &mut self.registry);
                }
            }
            Event::Operator(input, to) => {
                self.feed(Input::Operator(RequestId(0), input));
                if let Some(answer) = self.operator_answer.take() {
                    let _ = to.send(answer);
                }
            }
        }
    }

    /// Runs the registry on one input and does what it says, overflows included, before anything
    /// else happens.
    pub(crate) fn feed(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next {
            let mut actions = std::mem::take(&mut self.actions);
            self.registry.handle(self.now(), input, &mut actions);
            for action in actions.drain(..) {
                self.perform(action);
            }
            self.actions = actions;
            next = self
                .overflowed
                .pop_front()
                .map(|(connection, name)| Input::Agent(connection, AgentInput::Overflowed(name)));
        }
        self.counters.note_registry(&mut self.registry);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Welcome { to, .. } if self.lines.speaks(to) == Some(Speaks::V1) => {
                self.welcome_v1(to);
            }
            Action::Welcome { .. }
            | Action::Registered { .. }
            | Action::Answer { .. }
            | Action::KeptAlive { .. }
            | Action::WatchRefused { .. }
            | Action::KickOff { .. } => self.reply(action),
            Action::OperatorAnswer { result, .. } => self.operator_answer = Some(result),
            Action::Snapshot { to, snapshot } => self.send_snapshot(&to, &snapshot),
            Action::Delta { to, delta } => self.send_delta(&to, &delta),
            Action::Close { connection, reason } => {
                let said = reason.to_string();
                let said = (reason != CloseReason::Goodbye).then_some(said.as_str());
                self.lines.close(connection, said);
            }
            Action::Persist(record) => {
                let Durable::Term { name, term, .. } = &record;
                self.counters.note_term(name, term.0);
                self.ledger.keep(record);
            }
            Action::Campaigned { .. }
            | Action::Leader { .. }
            | Action::Prepare { .. }
            | Action::RoundEnded { .. } => self.agree(action),
            Action::Note(note) => {
                tracing::debug!(?note);
                self.counters.note(&note);
            }
        }
    }

    /// Says something to one connection, in the words of its protocol.
    fn reply(&self, action: Action) {
        let lines = &self.lines;
        let is_v1 = |to| lines.speaks(to) == Some(Speaks::V1);
        match action {
            Action::Welcome { to, session, resumed, lease } => {
                lines.reply(to, render::welcome(session, self.registry.id(), lease, resumed));
            }
            Action::Registered { to, request, handle, result } => {
                let (result, reason, revision) = render::outcome(result);
                let (request, handle) = (request.0, handle.get());
                if is_v1(to) {
                    return lines.reply(to, proto::RegisterServiceReply { handle, result });
                }
                let reply =
                    proto::RegisterInstanceReply { request, handle, result, reason, revision };
                lines.reply(to, reply);
            }
            // Protocol 1 answers nothing else.
            Action::Answer { to, .. } if is_v1(to) => {}
            Action::Answer { to, request, result } => {
                let (result, reason, revision) = render::outcome(result);
                let request = request.0;
                lines.reply(to, proto::RequestReply { request, result, reason, revision });
            }
            Action::KeptAlive { to, seq, leads } => {
                lines.reply(to, render::kept_alive(seq, &leads))
            }
            Action::WatchRefused { to, name, refusal } => {
                lines.reply(to, watch_refused(name.into(), &refusal));
            }
            Action::KickOff { to, handle, .. } if is_v1(to) => {
                lines.reply(to, proto::KickOff { handle: handle.get() });
            }
            Action::KickOff { to, handle, reason } => {
                let (handle, reason) = (handle.get(), reason.as_ref().to_owned());
                lines.reply(to, proto::KickOffInstance { handle, reason });
            }
            _ => {}
        }
    }

    fn send_snapshot(&mut self, to: &[ConnectionId], snapshot: &Arc<Snapshot>) {
        self.counters.snapshots.add(to.len());
        let mut frames = None;
        for to in to {
            if self.lines.speaks(*to) == Some(Speaks::V1) {
                self.tell(*to, &snapshot.instances);
            } else {
                let frames = frames.get_or_insert_with(|| self.encoded(snapshot));
                self.send(*to, &snapshot.name, frames);
            }
        }
    }

    fn send_delta(&mut self, to: &[ConnectionId], delta: &Delta) {
        self.counters.deltas.add(to.len());
        let mut frames = None;
        for to in to {
            if self.lines.speaks(*to) == Some(Speaks::V1) {
                self.tell(*to, &delta.changes);
            } else {
                let frames = frames.get_or_insert_with(|| render::delta(delta));
                self.send(*to, &delta.name, frames);
            }
        }
    }

    fn send(&mut self, to: ConnectionId, name: &ServiceName, frames: &[u8]) {
        let (sent, clogged) = self.lines.send(to, frames);
        if sent == Sent::Overflowed {
            self.overflowed.push_back((to, name.clone()));
        }
        if let Some(outbox) = clogged {
            let events = self.events.clone();
            // At most one per connection; it ends with the connection.
            tokio::spawn(async move {
                if outbox.writable().await.is_ok() {
                    // Without a keeper there is nobody to tell.
                    let _ = events.send(Event::Agent(to, AgentInput::Drained)).await;
                }
            });
        }
    }

    /// Protocol 1 has no way to mend what an agent missed but to connect again.
    fn tell(&mut self, to: ConnectionId, records: &[Arc<skymesh_naming::InstanceRecord>]) {
        if self.lines.tell(to, records) == Sent::Overflowed {
            tracing::warn!(connection = to.0, "an agent of protocol 1 is too slow: closed");
            self.counters.slow_v1_agents.increment();
            self.lines.close(to, None);
        }
    }

    /// The frames of a snapshot, encoded once while it is asked for again and again.
    fn encoded(&mut self, snapshot: &Arc<Snapshot>) -> Bytes {
        let kept = self.snapshots.iter().find(|(kept, _)| Arc::ptr_eq(kept, snapshot));
        if let Some((_, frames)) = kept {
            return frames.clone();
        }
        let frames = render::snapshot(snapshot);
        if frames.len() <= KEPT_SNAPSHOT_BYTES {
            self.snapshots.truncate(SNAPSHOTS_KEPT - 1);
            self.snapshots.push_front((Arc::clone(snapshot), frames.clone()));
        }
        frames
    }

    fn listing_part(
        &self,
        pattern: Option<&ServicePattern>,
        last: Option<&ServiceUrl>,
    ) -> ListingPart {
        let registry = &self.registry;
        let listed = registry
            .instances_after(last, self.now())
            .filter(|listed| pattern.is_none_or(|p| p.matches(&listed.record.url.name)));
        render::listing_part(registry.id(), registry.revision(), registry.session_count(), listed)
    }
}
