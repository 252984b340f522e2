//! What an instance is told beside its messages.

use std::fmt;
use std::sync::Arc;

use skymesh_naming::election::Term;
use skymesh_naming::{InstanceRecord, InstanceState, Lost, OfflineCause};
use skymesh_types::{Attributes, Handle, Key, ServiceName};

use crate::peer::Refusal;

use crate::election::{Leadership, Standing};

/// Something that happened, in its place among the messages.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The instance is registered; the first thing in every inbox.
    Registered {
        /// The handle of this incarnation.
        handle: Handle,
    },
    /// An instance of a watched service is there. It precedes the first message from it.
    Online(Arc<InstanceRecord>),
    /// An instance of a watched service is gone. No message from it follows.
    Offline {
        /// The instance as it was last known.
        record: Arc<InstanceRecord>,
        /// What is known of why.
        cause: OfflineCause,
    },
    /// An instance of a watched service changed its attributes.
    AttributesChanged {
        /// The instance as it is now.
        record: Arc<InstanceRecord>,
        /// The attributes before.
        old: Arc<Attributes>,
        /// The keys whose value changed, in order.
        keys: Vec<String>,
    },
    /// An instance of a watched service moved between online, suspect and draining.
    StateChanged {
        /// The instance as it is now.
        record: Arc<InstanceRecord>,
        /// The state before.
        old: InstanceState,
    },
    /// Messages of this instance were accepted by `send` and refused by the receiver.
    Undeliverable {
        /// Where they were to go.
        to: Handle,
        /// Why they did not.
        reason: UndeliverableReason,
        /// How many.
        messages: u64,
        /// The correlations of those that were requests (kind 1), unless the receiver closed.
        requests: Arc<[u64]>,
    },
    /// The connection that this instance sent over broke, or the peer behind it is gone. What was
    /// sent to these instances and not answered may have been lost; what is sent from now on goes
    /// over another connection.
    ConnectionLost {
        /// To whom anything was ever sent over it, by anybody of this process.
        to: Arc<[Handle]>,
        /// At most so many messages of this process were lost with it.
        unconfirmed: u64,
    },
    /// The connection that messages of this source came over is closed; it may come back over
    /// another. Only told after [`Inbox::note_departures`](crate::Inbox::note_departures).
    SourceLeft {
        /// Who it was.
        source: Handle,
    },
    /// This instance leads its service from now on.
    Elected {
        /// The service: this instance's own.
        name: ServiceName,
        /// Its term, and what can be done with it. `None` at a nameserver of protocol 1, which knows
        /// no terms.
        leadership: Option<Leadership>,
    },
    /// This instance leads its service no longer. It stands on, unless it gave up.
    Unseated {
        /// The service: this instance's own.
        name: ServiceName,
        /// The term that is over; `None` at a nameserver of protocol 1.
        term: Option<Term>,
        /// Why it is.
        why: Lost,
    },
    /// The nameserver does not let this instance stand (any more).
    CandidacyRefused {
        /// The service: this instance's own.
        name: ServiceName,
        /// Why.
        reason: Arc<str>,
    },
    /// Somebody else leads a service whose election this instance watches, or nobody does, or what
    /// is known of it became stale. The first one says how it stands when the watch begins.
    LeaderChanged {
        /// The service.
        name: ServiceName,
        /// How it stands now.
        standing: Standing,
    },
    /// The nameserver took this instance off the mesh; the inbox ends after this.
    KickedOff {
        /// Why.
        reason: Arc<str>,
    },
    /// A message of this instance that went by key goes to another instance than was said when it was
    /// sent: its key has moved meanwhile. The answer comes from there, after this. Only told of
    /// messages with a correlation.
    Rerouted {
        /// The correlation of the message.
        correlation: u64,
        /// Who answers.
        to: Handle,
    },
    /// A message of this instance to a stateful service was accepted by `send`, and could not be
    /// delivered.
    Unrouted {
        /// The service.
        name: ServiceName,
        /// What it was routed by.
        key: Key,
        /// The correlation of the message; 0 if it has none.
        correlation: u64,
        /// Why not.
        reason: UnroutedReason,
    },
    /// The inbox was full and events of this service were left out: look at its router.
    Lagged {
        /// The service whose events are missing.
        name: ServiceName,
    },
    /// The inbox was full and it was left out what became of messages of this instance: which were refused
    /// or could not be delivered, go elsewhere, or may be lost with a connection. The agent's counters
    /// `undeliverable`, `keyed_undelivered` and `unconfirmed` have all of them.
    OutcomesLagged,
}

/// Why a message by key could not be delivered after it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnroutedReason {
    /// The service has no instance that owns keys.
    NoOwner,
    /// Nothing was heard of the placement in time.
    Unresolved,
    /// Router and receiver did not agree on the placement within `agent.hold.time`.
    WrongEpoch,
    /// The sending instance is no longer registered.
    SourceOffline,
    /// The owner lives in this process and its inbox is at its hard limit.
    InboxFull,
    /// The codec refused it, or its frame would be over the limit.
    Codec,
    /// A reason that this version does not know.
    Other,
}

impl fmt::Display for UnroutedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoOwner => "no instance owns keys",
            Self::Unresolved => "nothing was heard of the placement in time",
            Self::WrongEpoch => "router and receiver did not agree on the placement in time",
            Self::SourceOffline => "the sender is no longer registered",
            Self::InboxFull => "the owner's inbox is at the hard limit",
            Self::Codec => "it can't be written",
            Self::Other => "for another reason",
        })
    }
}

impl From<&Refusal> for UnroutedReason {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::SourceOffline => Self::SourceOffline,
            Refusal::InboxFull => Self::InboxFull,
            Refusal::TooLarge | Refusal::Codec(_) => Self::Codec,
            Refusal::Closed | Refusal::Barred(_) => Self::Other,
        }
    }
}

/// Why a receiver refused messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UndeliverableReason {
    /// That incarnation is gone.
    UnknownHandle,
    /// Its inbox is at its hard limit.
    InboxFull,
    /// It counts the sender as offline.
    SourceOffline,
    /// The sender was never introduced to it.
    UnknownSource,
    /// Its envelope contradicts itself: it is marked as sent by key and has no key. One that can't be decoded
    /// closes the connection.
    Malformed,
    /// It closed with them unread.
    Closing,
    /// They were sent as leader of a term that is over there: its fence has seen a newer one.
    StaleTerm {
        /// The newest term that its fence has admitted.
        newest: Term,
    },
    /// They were for the leader of its service, and it does not lead (any more).
    NotLeader {
        /// The newest term that it knows of.
        term: Term,
        /// Who leads in that term, as far as it knows.
        leader: Option<Handle>,
    },
    /// A reason that this version does not know.
    Other,
}

impl fmt::Display for UndeliverableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownHandle => "that incarnation is gone",
            Self::InboxFull => "its inbox is at the hard limit",
            Self::SourceOffline => "it counts the sender as offline",
            Self::UnknownSource => "the sender was never introduced",
            Self::Malformed => "its envelope says by key and has none",
            Self::Closing => "it closed with them unread",
            Self::StaleTerm { .. } => "the sender's term as leader is over",
            Self::NotLeader { .. } => "it does not lead its service",
            Self::Other => "refused for another reason",
        })
    }
}

impl From<skymesh_naming::Event> for Event {
    fn from(event: skymesh_naming::Event) -> Self {
        use skymesh_naming::Event as Named;
        match event {
            Named::Online(record) => Self::Online(record),
            Named::Offline { record, cause } => Self::Offline { record, cause },
            Named::AttributesChanged { record, old, keys } => {
                Self::AttributesChanged { record, old, keys }
            }
            Named::StateChanged { record, old } => Self::StateChanged { record, old },
            _ => unreachable!("invariant: every event of this workspace's naming is listed"),
        }
    }
}
