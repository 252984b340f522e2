//! What travels: the inputs and actions of the real cores, unencoded, and the requests of a small
//! storage service that leaders write to.

use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::election::{Standing, Term};
use skymesh_naming::placement::{Bounced, Epoch, Parcel, Preparation, RoundEnd, RoundId};
use skymesh_naming::{AgentInput, Delta, Leading, RequestId, Snapshot};
use skymesh_types::Handle;

#[derive(Debug)]
pub(crate) enum Message {
    /// An agent to the nameserver.
    Ask(AgentInput),
    /// The nameserver to an agent.
    Said(Said),
    /// A leader to the register.
    Store(RegisterRequest),
    /// The register to a leader.
    Stored(RegisterReply),
    /// An agent to an agent.
    Post(Post),
}

/// What the nameserver says.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Welcome { lease: Duration },
    Registered { handle: Handle, accepted: bool },
    KeptAlive { seq: u64, leads: Vec<Leading> },
    Leader(Arc<Standing>),
    KickOff(Handle),
    Answered(RequestId),
    Snapshot(Arc<Snapshot>),
    Delta(Arc<Delta>),
    Prepare(Arc<Preparation>),
    RoundEnded(RoundId, RoundEnd),
}

/// What agents say to each other.
#[derive(Debug)]
pub(crate) enum Post {
    Parcel {
        to: Handle,
        epoch: Epoch,
        parcel: Parcel<u64>,
    },
    Bounced(Bounced<u64>),
    /// Whether all that came before has arrived.
    Ping(u64),
    Pong(u64),
}

/// Every request carries the term that its sender leads in, and its number within that term, so that
/// a leader's own requests never overtake each other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RegisterRequest {
    Read {
        register: usize,
        term: Term,
        seq: u64,
    },
    /// The next value, from the one that the leader believes to be there.
    Write {
        register: usize,
        term: Term,
        seq: u64,
        based_on: u64,
        value: u64,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum RegisterReply {
    Value { register: usize, term: Term, seq: u64, value: u64 },
    Refused { register: usize, term: Term, seq: u64 },
}
