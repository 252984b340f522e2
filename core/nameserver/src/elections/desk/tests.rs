//! What becomes of ballots, and of those who wait, with a clock of the test's own.

use skymesh_naming::election::Term;
use skymesh_types::{Handle, InstanceId};

use super::*;

const CHOSEN: Verdict = Verdict::Chosen(Some(0));

fn ballot(instances: u64, silent_ms: u64) -> Ballot {
    let entry = |id| BallotEntry {
        instance: InstanceId::new(id).unwrap(),
        handle: Handle::new(id + 10).unwrap(),
        attributes: Arc::default(),
        priority: 0,
        joined: id,
        silent_for: Duration::from_millis(silent_ms),
        suspect: false,
        draining: false,
    };
    let candidates = (1..=instances).map(entry).collect();
    let (now, led_for) = (Duration::from_millis(silent_ms), Duration::ZERO);
    Ballot { candidates, incumbent: None, term: Term(7), now, led_for }
}

fn name(service: impl std::fmt::Display) -> ServiceName {
    format!("app.env.{service}").parse().unwrap()
}

/// What becomes of a ballot of one candidate.
fn put(desk: &mut Desk, name: &ServiceName, now: Instant) -> String {
    shown(&desk.put(name, &ballot(1, 0), now))
}

fn shown(put: &Put) -> String {
    match put {
        Put::Is(verdict) => format!("{verdict:?}"),
        Put::Later => "later".to_owned(),
        Put::Ask(_) => "ask".to_owned(),
    }
}

/// A desk whose plugin is busy with the room's ballot, for which the room waits.
fn busy(now: Instant) -> Desk {
    let mut desk = Desk::default();
    assert_eq!(put(&mut desk, &name("room"), now), "ask");
    assert_eq!(desk.look(&name("room")), None);
    desk
}

#[test]
fn an_answer_is_for_the_very_ballot_whatever_the_clock_says() {
    let now = Instant::now();
    // (whose ballot, of how many, what becomes of it once the room's of one is answered)
    let cases = [("room", 1, "Chosen(Some(0))"), ("room", 2, "ask"), ("hall", 1, "ask")];
    for (service, candidates, expected) in cases {
        let mut desk = busy(now);
        let back = desk.come_back(CHOSEN, now);
        assert_eq!((back.tell, back.late), (Some(name("room")), false));
        let heard = desk.put(&name(service), &ballot(candidates, 400), now);
        assert_eq!(shown(&heard), expected, "{service}");
    }
    let mut desk = busy(now);
    desk.come_back(CHOSEN, now);
    assert_eq!(put(&mut desk, &name("room"), now), "Chosen(Some(0))");
    assert_eq!(put(&mut desk, &name("room"), now), "ask", "heard once");
    // In time, nobody has to be told.
    assert!(desk.has(&name("room")));
    assert_eq!(desk.come_back(CHOSEN, now).tell, None);
    assert_eq!(desk.look(&name("room")), Some(CHOSEN));
}

#[test]
fn one_by_one_is_asked_and_told_in_the_order_of_coming_by_its_newest_ballot() {
    let now = Instant::now();
    let mut desk = busy(now);
    for _ in 0..2 {
        assert_eq!(put(&mut desk, &name("hall"), now), "later");
        assert_eq!(put(&mut desk, &name("yard"), now), "later");
        assert_eq!(put(&mut desk, &name("room"), now), "later");
    }
    assert_eq!(shown(&desk.put(&name("hall"), &ballot(3, 0), now)), "later");
    // What the plugin has is not the room's newest any more.
    assert_eq!(shown(&desk.put(&name("room"), &ballot(2, 0), now)), "later");
    let mut asked = Vec::new();
    let mut next = Some(1);
    while next.is_some() {
        let back = desk.come_back(CHOSEN, now);
        next = back.next.map(|ballot| ballot.candidates.len());
        let whose = desk.out.as_ref().map(|out| out.name.clone());
        asked.push((back.tell, whose.zip(next)));
    }
    let [hall, yard, room] = ["hall", "yard", "room"].map(name);
    let expected = [
        (None, Some((hall.clone(), 3))),
        (Some(hall), Some((yard.clone(), 1))),
        (Some(yard), Some((room.clone(), 2))),
        (Some(room), None),
    ];
    assert_eq!(asked, expected);
}

/// A plugin that takes 150 ms, and forty names that wait for it at once.
#[test]
fn no_election_waits_for_longer_than_that_however_many_there_are() {
    let start = Instant::now();
    let names: Vec<ServiceName> = (0..40).map(|number| name(format!("s{number}"))).collect();
    let mut desk = Desk::default();
    for name in &names {
        let answer = put(&mut desk, name, start);
        assert!(answer == "later" || desk.look(name).is_none(), "{answer}");
    }
    let (mut back_at, mut sweep_at) = (start + Duration::from_millis(150), start + PATIENCE);
    let (mut told, mut by_rule) = (0, 0);
    while told < names.len() {
        let now = back_at.min(sweep_at);
        assert!(now <= start + PATIENCE, "{told}");
        let tell = if now == back_at {
            back_at += Duration::from_millis(150);
            Vec::from_iter(desk.come_back(CHOSEN, now).tell)
        } else {
            let swept = desk.sweep(now);
            assert_eq!(swept.given_up, None, "it does come back");
            sweep_at = swept.next.expect("there are some yet");
            swept.tell
        };
        for name in tell {
            let answer = put(&mut desk, &name, now);
            told += 1;
            by_rule += usize::from(answer == "Builtin");
            assert!(answer == "Builtin" || answer == "Chosen(Some(0))", "{answer}");
        }
    }
    // 13 answers in 2 s.
    assert_eq!(by_rule, 40 - 13);
    assert!(desk.come_back(CHOSEN, back_at).next.is_none(), "nobody waits");
    assert_eq!(desk.sweep(sweep_at).next, None);
    assert!(desk.watch(), "nobody looks at the time for nothing");
}

#[test]
fn a_ballot_that_changes_again_and_again_does_not_begin_to_wait_anew() {
    let start = Instant::now();
    let mut desk = busy(start);
    let room = name("room");
    for change in 2..=20 {
        let now = start + PATIENCE * u32::try_from(change).unwrap() / 21;
        assert_eq!(shown(&desk.put(&room, &ballot(change, 0), now)), "later");
        desk.come_back(CHOSEN, now);
    }
    let now = start + PATIENCE;
    assert_eq!(desk.sweep(now).tell, std::slice::from_ref(&room));
    assert_eq!(shown(&desk.put(&room, &ballot(21, 0), now)), "Builtin");
    assert_eq!(shown(&desk.put(&room, &ballot(22, 0), now)), "later", "another election");
}

#[test]
fn what_comes_back_late_is_dropped_and_the_plugin_is_asked_again_then() {
    let start = Instant::now();
    let mut desk = busy(start);
    let [hall, room] = ["hall", "room"].map(name);
    let now = start + PATIENCE - Duration::from_millis(1);
    assert_eq!(put(&mut desk, &hall, now), "later");
    assert!(desk.sweep(now).tell.is_empty());
    let now = start + PATIENCE;
    let swept = desk.sweep(now);
    assert_eq!(
        (swept.tell, swept.given_up),
        (vec![hall.clone(), room.clone()], Some(room.clone()))
    );
    for name in [&room, &hall, &room, &hall] {
        assert_eq!(put(&mut desk, name, now), "Builtin");
    }
    let swept = desk.sweep(now);
    assert!(swept.tell.is_empty() && swept.given_up.is_none(), "they heard of it");

    let back = desk.come_back(CHOSEN, now);
    assert_eq!((back.tell, back.late), (None, true));
    assert_eq!(put(&mut desk, &room, now), "ask");
}

#[test]
fn what_nobody_asks_for_any_more_is_forgotten() {
    let start = Instant::now();
    let mut desk = busy(start);
    put(&mut desk, &name("hall"), start);
    desk.come_back(CHOSEN, start);
    assert_eq!(desk.sweep(start + PATIENCE).tell, [name("hall")]);
    desk.come_back(CHOSEN, start + PATIENCE);
    let swept = desk.sweep(start + 2 * PATIENCE);
    assert!(swept.tell.is_empty() && swept.next.is_none(), "{swept:?}");
    assert!(desk.cases.is_empty() && desk.queue.is_empty());
}
