//! What a dialler is told of its messages that reached no inbox.

use skymesh_proto::{Msg, Refused};
use skymesh_transport::Outbox;
use skymesh_wire::{Kind, encode_msg};

use super::parts::Parts;
use crate::convert;
use crate::counters::Counters;
use crate::inbox::{Letter, UndeliverableReason};

/// Most requests that one refusal names; those beyond are named by another one. It keeps a frame
/// within 10 KiB, as a number takes up to 10 bytes.
const NAMED_REQUESTS: usize = 1024;

/// A message that reached no inbox.
pub(super) struct Stray {
    destination: u64,
    source: u64,
    bytes: u64,
    /// If somebody waits for its answer.
    request: Option<u64>,
}

/// Refusals of one read; consecutive ones of a kind are one.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<Refused>);

impl Stray {
    pub(super) fn new(parts: &Parts) -> Self {
        let request = request(parts.kind, parts.correlation);
        let (destination, source) = (parts.destination, parts.source);
        Self { destination, source, bytes: parts.cost(), request }
    }

    pub(super) fn of(letter: &Letter, destination: u64) -> Self {
        let request = request(letter.kind, letter.correlation);
        let source = letter.source_handle.get();
        Self { destination, source, bytes: letter.cost(), request }
    }
}

fn request(kind: u8, correlation: u64) -> Option<u64> {
    // It may be for a leader, or of one.
    (Kind(kind & Kind::MAX.0) == Kind::REQUEST && correlation != 0).then_some(correlation)
}

impl Refusals {
    pub(super) fn note(&mut self, stray: &Stray, reason: UndeliverableReason, counters: &Counters) {
        counters.refused(reason).add(1);
        let (term, leader) = convert::refusal_hint(reason);
        let reason: i32 = convert::refusal_reason(reason).into();
        let of_a_kind = |last: &&mut Refused| {
            (last.destination, last.source, last.reason, last.term, last.leader)
                == (stray.destination, stray.source, reason, term, leader)
                && last.requests.len() < NAMED_REQUESTS
        };
        if let Some(last) = self.0.last_mut().filter(of_a_kind) {
            last.bytes += stray.bytes;
            last.messages += 1;
            return last.requests.extend(stray.request);
        }
        self.0.push(Refused {
            destination: stray.destination,
            source: stray.source,
            reason,
            bytes: stray.bytes,
            messages: 1,
            requests: stray.request.into_iter().collect(),
            term,
            leader,
        });
    }

    pub(super) fn tell(&mut self, outbox: &Outbox) {
        for refused in self.0.drain(..) {
            let msg = Msg::from(refused);
            let _ = outbox.push_control(|out| encode_msg(&msg, out));
        }
    }

    /// A v1 dialler hears of nothing.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stray(source: u64, request: Option<u64>) -> Stray {
        Stray { destination: 1, source, bytes: 100, request }
    }

    #[test]
    fn refusals_of_a_kind_are_one_that_names_its_requests_as_far_as_there_is_room() {
        let (mut refusals, counters) = (Refusals::default(), Counters::default());
        let full = UndeliverableReason::InboxFull;
        for request in [Some(7), None, Some(9)] {
            refusals.note(&stray(2, request), full, &counters);
        }
        refusals.note(&stray(3, Some(8)), full, &counters);
        refusals.note(&stray(3, None), UndeliverableReason::Closing, &counters);
        let brief = |refused: &Refused| (refused.messages, refused.bytes, refused.requests.clone());
        let told: Vec<_> = refusals.0.iter().map(brief).collect();
        assert_eq!(told, [(3, 300, vec![7, 9]), (1, 100, vec![8]), (1, 100, vec![])]);
        assert_eq!(counters.refused_inbox_full.get(), 4);

        refusals.forget();
        for request in 1..=NAMED_REQUESTS as u64 + 1 {
            refusals.note(&stray(2, Some(request)), full, &counters);
        }
        let named: Vec<_> = refusals.0.iter().map(|refused| refused.requests.len()).collect();
        assert_eq!(named, [NAMED_REQUESTS, 1]);
    }
}
