//! What the agent counts. Nothing is lost in silence: a message that was accepted and not delivered
//! moves one of these, by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use skymesh_telemetry::Tally;

use crate::inbox::UndeliverableReason;

/// One counter of what is rare. Padded to a cache line of its own, so that it is not in the way of
/// what the message path moves.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One counter of what the message path does: each thread counts in a word of its own, and who reads
/// adds them up. 2 KiB.
#[derive(Debug, Default)]
pub struct Sharded(Tally<1>);

impl Sharded {
    /// Counts `n` more.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.add([n]);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        let [count] = self.0.sums();
        count
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// All counters of one agent, since its start.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: $kind,)* }

        impl Counters {
            /// Every counter with its name, in a fixed order.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get())),*]
            }
        }
    };
}

counters! {
    /// Messages taken into an inbox of this agent.
    messages_received: Sharded,
    /// Messages refused to their sender: the handle lives here no more.
    refused_unknown_handle: Counter,
    /// Messages refused to their sender: the inbox was at its hard limit.
    refused_inbox_full: Counter,
    /// Messages refused to their sender: the source is offline in this agent's eyes.
    refused_source_offline: Counter,
    /// Messages refused to their sender: the source was never introduced.
    refused_unknown_source: Counter,
    /// Messages refused to their sender: marked as sent by key, with no key in it; or for a reason that
    /// this version does not know. (Who sends what does not decode at all is cut off:
    /// `connections_refused`.)
    refused_malformed: Counter,
    /// Messages refused to their sender: the service closed with them unread.
    refused_closing: Counter,
    /// Messages refused to their sender: sent as leader of a term that a fence here has seen the end of.
    refused_stale_term: Counter,
    /// Messages refused to their sender: for the leader of a service, and sent to an instance that
    /// does not lead it.
    refused_not_leader: Counter,
    /// Messages of this agent that a receiver refused; the sending service got an event each time.
    undeliverable: Counter,
    /// Messages of this agent whose connection ended before the receiver had confirmed them: at
    /// most so many were lost.
    unconfirmed: Counter,
    /// Keyed messages that this agent sent back: they were routed by another placement.
    keyed_turned_back: Counter,
    /// Keyed messages of this agent that came back, to be routed again.
    keyed_bounced: Counter,
    /// Messages that a peer sent back though this agent can't have sent them to it; dropped.
    keyed_bounces_refused: Counter,
    /// Keyed messages of this agent that were accepted and could not be delivered; the sending service
    /// got an event each time, if it was still there.
    keyed_undelivered: Counter,
    /// Frames with a command that this agent does not know; skipped.
    unknown_commands: Counter,
    /// Connections closed because of what the other side sent, or for want of room.
    connections_refused: Counter,
    /// Events that an inbox at its limit did not take; a lagged event stands for them.
    events_lagged: Counter,
    /// Times that the nameserver was lost.
    uplinks_lost: Counter,
    /// Pings that got no answer in time.
    pings_lost: Counter,
}

impl Counters {
    /// The counter of a reason for which this agent refuses messages.
    pub(crate) fn refused(&self, reason: UndeliverableReason) -> &Counter {
        match reason {
            UndeliverableReason::UnknownHandle => &self.refused_unknown_handle,
            UndeliverableReason::InboxFull => &self.refused_inbox_full,
            UndeliverableReason::SourceOffline => &self.refused_source_offline,
            UndeliverableReason::UnknownSource => &self.refused_unknown_source,
            UndeliverableReason::Closing => &self.refused_closing,
            UndeliverableReason::StaleTerm { .. } => &self.refused_stale_term,
            UndeliverableReason::NotLeader { .. } => &self.refused_not_leader,
            UndeliverableReason::Malformed | UndeliverableReason::Other => &self.refused_malformed,
        }
    }
}
