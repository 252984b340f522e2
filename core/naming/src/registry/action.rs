//! What the registry wants done. The shell does it in this order; nothing here has been done yet.

use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{Handle, Revision, ServiceName, ServiceUrl, SessionId};

use super::store::Durable;
use crate::election::{Standing, Term};
use crate::placement::{Preparation, RoundEnd, RoundId};
use crate::{ConnectionId, Delta, Refusal, RequestId, ResultCode, Snapshot};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Answers a hello.
    Welcome {
        /// Whom.
        to: ConnectionId,
        /// The session that hangs off the connection now.
        session: SessionId,
        /// Whether it is the one that the agent asked to resume, with every instance that it had.
        resumed: bool,
        /// How long silence is borne.
        lease: Duration,
    },
    /// Answers [`Register`](crate::AgentInput::Register).
    Registered {
        /// Whom.
        to: ConnectionId,
        /// The request.
        request: RequestId,
        /// The incarnation that it was about.
        handle: Handle,
        /// The revision that brought it online, or why it was refused.
        result: Result<Revision, Refusal>,
    },
    /// Answers the other requests.
    Answer {
        /// Whom.
        to: ConnectionId,
        /// The request.
        request: RequestId,
        /// The revision that has the change, or why it was refused.
        result: Result<Revision, Refusal>,
    },
    /// Answers an operator's request.
    OperatorAnswer {
        /// The request.
        request: RequestId,
        /// The revision that has the change, or why it was refused.
        result: Result<Revision, Refusal>,
    },
    /// Answers a keepalive.
    KeptAlive {
        /// Whom.
        to: ConnectionId,
        /// The number of the keepalive.
        seq: u64,
        /// The leaderships of its session: their deadlines count anew from when the keepalive was
        /// sent.
        leads: Vec<Leading>,
    },
    /// Answers [`Run`](crate::AgentInput::Run) and [`GiveUp`](crate::AgentInput::GiveUp).
    Campaigned {
        /// Whom.
        to: ConnectionId,
        /// The request.
        request: RequestId,
        /// The candidate.
        handle: Handle,
        /// What became of it, or why it was refused.
        result: Result<Campaigned, Refusal>,
    },
    /// Tells who leads a service name: encode once, share.
    Leader {
        /// Whom, in order.
        to: Vec<ConnectionId>,
        /// Who leads.
        standing: Arc<Standing>,
    },
    /// Asks routers of a stateful service to hold what a round would move, and to answer with
    /// [`Prepared`](crate::AgentInput::Prepared). It may not overtake the placement that it is about:
    /// a connection whose queue is full is not asked, but said to have
    /// [`Overflowed`](crate::AgentInput::Overflowed); it is asked once it has its snapshot.
    Prepare {
        /// Whom, in order.
        to: Vec<ConnectionId>,
        /// For what.
        round: Arc<Preparation>,
    },
    /// Tells routers how a round ended; the placement that it made came before this.
    RoundEnded {
        /// Whom, in order.
        to: Vec<ConnectionId>,
        /// The service.
        name: ServiceName,
        /// Which round.
        round: RoundId,
        /// How.
        end: RoundEnd,
    },
    /// Makes a record durable, and says so with [`StoreInput`](crate::StoreInput). Records of one
    /// name in order.
    Persist(Durable),
    /// Sends a snapshot: encode once, share.
    Snapshot {
        /// Whom, in order.
        to: Vec<ConnectionId>,
        /// What.
        snapshot: Arc<Snapshot>,
    },
    /// Sends a delta: encode once, share. An empty one confirms that nothing was missed.
    Delta {
        /// Whom, in order.
        to: Vec<ConnectionId>,
        /// What.
        delta: Arc<Delta>,
    },
    /// A watch is not served.
    WatchRefused {
        /// Whom.
        to: ConnectionId,
        /// The name that was asked for.
        name: ServiceName,
        /// Why.
        refusal: Refusal,
    },
    /// Tells an agent that one of its instances was taken offline by an operator.
    KickOff {
        /// Whom.
        to: ConnectionId,
        /// The incarnation.
        handle: Handle,
        /// Why.
        reason: Arc<str>,
    },
    /// Closes a connection after what was sent to it. The registry has forgotten it already.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// Something worth counting, for some an alarm.
    Note(Note),
}

/// A leadership that is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leading {
    /// The leader.
    pub handle: Handle,
    /// Its term.
    pub term: Term,
}

/// What became of a wish to lead, or to lead no longer. Who leads is said by
/// [`Action::Leader`], whenever that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaigned {
    /// It stands, and nobody leads yet.
    Stands,
    /// It stands behind a leader.
    Behind,
    /// It leads already.
    AlreadyLeads,
    /// It led, and stands no longer.
    SteppedDown,
    /// It did not lead, and stands no longer.
    Quit,
}

impl Campaigned {
    /// The result of an agent of protocol 1's request, in the origin's numbers.
    pub const fn code_v1(self) -> ResultCode {
        match self {
            Self::Stands | Self::SteppedDown => ResultCode::OK,
            Self::Behind => ResultCode::RUN_FAILED,
            Self::AlreadyLeads => ResultCode::ALREADY_LEADER,
            Self::Quit => ResultCode::QUIT_CANDIDATE,
        }
    }
}

/// Why the registry closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The agent said goodbye.
    #[error("goodbye")]
    Goodbye,
    /// Nothing was heard for a whole lease.
    #[error("nothing was heard for a whole lease; connect again and replay")]
    LeaseEnded,
    /// The same agent has connected anew.
    #[error("the same agent has connected anew")]
    Superseded,
    /// A second hello on one connection.
    #[error("a connection introduces itself once; open another one for another app")]
    SecondHello,
    /// An operator ended the session.
    #[error("an operator kicked the session off")]
    Kicked,
    /// The registry has as many sessions as it may.
    #[error("the nameserver has as many sessions as its limit `sessions` allows; raise it there")]
    TooManySessions,
}

/// Events for counters, alarms and the log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// A session began.
    SessionOpened(SessionId),
    /// A session goes on with another connection.
    SessionResumed(SessionId),
    /// A session lost its connection without a goodbye: its instances are suspect.
    SessionSuspect(SessionId),
    /// A session is over.
    SessionEnded(SessionId, SessionEnd),
    /// A registration was refused.
    RegistrationRefused(ResultCode),
    /// A restarted process took its URL over from a suspect incarnation.
    TakenOver(ServiceUrl),
    /// Alarm: the mass-loss guard keeps this many instances as suspect that would be offline.
    LossHeld(ServiceName, usize),
    /// The guard's time cap passed: the instance went offline after all.
    LossReleased(ServiceUrl),
    /// An instance of an agent of protocol 1 went offline, as no heartbeat of it came.
    HeartbeatsLost(ServiceUrl),
    /// A slow watcher's deltas collapsed into "needs a snapshot".
    WatcherLagged(ConnectionId, ServiceName),
    /// A router did not prepare within a round's time and was told the placement anew.
    RouterStale(ConnectionId, ServiceName),
    /// Who leads a service name has changed.
    Led(Box<Standing>),
    /// Alarm: the store did not take a record.
    NotStored(Box<Durable>),
    /// The registry itself was not run for this long; leases and graces begin anew.
    Stalled(Duration),
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SessionEnd {
    /// On purpose.
    Goodbye,
    /// Silence for a whole lease.
    LeaseEnded,
    /// The socket closed and nobody resumed within the grace.
    GraceEnded,
    /// The socket closed and the session owned nothing.
    Disconnected,
    /// An operator ended it.
    Kicked,
}
