//! What of an inbox is not RPC: plain messages and events, in their order, on to whoever reads
//! them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use skymesh_agent::Delivery;

/// So much of the rest may wait before the inbox is not read on, so that its senders wait too.
/// Unless calls of this instance are pending: their answers come through the same inbox, so it is
/// read on up to [`REST_HARD_BYTES`].
pub const REST_BYTES: usize = 1024 * 1024;

/// So much of the rest may wait at all. From here on the inbox is not read, whoever waits: calls
/// that are pending end at their deadlines.
pub const REST_HARD_BYTES: usize = 64 * 1024 * 1024;

/// What one delivery counts beside its payload.
const DELIVERY_BYTES: usize = 256;

/// The plain messages and events of an instance whose calls go by RPC: what its
/// [`Inbox`](skymesh_agent::Inbox) was before. It is a [`Stream`] too.
///
/// Drop it if nobody is to read it: then plain messages are discarded and counted
/// ([`rest_discarded`](crate::RpcCounters::rest_discarded)). Kept and not read, it makes the
/// instance's senders wait, its callers too.
#[derive(Debug)]
pub struct Rest(Arc<Queue>);

impl Rest {
    /// The next plain message or event; `None` once the instance is off the mesh and everything
    /// before that was read. Cancel safe.
    pub async fn recv(&mut self) -> Option<Delivery> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next one if there is one already.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        self.0.pop(&mut self.0.lock())
    }

    /// [`recv`](Self::recv) in poll form.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let mut state = self.0.lock();
        match self.0.pop(&mut state) {
            Some(delivery) => Poll::Ready(Some(delivery)),
            None if state.ended => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Stream for Rest {
    type Item = Delivery;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.get_mut().poll_recv(cx)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.unread = true;
        let discarded = std::mem::take(&mut state.deliveries);
        state.bytes = 0;
        drop(state);
        drop(discarded);
        self.0.room.notify_one();
    }
}

/// The driver's end of a [`Rest`]. Dropping it ends the rest.
#[derive(Debug)]
pub(crate) struct RestSender(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    room: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct State {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    reader: Option<Waker>,
    /// The reader is gone.
    unread: bool,
    ended: bool,
}

/// Both ends of a rest.
pub(crate) fn rest() -> (RestSender, Rest) {
    let queue = Arc::new(Queue::default());
    (RestSender(Arc::clone(&queue)), Rest(queue))
}

impl RestSender {
    /// Queues a delivery whatever the limit: who asks [`waiting_bytes`](Self::waiting_bytes) before
    /// keeps it. Answers whether anybody will read it.
    pub(crate) fn push(&self, delivery: Delivery) -> bool {
        let mut state = self.0.lock();
        if state.unread {
            return false;
        }
        state.bytes += cost(&delivery);
        state.deliveries.push_back(delivery);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Waits until fewer than `bytes` wait. Cancel safe.
    pub(crate) async fn below(&self, bytes: usize) {
        while self.waiting_bytes() >= bytes {
            self.0.room.notified().await;
        }
    }
}

impl Drop for RestSender {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Queue {
    fn pop(&self, state: &mut State) -> Option<Delivery> {
        let delivery = state.deliveries.pop_front()?;
        let before = state.bytes;
        state.bytes -= cost(&delivery);
        // Only where the driver may have stopped; a permit too many costs it one look.
        if before >= REST_BYTES {
            self.room.notify_one();
        }
        Some(delivery)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every step under the lock is whole, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(delivery: &Delivery) -> usize {
    DELIVERY_BYTES
        + match delivery {
            Delivery::Message(message) => message.payload().len() + message.metadata().len(),
            Delivery::Event(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skymesh_agent::Event;
    use skymesh_types::Handle;

    fn event(number: u64) -> Delivery {
        Delivery::Event(Event::Registered { handle: Handle::new(number).unwrap() })
    }

    fn number(delivery: &Delivery) -> u64 {
        match delivery {
            Delivery::Event(Event::Registered { handle }) => handle.get(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn deliveries_keep_their_order_and_the_end_comes_last() {
        let (sender, mut rest) = rest();
        let reading = tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(delivery) = rest.recv().await {
                seen.push(number(&delivery));
            }
            seen
        });
        for at in 1..=100 {
            assert!(sender.push(event(at)));
            tokio::task::consume_budget().await;
        }
        drop(sender);
        assert_eq!(reading.await.unwrap(), (1..=100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told_when_there_is_some() {
        let (sender, mut rest) = rest();
        while sender.waiting_bytes() < REST_BYTES {
            sender.push(event(1));
        }
        let waiting = sender.below(REST_BYTES);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        rest.try_recv().unwrap();
        waiting.await;
    }

    #[tokio::test]
    async fn a_dropped_rest_takes_nothing_and_holds_nobody_up() {
        let (sender, rest) = rest();
        while sender.waiting_bytes() < REST_BYTES {
            sender.push(event(1));
        }
        drop(rest);
        sender.below(1).await;
        assert!(!sender.push(event(2)));
    }
}
