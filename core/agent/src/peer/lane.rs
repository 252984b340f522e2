//! A lane: what one process may have on its way to one instance, over one connection.
//!
//! The receiver grants room as its service takes messages. So a slow service makes the senders *to
//! it* wait, while the connection and the other services on it go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use skymesh_types::Handle;
use tokio::sync::Notify;

use crate::inbox::MESSAGE_COST;

/// The sending side of a window.
#[derive(Debug)]
pub(crate) struct Lane {
    destination: Handle,
    /// All that was ever granted, in bytes. Only grows; written by who settles.
    granted: AtomicU64,
    /// All that was ever taken, in bytes. Written under the outbox's lock alone, so a load and a
    /// store do where a contended add would cost ten times as much.
    used: AtomicU64,
    /// Messages ever sent; as `used`.
    sent: AtomicU64,
    /// Messages that the receiver has taken or refused.
    settled: AtomicU64,
    /// Of those sent, how many were on their way before the ping that a v1 peer has yet to answer.
    marked: AtomicU64,
    /// The connection is gone: waiting is in vain.
    ended: AtomicBool,
    room: Notify,
}

impl Lane {
    pub(crate) fn new(destination: Handle, window_bytes: u64) -> Self {
        Self {
            destination,
            granted: AtomicU64::new(window_bytes),
            used: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            marked: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            room: Notify::new(),
        }
    }

    pub(crate) fn destination(&self) -> Handle {
        self.destination
    }

    /// Whether one more message may go. The last one may pass the window by its own size, so that
    /// a message larger than the window can go at all.
    pub(crate) fn has_room(&self) -> bool {
        self.used.load(Relaxed) < self.granted.load(SeqCst)
    }

    /// Notes one message of `payload_bytes` as sent. Call it under the lock of the outbox (or
    /// inbox) that it went into: two at once would count as one.
    pub(crate) fn note_sent(&self, payload_bytes: usize) {
        self.used.store(self.used.load(Relaxed) + MESSAGE_COST + payload_bytes as u64, Relaxed);
        self.sent.store(self.sent.load(Relaxed) + 1, Relaxed);
    }

    /// The receiver made room, and settled so many messages.
    pub(crate) fn grant(&self, bytes: u64, messages: u64) {
        self.granted.fetch_add(bytes, SeqCst);
        // Whoever sees them settled sees what has become of them.
        self.settled.fetch_add(messages, SeqCst);
        self.room.notify_waiters();
    }

    /// A ping follows all that was sent so far: see [`confirm`](Self::confirm).
    pub(crate) fn mark(&self) {
        self.marked.store(self.sent.load(Relaxed), Relaxed);
    }

    /// The ping was answered, so what was marked has arrived. Only for v1 peers, which never settle.
    pub(crate) fn confirm(&self) {
        self.settled.store(self.marked.load(Relaxed), Relaxed);
    }

    /// The connection is gone. Answers how many messages were never settled.
    pub(crate) fn end(&self) -> u64 {
        self.ended.store(true, SeqCst);
        self.room.notify_waiters();
        self.sent.load(Relaxed).saturating_sub(self.settled.load(Relaxed))
    }

    /// Whether the receiver may have so much to give back: one message at least is open, and not fewer
    /// bytes.
    pub(crate) fn may_return(&self, bytes: u64, window_bytes: u64) -> bool {
        let room = self.granted.load(SeqCst).saturating_sub(window_bytes);
        let open_bytes = self.used.load(SeqCst).saturating_sub(room);
        !self.is_settled() && bytes <= open_bytes
    }

    /// Whether the receiver has taken or refused all that was sent.
    pub(crate) fn is_settled(&self) -> bool {
        self.sent.load(Relaxed) == self.settled.load(SeqCst)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    /// Waits until there is room or the lane has ended. Cancel safe.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registered before the check, so that a grant in between is not missed.
            room.as_mut().enable();
            if self.has_room() || self.has_ended() {
                return;
            }
            room.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_full_lane_waits_for_a_grant() {
        let lane = Arc::new(Lane::new(Handle::new(1).unwrap(), 100));
        lane.note_sent(1000);
        assert!(!lane.has_room(), "the first message may be larger than the window");
        let waiting = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.room().await }
        });
        tokio::task::yield_now().await;
        lane.grant(900, 0);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "1064 are out, 1000 are granted");
        lane.grant(164, 1);
        waiting.await.unwrap();
        assert_eq!(lane.end(), 0);
    }

    #[test]
    fn no_more_comes_back_than_was_sent() {
        let lane = Lane::new(Handle::new(1).unwrap(), 1000);
        assert!(!lane.may_return(0, 1000), "nothing was sent");
        lane.note_sent(36);
        assert!(lane.may_return(100, 1000) && !lane.may_return(101, 1000));
        // The peer grants a larger window.
        lane.grant(500, 0);
        assert!(lane.may_return(100, 1500) && !lane.may_return(101, 1500));
        lane.grant(100, 1);
        assert!(!lane.may_return(0, 1500), "it has come back");
    }

    #[tokio::test]
    async fn the_end_wakes_who_waits_and_counts_what_is_open() {
        let lane = Arc::new(Lane::new(Handle::new(1).unwrap(), 1));
        lane.note_sent(0);
        let waiting = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.room().await }
        });
        tokio::task::yield_now().await;
        assert_eq!(lane.end(), 1);
        waiting.await.unwrap();
    }
}
