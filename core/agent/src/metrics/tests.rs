//! Each counter is shown under its own name, and each refusal counted and told by its own reason: two that
//! are mixed up fail here, where all have different values.

use skymesh_naming::election::Term;
use skymesh_proto::Refused;
use skymesh_telemetry::catalogue::Metric;

use super::*;
use crate::bare;
use crate::convert;
use crate::counters::{Counter, Counters};
use crate::inbox::UndeliverableReason;

type Shown<'a> = (&'a Counter, &'static Metric, Vec<&'static str>);

/// Every counter but that of received messages, which are shown by service.
fn counters(all: &Counters) -> Vec<Shown<'_>> {
    use catalogue::{
        CONNECTIONS_REFUSED, EVENTS_LAGGED, KEYED, PINGS_LOST, UNCONFIRMED, UNDELIVERABLE,
        UNKNOWN_COMMANDS, UPLINKS_LOST,
    };
    vec![
        (&all.refused_unknown_handle, &catalogue::REFUSED, vec!["unknown_handle"]),
        (&all.refused_inbox_full, &catalogue::REFUSED, vec!["inbox_full"]),
        (&all.refused_source_offline, &catalogue::REFUSED, vec!["source_offline"]),
        (&all.refused_unknown_source, &catalogue::REFUSED, vec!["unknown_source"]),
        (&all.refused_malformed, &catalogue::REFUSED, vec!["malformed"]),
        (&all.refused_closing, &catalogue::REFUSED, vec!["closing"]),
        (&all.refused_stale_term, &catalogue::REFUSED, vec!["stale_term"]),
        (&all.refused_not_leader, &catalogue::REFUSED, vec!["not_leader"]),
        (&all.undeliverable, &UNDELIVERABLE, vec![]),
        (&all.unconfirmed, &UNCONFIRMED, vec![]),
        (&all.keyed_turned_back, &KEYED, vec!["turned_back"]),
        (&all.keyed_bounced, &KEYED, vec!["bounced"]),
        (&all.keyed_bounces_refused, &KEYED, vec!["bounces_refused"]),
        (&all.keyed_undelivered, &KEYED, vec!["undelivered"]),
        (&all.unknown_commands, &UNKNOWN_COMMANDS, vec![]),
        (&all.connections_refused, &CONNECTIONS_REFUSED, vec![]),
        (&all.events_lagged, &EVENTS_LAGGED, vec![]),
        (&all.uplinks_lost, &UPLINKS_LOST, vec![]),
        (&all.pings_lost, &PINGS_LOST, vec![]),
    ]
}

#[test]
fn every_counter_is_shown_by_its_own_name() {
    let (runtime, _commands) = bare::runtime();
    let counters = counters(&runtime.counters);
    assert_eq!(counters.len() + 1, runtime.counters.all().len(), "one is not in the list");
    for (number, (counter, ..)) in (1..).zip(&counters) {
        counter.add(number);
    }
    let mut samples = Samples::default();
    runtime.collect(&mut samples);
    let shown = samples.shown();
    for (number, (_, metric, labels)) in (1..).zip(&counters) {
        let expected = (metric.name, labels.clone(), f64::from(number));
        let of_it = shown.iter().filter(|one| (one.0, &one.1) == (metric.name, labels));
        assert_eq!(of_it.collect::<Vec<_>>(), [&expected]);
    }
}

#[test]
fn every_refusal_has_a_counter_and_a_word_of_its_own() {
    use UndeliverableReason as Reason;
    let (term, leader) = (Term(7), Some(bare::handle(9)));
    let reasons = [
        (Reason::UnknownHandle, "refused_unknown_handle"),
        (Reason::InboxFull, "refused_inbox_full"),
        (Reason::SourceOffline, "refused_source_offline"),
        (Reason::UnknownSource, "refused_unknown_source"),
        (Reason::Malformed, "refused_malformed"),
        (Reason::Closing, "refused_closing"),
        (Reason::StaleTerm { newest: term }, "refused_stale_term"),
        (Reason::NotLeader { term, leader }, "refused_not_leader"),
    ];
    let counters = Counters::default();
    for (number, (reason, _)) in (1..).zip(reasons) {
        counters.refused(reason).add(number);
        let (term, leader) = convert::refusal_hint(reason);
        let said = convert::refusal_reason(reason).into();
        let said = Refused { reason: said, term, leader, ..Refused::default() };
        assert_eq!(convert::undeliverable(&said), reason);
    }
    let all = counters.all();
    let counted: Vec<_> =
        all.iter().filter(|(name, _)| name.starts_with(REFUSED_COUNTER)).collect();
    assert_eq!(counted.len(), reasons.len());
    for (number, (_, name)) in (1..).zip(reasons) {
        assert!(counted.contains(&&(name, number)), "{name} is not {number}: {counted:?}");
    }
}
