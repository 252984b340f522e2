//! How candidates compare: what of a candidate counts, and when one takes over from another.

use std::cmp::Reverse;

use skymesh_plugin_api::Candidate;
use skymesh_plugin_api::serde_json::{Value, from_str};

/// What counts of one candidate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rank {
    draining: bool,
    suspect: bool,
    priority: i64,
    joined: u64,
}

impl Rank {
    /// Of `candidate`, with the priority that `attribute` holds if it holds one.
    pub(crate) fn of(candidate: Candidate<'_>, attribute: Option<&str>) -> Self {
        let said = attribute.and_then(|name| {
            // Attributes are one flat object; the nameserver has checked the text.
            from_str::<Value>(candidate.attributes()).ok()?.get(name)?.as_i64()
        });
        Self {
            draining: candidate.is_draining(),
            suspect: candidate.is_suspect(),
            priority: said.unwrap_or_else(|| candidate.priority()),
            joined: candidate.joined(),
        }
    }

    /// The best comes first.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        (self.draining, self.suspect, Reverse(self.priority), self.joined)
    }

    /// Whether this one takes the leadership from `leads`.
    pub(crate) fn outranks(&self, leads: &Self, margin: u32) -> bool {
        if self.draining != leads.draining {
            return leads.draining;
        }
        i128::from(self.priority) - i128::from(leads.priority) >= i128::from(margin)
    }
}
