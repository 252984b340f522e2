//! The fence at the receiver: what a leader of an older term says is refused, whatever the clocks
//! of the world did. It knows nothing of who leads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::election::Term;

/// Somebody of an older term wants in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("term {term} is over: a leader of term {newest} was here already")]
pub struct StaleTerm {
    /// The term of who was refused.
    pub term: Term,
    /// The newest term that was admitted.
    pub newest: Term,
}

/// Admits leaders of the newest term that it has seen, or newer. May be asked from many threads at
/// once; no lock.
///
/// What it guards must be done before a newer term is admitted, or in the order of admission:
/// otherwise a write that was admitted early can happen late.
#[derive(Debug, Default)]
pub struct FenceGate(AtomicU64);

impl FenceGate {
    /// A gate that has seen `newest`. After a restart of what it guards, that is the newest term
    /// that was ever admitted, so keep that with what is guarded.
    pub const fn new(newest: Term) -> Self {
        Self(AtomicU64::new(newest.0))
    }

    /// Admits a leader of `term`.
    ///
    /// # Errors
    /// [`StaleTerm`] if a newer one was admitted before.
    pub fn admit(&self, term: Term) -> Result<(), StaleTerm> {
        let before = Term(self.0.fetch_max(term.0, Ordering::AcqRel));
        if term < before { Err(StaleTerm { term, newest: before }) } else { Ok(()) }
    }

    /// The newest term that was admitted.
    pub fn newest(&self) -> Term {
        Term(self.0.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_term_seen_is_the_least_admitted() {
        let gate = FenceGate::new(Term(2));
        let refused = |term, newest| Err(StaleTerm { term: Term(term), newest: Term(newest) });
        let cases = [(1, refused(1, 2)), (2, Ok(())), (5, Ok(())), (5, Ok(())), (4, refused(4, 5))];
        for (term, expected) in cases {
            assert_eq!(gate.admit(Term(term)), expected);
        }
        assert_eq!(gate.newest(), Term(5));
    }
}
