//! Each value is shown under its own name: two that are mixed up fail here, where all have different ones.

use skymesh_naming::election::{CampaignId, Leader, Standing, Term};
use skymesh_naming::{ConnectionId, Input, Note, ResultCode, SessionEnd};
use skymesh_types::{Handle, ServiceName, ServiceUrl, SessionId};
use tokio::sync::mpsc;

use super::*;
use crate::keeper::Event;

fn shown(counters: &Counters) -> Vec<(String, f64)> {
    let mut samples = Samples::default();
    counters.collect(&mut samples);
    let series = samples.shown().into_iter();
    series.map(|(name, labels, value)| (format!("{name} {}", labels.join(" ")), value)).collect()
}

#[test]
fn every_size_is_shown_by_its_own_name() {
    let counters = Counters::default();
    let size = &counters.size;
    let sizes = [
        (&size.instances, "skymesh_registry_instances "),
        (&size.sessions, "skymesh_registry_sessions "),
        (&size.revision, "skymesh_registry_revision "),
        (&size.open_rounds, "skymesh_open_rounds "),
        (&size.rounds_committed, "skymesh_rounds_total committed"),
        (&size.rounds_aborted, "skymesh_rounds_total aborted"),
    ];
    let mut expected = Vec::new();
    for (number, (value, name)) in (1u32..).zip(sizes) {
        value.store(number.into(), Relaxed);
        expected.push((name.to_owned(), f64::from(number)));
    }
    let room: ServiceName = "app.env.room".parse().unwrap();
    lock(&counters.terms).insert(room.clone(), 8);
    lock(&counters.led).insert(room.clone(), true);
    lock(&counters.epochs).insert(room, 9);
    for (name, value) in [
        ("skymesh_leader_term app.env.room", 8.0),
        ("skymesh_service_led app.env.room", 1.0),
        ("skymesh_placement_epoch app.env.room", 9.0),
    ] {
        expected.push((name.to_owned(), value));
    }
    let (events, mut queue) = mpsc::channel(20);
    counters.queue.look_at(&events);
    (0..10).for_each(|_| events.try_send(Event::Input(Input::NewRules)).unwrap());
    expected.push(("skymesh_registry_queue ".to_owned(), 10.0));
    let seen = shown(&counters);
    for one in expected {
        let (name, _) = &one;
        let of_it: Vec<_> = seen.iter().filter(|(have, _)| have == name).collect();
        assert_eq!(of_it, [&one]);
    }
    queue.try_recv().unwrap();
    assert!(shown(&counters).contains(&("skymesh_registry_queue ".to_owned(), 9.0)));
    drop((events, queue));
    assert!(shown(&counters).contains(&("skymesh_registry_queue ".to_owned(), 0.0)));
}

/// What the registry notes, and the counter that it moves, by how much.
fn notes() -> Vec<(Note, &'static str, u64)> {
    let session = SessionId::new(1).unwrap();
    let url: ServiceUrl = "app.env.room/1".parse().unwrap();
    let name = url.name.clone();
    vec![
        (Note::SessionOpened(session), "sessions_opened", 1),
        (Note::SessionResumed(session), "sessions_resumed", 1),
        (Note::SessionSuspect(session), "sessions_suspect", 1),
        (Note::SessionEnded(session, SessionEnd::Goodbye), "sessions_left", 1),
        (Note::SessionEnded(session, SessionEnd::Disconnected), "sessions_left", 1),
        (Note::SessionEnded(session, SessionEnd::LeaseEnded), "sessions_lost", 1),
        (Note::SessionEnded(session, SessionEnd::GraceEnded), "sessions_lost", 1),
        (Note::SessionEnded(session, SessionEnd::Kicked), "sessions_kicked", 1),
        (Note::RegistrationRefused(ResultCode(1)), "registrations_refused", 1),
        (Note::TakenOver(url.clone()), "takeovers", 1),
        (Note::LossHeld(name.clone(), 5), "losses_held", 5),
        (Note::LossReleased(url), "losses_released", 1),
        (Note::WatcherLagged(ConnectionId(1), name.clone()), "watchers_lagged", 1),
        (Note::RouterStale(ConnectionId(1), name), "routers_stale", 1),
        (Note::Stalled(std::time::Duration::from_secs(1)), "stalls", 1),
    ]
}

#[test]
fn every_note_moves_its_own_counter_and_is_shown_by_its_name() {
    for (note, event, count) in notes() {
        let counters = Counters::default();
        counters.note(&note);
        let moved: Vec<_> =
            shown(&counters).into_iter().filter(|(_, value)| *value > 0.0).collect();
        let expected = format!("skymesh_nameserver_events_total {event}");
        assert_eq!(moved, [(expected, count as f64)], "{note:?}");
    }
    let counters = Counters::default();
    let name: ServiceName = "app.env.room".parse().unwrap();
    let led = |leader| Note::Led(Box::new(Standing { name: name.clone(), term: Term(1), leader }));
    let (url, handle) = ("app.env.room/1".parse().unwrap(), Handle::new(1).unwrap());
    for (leader, expected) in
        [(Leader::Is { url, handle, campaign: CampaignId(1) }, 1.0), (Leader::Nobody, 0.0)]
    {
        counters.note(&led(leader));
        let shows = ("skymesh_service_led app.env.room".to_owned(), expected);
        assert!(shown(&counters).contains(&shows), "{:?}", shown(&counters));
    }
}
