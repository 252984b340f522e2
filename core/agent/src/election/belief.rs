//! What one instance may believe of its leadership. Written by the elections, read by the instance,
//! its leaderships and the connections that bring it messages.

use std::time::Instant;

use skymesh_naming::Lost;
use skymesh_naming::election::Term;
use skymesh_types::Handle;
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub(crate) struct Belief(watch::Sender<Believed>);

/// As of one moment; what lasts until a deadline is only true before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Believed {
    /// The term in which it leads, and until when.
    lead: Option<(Term, Instant)>,
    /// The leadership that ended last.
    past: Option<(Term, Lost)>,
    /// The newest term that it has heard of, and who leads in it.
    heard: (Term, Option<Handle>),
}

impl Believed {
    /// The term in which it leads at `now`, and until when.
    pub(crate) fn leads(&self, now: Instant) -> Option<(Term, Instant)> {
        self.lead.filter(|(_, deadline)| now < *deadline)
    }

    /// Until when it may lead in `term`, if that was not ended; the time may be over.
    pub(crate) fn deadline(&self, term: Term) -> Option<Instant> {
        self.lead.filter(|(leads, _)| *leads == term).map(|(_, deadline)| deadline)
    }

    /// Why `term` is over.
    pub(crate) fn why(&self, term: Term) -> Lost {
        // Of terms before the last one nothing is kept: somebody else may have led since.
        self.past.filter(|(past, _)| *past == term).map_or(Lost::Revoked, |(_, why)| why)
    }

    /// The newest term that it has heard of, and who leads in it.
    pub(crate) const fn heard(&self) -> (Term, Option<Handle>) {
        self.heard
    }
}

impl Default for Belief {
    fn default() -> Self {
        Self(watch::Sender::new(Believed::default()))
    }
}

impl Belief {
    /// As of now.
    pub(crate) fn now(&self) -> Believed {
        *self.0.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Believed> {
        self.0.subscribe()
    }

    pub(super) fn elected(&self, term: Term, deadline: Instant, own: Handle) {
        self.0.send_modify(|believed| {
            believed.lead = Some((term, deadline));
            believed.hear(term, Some(own));
        });
    }

    pub(super) fn extended(&self, to: Instant) {
        self.0.send_modify(|believed| {
            if let Some((_, deadline)) = &mut believed.lead {
                *deadline = to;
            }
        });
    }

    pub(super) fn ended(&self, term: Term, why: Lost) {
        self.0.send_modify(|believed| {
            believed.lead = None;
            believed.past = Some((term, why));
            if believed.heard.0 == term {
                believed.heard.1 = None;
            }
        });
    }

    /// The instance is off the mesh: whoever waits until it leads has to look.
    pub(crate) fn left(&self) {
        self.0.send_modify(|_| ());
    }

    /// The nameserver says who leads.
    pub(super) fn heard(&self, term: Term, leader: Option<Handle>) {
        self.0.send_modify(|believed| believed.hear(term, leader));
    }
}

impl Believed {
    fn hear(&mut self, term: Term, leader: Option<Handle>) {
        if term >= self.heard.0 {
            self.heard = (term, leader);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_leadership_is_over_at_its_deadline_without_a_word() {
        let (belief, start) = (Belief::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let own = Handle::new(7).unwrap();
        assert_eq!(belief.now().leads(start), None);
        belief.elected(Term(3), at(10), own);
        assert_eq!(belief.now().leads(at(9)), Some((Term(3), at(10))));
        assert_eq!(belief.now().leads(at(10)), None);
        belief.extended(at(20));
        assert_eq!(belief.now().leads(at(10)), Some((Term(3), at(20))));
        assert_eq!(belief.now().heard(), (Term(3), Some(own)));
        belief.ended(Term(3), Lost::Revoked);
        assert_eq!((belief.now().leads(start), belief.now().why(Term(3))), (None, Lost::Revoked));
        assert_eq!(belief.now().heard(), (Term(3), None), "it is no hint to itself");
    }

    #[test]
    fn word_of_older_terms_changes_nothing() {
        let belief = Belief::default();
        let [one, two] = [1, 2].map(|id| Handle::new(id).ok());
        belief.heard(Term(5), one);
        belief.heard(Term(4), two);
        assert_eq!(belief.now().heard(), (Term(5), one));
        belief.heard(Term(5), None);
        assert_eq!(belief.now().heard(), (Term(5), None), "the same term without a leader");
    }
}
