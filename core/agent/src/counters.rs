//! What the agent counts. Nothing is lost in silence: a message that was accepted and not delivered
//! moves one of these, by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::inbox::UndeliverableReason;

/// One counter. Padded to a cache line of its own, as the message path moves several at a time.
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

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// All counters of one agent, since its start.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter,)* }

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
    messages_received,
    /// Messages refused to their sender: the handle lives here no more.
    refused_unknown_handle,
    /// Messages refused to their sender: the inbox was at its hard limit.
    refused_inbox_full,
    /// Messages refused to their sender: the source is offline in this agent's eyes.
    refused_source_offline,
    /// Messages refused to their sender: the source was never introduced.
    refused_unknown_source,
    /// Messages refused to their sender: the envelope did not decode.
    refused_malformed,
    /// Messages refused to their sender: the service closed with them unread.
    refused_closing,
    /// Messages refused to their sender: sent as leader of a term that a fence here has seen the end of.
    refused_stale_term,
    /// Messages refused to their sender: for the leader of a service, and sent to an instance that
    /// does not lead it.
    refused_not_leader,
    /// Messages of this agent that a receiver refused; the sending service got an event each time.
    undeliverable,
    /// Messages of this agent whose connection ended before the receiver had confirmed them: at
    /// most so many were lost.
    unconfirmed,
    /// Keyed messages that this agent sent back: they were routed by another placement.
    keyed_turned_back,
    /// Keyed messages of this agent that came back, to be routed again.
    keyed_bounced,
    /// Messages that a peer sent back though this agent can't have sent them to it; dropped.
    keyed_bounces_refused,
    /// Keyed messages of this agent that were accepted and could not be delivered; the sending service
    /// got an event each time, if it was still there.
    keyed_undelivered,
    /// Frames with a command that this agent does not know; skipped.
    unknown_commands,
    /// Connections closed because of what the other side sent.
    connections_refused,
    /// Events that an inbox at its limit did not take; a lagged event stands for them.
    events_lagged,
    /// Times that the nameserver was lost.
    uplinks_lost,
    /// Pings that got no answer in time.
    pings_lost,
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
