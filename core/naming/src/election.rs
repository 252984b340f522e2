//! Elections: the words that the registry, the agents and the algorithms share. Who asks when, who
//! numbers terms and who makes them durable is the registry's affair (`registry/offices.rs`); what
//! an agent makes of it is in `leadership.rs`.

mod first_come;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{Attributes, Handle, InstanceId, ServiceName, ServiceUrl};

pub use first_come::FirstCome;

/// The number of one leadership: strictly increasing per service name, for ever. It is the fencing
/// token. 0 stands for "never".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Term(pub u64);

impl Term {
    /// The term after this one. The last one has no successor and stays; at one election per
    /// nanosecond that takes 500 years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which candidacy of an instance: the agent numbers them, so that a grant for one that it has
/// given up is not taken for a grant of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CampaignId(pub u64);

/// Who leads a service name, as the registry tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The service.
    pub name: ServiceName,
    /// The newest term that was announced; 0 before the first.
    pub term: Term,
    /// Who has it.
    pub leader: Leader,
}

/// The holder of a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leader {
    /// The registry started lately, and the leader of its past may still lead.
    Unknown,
    /// Nobody leads that the registry knows of.
    Nobody,
    /// This incarnation.
    Is {
        /// Its place in the mesh.
        url: ServiceUrl,
        /// The incarnation.
        handle: Handle,
        /// Its candidacy.
        campaign: CampaignId,
    },
}

impl Leader {
    /// The incarnation that leads, if one does.
    pub const fn handle(&self) -> Option<Handle> {
        match self {
            Self::Is { handle, .. } => Some(*handle),
            Self::Unknown | Self::Nobody => None,
        }
    }
}

/// One candidate on a [`Ballot`].
#[derive(Debug, Clone, PartialEq)]
pub struct BallotEntry {
    /// Its instance id; unique within the ballot.
    pub instance: InstanceId,
    /// The incarnation.
    pub handle: Handle,
    /// Its merged attributes.
    pub attributes: Arc<Attributes>,
    /// The priority that it stands with; 0 unless it named one.
    pub priority: i64,
    /// Its place in the order of joining: lower came first.
    pub joined: u64,
    /// Since its agent was last heard.
    pub silent_for: Duration,
    /// Whether its loss is doubted.
    pub suspect: bool,
    /// Whether it is going offline on purpose.
    pub draining: bool,
}

/// What an [`Elector`] decides on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ballot {
    /// In the order of their instance ids.
    pub candidates: Vec<BallotEntry>,
    /// Where the present leader stands in the list, if there is one.
    pub incumbent: Option<usize>,
    /// The newest term.
    pub term: Term,
    /// The registry's clock.
    pub now: Duration,
    /// How long the incumbent has led.
    pub led_for: Duration,
}

/// Picks leaders: the strategy behind the plugin kind `election`. Called when the candidates of a
/// name, or what a ballot says of them, change, or a leader is lost, by the one task that owns the
/// registry.
///
/// To keep the incumbent, answer its index; any other answer takes the leadership from it: it is
/// told at once, and the seat is free when it said that it stood down, or surely no longer believes in
/// it. Then the elector is asked again, without an incumbent. So one that pre-empts must not flap.
/// `None` is "nobody for now". One that can't say yet answers the incumbent's index, or `None` without one,
/// so that all is as it was, and is asked again by [`Input::AskAgain`](crate::Input::AskAgain). An index outside the ballot is taken for the built-in rule's answer
/// ([`FirstCome`]). Equal ballots should give equal answers.
pub trait Elector: fmt::Debug + Send {
    /// The leader of `name`, by index into the ballot's candidates.
    fn elect(&mut self, name: &ServiceName, ballot: &Ballot) -> Option<usize>;
}

/// How long before the end of its lease a leader stops to believe in it: a tenth. Agent and
/// registry measure the same lease with different clocks; with a tenth off, no two leaders overlap
/// as long as each clock's rate is within 5 % of true time ((1 - 0.05) / (1 + 0.05) > 0.9). Clocks
/// of real machines stay within 0.05 %.
const MARGIN_DIVISOR: u32 = 10;

/// Until when an agent may believe in a leadership that the registry confirmed in answer to
/// something sent at `sent`, by the agent's own clock.
pub fn leader_deadline(sent: Duration, lease: Duration) -> Duration {
    sent + (lease - lease / MARGIN_DIVISOR)
}
