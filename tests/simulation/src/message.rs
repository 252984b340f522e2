//! What travels: the inputs and actions of the real cores, unencoded, and the requests of a small
//! storage service that leaders write to.

use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::election::{Standing, Term};
use skymesh_naming::{AgentInput, Leading};
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
}

/// What the nameserver says.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Welcome { lease: Duration },
    Registered { handle: Handle, accepted: bool },
    KeptAlive { seq: u64, leads: Vec<Leading> },
    Leader(Arc<Standing>),
    KickOff(Handle),
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
