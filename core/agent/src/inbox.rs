//! The inbox of an instance: one ordered queue of messages and events.
//!
//! Connections push whole batches under one short lock; the receiving task swaps the queue out and
//! then reads without any lock. Payloads stay in the chunk that the socket filled: a batch carries
//! the chunk once and its messages as ranges of it, so neither side allocates per message, and the
//! reference counts are touched by the receiving task alone.

mod entry;
mod event;
mod message;
mod queue;

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use skymesh_types::Handle;
use tokio::task::coop::poll_proceed;

pub(crate) use entry::{Entry, Letter, MESSAGE_COST, Slot};
pub use event::{Event, UndeliverableReason, UnroutedReason};
pub use message::{Message, Source};
pub(crate) use queue::{Pushed, Queue, Settle};

use crate::runtime::Runtime;

/// How many deliveries one part of tokio's budget (128 in all) pays for. A delivery takes a small
/// fraction of what the budget is meant for: a read of a socket, a lock.
const DELIVERIES_PER_BUDGET: u8 = 32;

/// What an inbox gives its service, in order.
#[derive(Debug)]
pub enum Delivery {
    /// A message from another instance.
    Message(Message),
    /// Something that happened.
    Event(Event),
}

/// The receiving end of an instance's queue. There is one per instance; it is a [`Stream`] too.
///
/// Dropping it takes the instance's ability to receive: what was unread is refused to its senders
/// and counted.
#[derive(Debug)]
pub struct Inbox {
    queue: Arc<Queue>,
    /// Swapped out of the queue and not read yet.
    ready: VecDeque<Entry>,
    /// The chunk that the next letters are ranges of.
    chunk: Bytes,
    slots: Vec<Option<Seat>>,
    /// Whether the reader wants to know when a source's connection ends.
    departures: bool,
    /// Deliveries that the part of tokio's budget paid last still covers.
    unpaid: u8,
    /// Whom to tell that nobody reads any more; nobody for a mere watch.
    runtime: Option<Arc<Runtime>>,
}

/// What the receiver keeps for a slot.
#[derive(Debug)]
enum Seat {
    /// A sender's window, and what was taken since it was last told.
    Lane {
        settle: Arc<dyn Settle>,
        bytes: u64,
        messages: u64,
    },
    Source(Arc<Source>),
}

impl Inbox {
    pub(crate) fn new(queue: Arc<Queue>, runtime: Option<Arc<Runtime>>) -> Self {
        Self {
            queue,
            ready: VecDeque::new(),
            chunk: Bytes::new(),
            slots: Vec::new(),
            departures: false,
            unpaid: 0,
            runtime,
        }
    }

    /// From now on an [`Event::SourceLeft`] says that the connection of who has sent here ended:
    /// for protocols that work on behalf of their callers and may stop when those are gone.
    pub fn note_departures(&mut self) {
        self.departures = true;
    }

    /// The next message or event; `None` once the instance is unregistered or kicked off and
    /// everything before that was read.
    ///
    /// Cancel safe: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Option<Delivery> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next message or event if one is there already.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.next_ready() {
                return Some(delivery);
            }
            if !self.queue.swap(&mut self.ready) {
                return None;
            }
        }
    }

    /// [`recv`](Self::recv) in poll form.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        // A task that is always behind yields now and then, as with tokio's own channels.
        let budget = match self.unpaid {
            0 => Some(ready!(poll_proceed(cx))),
            _ => None,
        };
        loop {
            if let Some(delivery) = self.next_ready() {
                if let Some(budget) = budget {
                    budget.made_progress();
                    self.unpaid = DELIVERIES_PER_BUDGET;
                }
                self.unpaid -= 1;
                return Poll::Ready(Some(delivery));
            }
            match self.queue.poll_swap(&mut self.ready, cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn next_ready(&mut self) -> Option<Delivery> {
        loop {
            let Some(entry) = self.ready.pop_front() else {
                // Its letters are messages now. An idle inbox keeps no large read alive.
                self.chunk = Bytes::new();
                return None;
            };
            if self.ready.is_empty() {
                self.queue.note_read();
            }
            match entry {
                Entry::Letter(letter) => {
                    return Some(Delivery::Message(self.open(&letter)));
                }
                Entry::Event(event) => return Some(Delivery::Event(event)),
                Entry::Chunk(chunk) => self.chunk = chunk,
                Entry::OpenLane(slot, settle) => {
                    self.seat(slot, Seat::Lane { settle, bytes: 0, messages: 0 });
                }
                Entry::OpenSource(slot, source) => self.seat(slot, Seat::Source(source)),
                Entry::Close(slot) => {
                    let seat = self.slots[slot.index()].take();
                    self.queue.release(slot);
                    if let Some(Seat::Source(source)) = seat.filter(|_| self.departures) {
                        let source = source.handle();
                        return Some(Delivery::Event(Event::SourceLeft { source }));
                    }
                }
            }
        }
    }

    fn seat(&mut self, slot: Slot, seat: Seat) {
        if self.slots.len() <= slot.index() {
            self.slots.resize_with(slot.index() + 1, || None);
        }
        self.slots[slot.index()] = Some(seat);
    }

    /// Makes a letter a message, and gives its lane credit for it now and then.
    fn open(&mut self, letter: &Letter) -> Message {
        let Some(Seat::Source(source)) = &self.slots[letter.source.index()] else {
            unreachable!("invariant: a source is seated before its first letter");
        };
        let source = Arc::clone(source);
        let message = Message::new(source, letter, &self.chunk);
        let quantum = self.queue.credit_quantum();
        if let Some(Seat::Lane { settle, bytes, messages }) = &mut self.slots[letter.lane.index()] {
            *bytes += letter.cost();
            *messages += 1;
            if *bytes >= quantum {
                settle.credit(std::mem::take(bytes), std::mem::take(messages));
            }
        }
        message
    }

    /// Refuses what was never read, so that its senders learn of it.
    fn refuse_unread(&mut self) {
        self.queue.close();
        let mut unread: HashMap<(usize, Handle), (u64, u64)> = HashMap::new();
        loop {
            while let Some(entry) = self.ready.pop_front() {
                match entry {
                    Entry::Letter(letter) => {
                        let key = (letter.lane.index(), letter.source_handle);
                        let (bytes, messages) = unread.entry(key).or_default();
                        *bytes += letter.cost();
                        *messages += 1;
                    }
                    Entry::OpenLane(slot, settle) => {
                        self.seat(slot, Seat::Lane { settle, bytes: 0, messages: 0 });
                    }
                    _ => {}
                }
            }
            if !self.queue.swap(&mut self.ready) {
                break;
            }
        }
        for ((lane, source), (bytes, messages)) in unread {
            self.queue.counters().refused_closing.add(messages);
            if let Some(Some(Seat::Lane { settle, .. })) = self.slots.get(lane) {
                settle.refuse_unread(source, bytes, messages);
            }
        }
    }

    /// Tells every sender what was taken since it was last told.
    fn settle_rest(&mut self) {
        for seat in self.slots.iter_mut().flatten() {
            if let Seat::Lane { settle, bytes, messages } = seat
                && *messages > 0
            {
                settle.credit(std::mem::take(bytes), std::mem::take(messages));
            }
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.settle_rest();
        self.refuse_unread();
        if let Some(runtime) = &self.runtime {
            runtime.forget(self.queue.handle());
        }
    }
}

impl Stream for Inbox {
    type Item = Delivery;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.get_mut().poll_recv(cx)
    }
}
