//! How an election stands, as an application sees it.

use skymesh_naming::election::{self as naming, Term};
use skymesh_types::{Handle, ServiceUrl};

/// Who leads a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The instance.
    pub url: ServiceUrl,
    /// The incarnation of it.
    pub handle: Handle,
    /// Its term; `None` at a nameserver of protocol 1, which knows none.
    pub term: Option<Term>,
}

/// How an election stands, as far as this agent knows. Never "nobody" where it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Nothing was heard of it yet, or it is not watched any more.
    Loading,
    /// The nameserver started lately, and the leader of its past may still lead.
    Unknown,
    /// Nobody leads.
    Nobody,
    /// This one leads.
    Leads(Leader),
    /// The nameserver is out of reach. That was the leader when it was last heard.
    Stale(Option<Leader>),
}

impl Standing {
    /// Who leads, or did when the nameserver was last heard.
    pub const fn leader(&self) -> Option<&Leader> {
        match self {
            Self::Leads(leader) | Self::Stale(Some(leader)) => Some(leader),
            _ => None,
        }
    }

    /// Whether the nameserver has said anything about it.
    pub const fn is_loading(&self) -> bool {
        matches!(self, Self::Loading)
    }

    /// What the nameserver says; whether its terms are such is said by `knows_terms`.
    pub(super) fn said(said: &naming::Standing, terms: Terms) -> Self {
        match &said.leader {
            naming::Leader::Unknown => Self::Unknown,
            naming::Leader::Nobody => Self::Nobody,
            naming::Leader::Is { url, handle, .. } => Self::Leads(Leader {
                url: url.clone(),
                handle: *handle,
                term: terms.shown(said.term),
            }),
        }
    }

    /// The same once the nameserver is out of reach.
    pub(super) fn stale(&self) -> Self {
        match self {
            Self::Loading => Self::Loading,
            known => Self::Stale(known.leader().cloned()),
        }
    }
}

/// Whether the nameserver knows terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    Known,
    /// Protocol 1. The numbers in use are the agent's own, good for telling its leaderships apart
    /// and for nothing else.
    NotSupported,
}

impl Terms {
    pub(super) fn shown(self, term: Term) -> Option<Term> {
        (self == Self::Known).then_some(term)
    }
}
