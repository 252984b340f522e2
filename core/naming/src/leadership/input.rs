//! What [`Leaderships`](super::Leaderships) are told and what they want done: plain values.

use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{Handle, ServiceName};

use crate::Leading;
use crate::election::{CampaignId, Standing, Term};

/// One thing that happened at the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum LeadershipInput {
    /// The registry welcomed a new connection, and every registration has been said on it.
    Connected {
        /// The lease that it named.
        lease: Duration,
    },
    /// The connection is gone; nothing that comes from it later may be fed any more.
    Disconnected,
    /// An instance is to stand. Does nothing if it stands already.
    Run {
        /// The instance.
        handle: Handle,
        /// Its service.
        name: ServiceName,
        /// See [`Candidacy`](crate::Candidacy).
        priority: i64,
    },
    /// An instance is to stand no longer; if it leads, it resigns: at once, or when its guarded work
    /// is done.
    GiveUp(Handle),
    /// An instance is about to be unregistered; it stops leading at once.
    Forget(Handle),
    /// Guarded work of a leader begins: until it ends, the registry does not hear that the leader stood
    /// down, whether it resigns or is revoked. To be asked first:
    /// [`Leaderships::may_begin`](super::Leaderships::may_begin).
    Begin(Handle),
    /// Guarded work of a leader has ended.
    Finish(Handle),
    /// A keepalive is about to be sent.
    BeatSent(u64),
    /// A keepalive was answered.
    BeatAnswered {
        /// Which.
        seq: u64,
        /// The leaderships that the registry confirms.
        leads: Vec<Leading>,
    },
    /// The registry says who leads.
    Heard(Arc<Standing>),
    /// Time passed.
    Tick,
}

/// One thing to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeadershipAction {
    /// Send this to the registry.
    Say(LeadershipSaying),
    /// An instance leads from now on.
    Elected {
        /// The instance.
        handle: Handle,
        /// Its term.
        term: Term,
        /// Until when, unless it is extended.
        deadline: Duration,
    },
    /// A leadership lasts longer.
    Extended {
        /// The instance.
        handle: Handle,
        /// Until when.
        deadline: Duration,
    },
    /// An instance no longer leads.
    Ended {
        /// The instance.
        handle: Handle,
        /// Its term.
        term: Term,
        /// Why.
        why: Lost,
    },
}

/// Why a leadership ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// Nobody confirmed it in time.
    Deadline,
    /// The registry gave it to somebody else, or to nobody.
    Revoked,
    /// It was given up.
    Resigned,
}

/// What is said to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadershipSaying {
    /// Stands: [`AgentInput::Run`](crate::AgentInput::Run).
    Run {
        /// The candidate.
        handle: Handle,
        /// Which of its candidacies.
        campaign: CampaignId,
        /// See [`Candidacy`](crate::Candidacy).
        priority: i64,
        /// The term that it believes to lead in.
        claim: Option<Term>,
        /// The newest term it knows of.
        seen: Term,
    },
    /// Stands no longer: [`AgentInput::GiveUp`](crate::AgentInput::GiveUp).
    GiveUp {
        /// The candidate.
        handle: Handle,
    },
    /// No longer leads: [`AgentInput::StandDown`](crate::AgentInput::StandDown).
    StandDown {
        /// The candidate.
        handle: Handle,
        /// In this term.
        term: Term,
    },
}
