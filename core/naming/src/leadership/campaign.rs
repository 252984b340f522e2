//! One instance's candidacy: what it was promised and until when. It decides nothing by itself.

use std::time::Duration;

use skymesh_types::ServiceName;

use crate::election::{CampaignId, Term};

/// Where a candidacy stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Office {
    Stands,
    Leads {
        term: Term,
        deadline: Duration,
        /// It takes no new guarded work, and ends with what it has.
        resigning: bool,
    },
}

#[derive(Debug)]
pub(super) struct Campaign {
    pub(super) name: ServiceName,
    pub(super) priority: i64,
    pub(super) number: CampaignId,
    /// When the present connection was asked; a grant on it counts from then.
    pub(super) asked_at: Duration,
    pub(super) office: Office,
    /// The newest term that it led in, or turned down.
    pub(super) past: Term,
    /// Guarded work that is under way.
    pub(super) guards: usize,
    /// The term that was taken from it in the midst of guarded work: the word that it stood down is
    /// owed until that is done.
    pub(super) owed: Option<Term>,
}

impl Campaign {
    pub(super) const fn new(name: ServiceName, priority: i64) -> Self {
        Self {
            name,
            priority,
            number: CampaignId(0),
            asked_at: Duration::ZERO,
            office: Office::Stands,
            past: Term(0),
            guards: 0,
            owed: None,
        }
    }

    pub(super) const fn asked(&mut self, number: CampaignId, now: Duration) {
        self.number = number;
        self.asked_at = now;
    }

    pub(super) const fn term(&self) -> Option<Term> {
        match self.office {
            Office::Leads { term, .. } => Some(term),
            Office::Stands => None,
        }
    }

    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self.office {
            Office::Leads { deadline, .. } => Some(deadline),
            Office::Stands => None,
        }
    }

    pub(super) const fn is_resigning(&self) -> bool {
        matches!(self.office, Office::Leads { resigning: true, .. })
    }

    /// Makes the deadline later; answers whether it did.
    pub(super) fn extend(&mut self, to: Duration) -> bool {
        match &mut self.office {
            Office::Leads { deadline, .. } if *deadline < to => {
                *deadline = to;
                true
            }
            _ => false,
        }
    }

    /// Begins to resign; answers whether there is guarded work to wait for.
    pub(super) const fn resign(&mut self) -> bool {
        match &mut self.office {
            Office::Leads { resigning, .. } if self.guards > 0 => {
                *resigning = true;
                true
            }
            _ => false,
        }
    }
}
