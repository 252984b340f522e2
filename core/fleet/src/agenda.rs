//! What will happen, in the order of time; what is due at one time, in the order of noting it down.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::tally::CallId;

/// Something that happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A client makes its next call.
    Call { client: usize },
    /// A call reaches its server.
    Reach { call: CallId },
    /// A server has done its work for a call, if it is still the same incarnation.
    Done { server: usize, incarnation: u32, call: CallId },
    /// The answer, or the word that there will be none, is back at the client.
    Answer { call: CallId, answered: bool },
    /// A client pings every server that it knows.
    Ping { client: usize },
    /// A server's answer to a ping is back.
    Pong { client: usize, server: usize, incarnation: u32, sent_ns: u64 },
    /// In a churn: a server dies, or a dead one comes back.
    Churn,
    /// What a scenario has in store for a server.
    Change { server: usize, change: Change },
    /// A client hears of the membership of now.
    Learn { client: usize },
    /// A client looks at what only time changes, as agents do.
    Review { client: usize },
}

/// What becomes of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Drain,
    Die,
    /// It dies, and is held as suspect.
    Vanish,
    Rise,
}

/// The queue of events. It holds one event per open call and a few per client and server: it is
/// bounded by what the run's settings let be open.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    noted: u64,
}

impl Agenda {
    pub(crate) fn note(&mut self, at_ns: u64, event: Event) {
        self.noted += 1;
        self.events.push(Reverse((at_ns, self.noted, event)));
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Event)> {
        self.events.pop().map(|Reverse((at_ns, _, event))| (at_ns, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_comes_first_and_then_the_order_of_noting() {
        let mut agenda = Agenda::default();
        for (at_ns, client) in [(5, 3), (1, 2), (5, 1)] {
            agenda.note(at_ns, Event::Ping { client });
        }
        let all: Vec<_> = std::iter::from_fn(|| agenda.next()).collect();
        let ping = |client| Event::Ping { client };
        assert_eq!(all, [(1, ping(2)), (5, ping(3)), (5, ping(1))]);
    }
}
