//! The kind `election`: picks a leader among candidates. When to ask, numbering terms and making a
//! result durable are the core's affair.

use crate::PluginError;
use crate::abi::layout::{Ballot, CandidateEntry, DRAINING, SUSPECT};
use crate::config::NO_CONFIG;

/// Picks the leader of a service name. Runs in the nameserver, whenever the candidates of a name
/// change or a leader is lost; never on a message path.
///
/// Contract, and what happens when it is broken:
/// * The answer is an index below [`Ballot::len`], or `None` for "nobody for now". Else, and after
///   a panic, the core decides by its built-in rule (the incumbent stays; else first come) and
///   counts the failure.
/// * To keep the incumbent, answer its index. Any other index takes the leadership from it at once,
///   with a new term: an algorithm that pre-empts must not flap.
/// * Whoever was just elected is kept, as long as nothing else changes: else leaders would follow each
///   other without end, each for one term.
/// * Equal ballots should give equal answers, so that a replay after a crash agrees.
pub trait Election: Send + Sync + Sized + 'static {
    /// The name in configurations, `[a-z0-9_]+`.
    const ID: &'static str;
    /// One line for `skymesh plugin list`.
    const DESCRIPTION: &'static str = "";
    /// As [`Selector::CONFIG_SCHEMA`](crate::Selector::CONFIG_SCHEMA).
    const CONFIG_SCHEMA: &'static str = NO_CONFIG;

    /// As [`Selector::Config`](crate::Selector::Config).
    type Config: serde::de::DeserializeOwned;

    /// Makes the algorithm.
    ///
    /// # Errors
    /// As [`Selector::new`](crate::Selector::new).
    fn new(config: Self::Config) -> Result<Self, PluginError>;

    /// Picks the leader, by index into the ballot.
    fn elect(&self, ballot: &Ballot<'_>) -> Option<usize>;
}

/// One candidate, as the nameserver knows it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    entry: &'a CandidateEntry<'a>,
}

impl<'a> Candidate<'a> {
    /// Its instance id; unique within the ballot.
    pub fn instance(&self) -> u64 {
        self.entry.instance
    }

    /// Its handle: differs between two incarnations of one instance.
    pub fn handle(&self) -> u64 {
        self.entry.handle
    }

    /// Its merged attributes as JSON text.
    pub fn attributes(&self) -> &'a str {
        self.entry.attributes.as_str()
    }

    /// The priority it registered with; 0 unless it named one. Higher is more willing.
    pub fn priority(&self) -> i64 {
        self.entry.priority
    }

    /// Its place in the order of joining: lower came first.
    pub fn joined(&self) -> u64 {
        self.entry.joined
    }

    /// Nanoseconds since its agent was last heard.
    pub fn last_heard_ago_ns(&self) -> u64 {
        self.entry.last_heard_ago_ns
    }

    /// Whether its loss is doubted.
    pub fn is_suspect(&self) -> bool {
        self.entry.flags & SUSPECT != 0
    }

    /// Whether it is going offline on purpose.
    pub fn is_draining(&self) -> bool {
        self.entry.flags & DRAINING != 0
    }
}

impl<'a> Ballot<'a> {
    /// How many candidates there are.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there is no candidate.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The candidate at `index`. Candidates are in the order of their instance ids.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn candidate(&self, index: usize) -> Candidate<'a> {
        Candidate { entry: &self.candidates.as_slice()[index] }
    }

    /// All candidates, in order of their instance ids.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        self.candidates.as_slice().iter().map(|entry| Candidate { entry })
    }

    /// Where the present leader stands in the list, if there is one and it is still a candidate.
    pub fn incumbent(&self) -> Option<usize> {
        usize::try_from(self.incumbent).ok().filter(|index| *index < self.len())
    }

    /// The term of the present leadership, or of the last one; 0 before the first.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The nameserver's monotonic clock, in nanoseconds from an arbitrary zero.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// How long the present leader has led, in nanoseconds; 0 without one. For damping pre-emption.
    pub fn led_for_ns(&self) -> u64 {
        self.led_for_ns
    }
}
