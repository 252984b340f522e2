//! The cache's rules, told as short stories: what is heard, and which events follow.

use super::*;
use crate::placement::Epoch;
use crate::{InstanceState, PeerProtocol};
use skymesh_types::{AgentId, Attributes};

const NOW: Duration = Duration::ZERO;

fn name() -> ServiceName {
    "app.env.room".parse().unwrap()
}

fn registry(id: u64) -> RegistryId {
    RegistryId::new(id).unwrap()
}

/// Instance `instance` with handle `handle`, last changed at `revision`.
fn record(instance: u64, handle: u64, revision: u64) -> InstanceRecord {
    InstanceRecord {
        url: format!("app.env.room/{instance}").parse().unwrap(),
        handle: Handle::new(handle).unwrap(),
        address: "127.0.0.1:1".into(),
        agent: AgentId::new(1).ok(),
        protocol: PeerProtocol { version: 2, codecs: Arc::from([]) },
        state: InstanceState::Online,
        attributes: Arc::new(Attributes::new()),
        weight: 100,
        hash_key: 0,
        revision: Revision(revision),
    }
}

fn snapshot(of: u64, revision: u64, records: &[InstanceRecord]) -> Snapshot {
    let instances = records.iter().cloned().map(Arc::new).collect();
    Snapshot {
        name: name(),
        registry: registry(of),
        revision: Revision(revision),
        instances,
        recovering: false,
        epoch: Epoch(0),
    }
}

fn delta(previous: u64, revision: u64, records: &[InstanceRecord]) -> Delta {
    let changes = records.iter().cloned().map(Arc::new).collect();
    let (previous, revision) = (Revision(previous), Revision(revision));
    let epoch = Epoch(0);
    Delta { name: name(), registry: registry(1), previous, revision, changes, epoch }
}

fn gone(mut record: InstanceRecord) -> InstanceRecord {
    record.state = InstanceState::Offline;
    record
}

fn resolve(cache: &Cache, now: Duration) -> Resolve {
    Resolve::new(cache.known(&name()), cache.stale_for(now))
}

fn watching() -> Cache {
    let mut cache = Cache::new();
    assert!(cache.watch(&name()));
    cache
}

/// Events in short: `+h` online, `-h` offline, `~h` attributes, `=h` state.
fn brief(events: &[Event]) -> String {
    let sign = |event: &Event| match event {
        Event::Online(_) => '+',
        Event::Offline { .. } => '-',
        Event::AttributesChanged { .. } => '~',
        Event::StateChanged { .. } => '=',
    };
    let short = events.iter().map(|e| format!("{}{}", sign(e), e.record().handle));
    short.collect::<Vec<_>>().join(" ")
}

fn applied(cache: &mut Cache, delta: &Delta) -> String {
    match cache.apply_delta(delta) {
        Applied::Events(events) => brief(&events),
        Applied::Gap => "gap".to_owned(),
    }
}

#[test]
fn unknown_is_never_empty() {
    let mut cache = Cache::new();
    assert_eq!(cache.known(&name()), None);
    cache.watch(&name());
    assert!(!cache.watch(&name()), "a second watch asks nothing");
    assert_eq!(resolve(&cache, NOW), Resolve::Loading);
    cache.apply_snapshot(&snapshot(1, 5, &[]));
    assert_eq!(resolve(&cache, NOW), Resolve::Empty);
    cache.apply_snapshot(&snapshot(1, 6, &[record(1, 11, 6)]));
    assert!(matches!(resolve(&cache, NOW), Resolve::Ready(known) if known.members.len() == 1));
    cache.uplink_lost(Duration::from_secs(2));
    cache.uplink_lost(Duration::from_secs(3));
    let Resolve::Stale(known, age) = resolve(&cache, Duration::from_secs(9)) else {
        panic!("the last view keeps serving");
    };
    assert_eq!((known.members.len(), age), (1, Duration::from_secs(7)));
    cache.uplink_restored();
    assert!(matches!(resolve(&cache, NOW), Resolve::Ready(_)));
}

#[test]
fn deltas_chain_and_a_gap_is_noticed() {
    let mut cache = watching();
    assert_eq!(applied(&mut cache, &delta(0, 1, &[record(1, 11, 1)])), "gap", "no snapshot yet");
    assert_eq!(brief(&cache.apply_snapshot(&snapshot(1, 1, &[record(1, 11, 1)]))), "+11");
    assert_eq!(applied(&mut cache, &delta(1, 2, &[record(2, 12, 2)])), "+12");
    assert_eq!(applied(&mut cache, &delta(3, 4, &[record(3, 13, 4)])), "gap");
    assert_eq!(
        applied(&mut cache, &delta(2, 5, &[gone(record(1, 11, 5)), record(3, 13, 4)])),
        "-11 +13"
    );
    assert_eq!(
        cache.positions(),
        [WatchPosition { name: name(), at: Some((registry(1), Revision(5))) }]
    );
}

#[test]
fn members_are_sorted_by_instance_whatever_the_order_of_arrival() {
    let mut cache = watching();
    cache.apply_snapshot(&snapshot(1, 3, &[record(9, 1, 1), record(2, 3, 3), record(5, 2, 2)]));
    let Resolve::Ready(known) = resolve(&cache, NOW) else { panic!("ready") };
    let order: Vec<u64> = known.members.iter().map(|m| m.record.url.instance.get()).collect();
    assert_eq!(order, [2, 5, 9]);
}

#[test]
fn a_restarted_instance_goes_before_it_comes() {
    let mut cache = watching();
    cache.apply_snapshot(&snapshot(1, 1, &[record(1, 11, 1)]));
    assert_eq!(applied(&mut cache, &delta(1, 3, &[record(1, 12, 3)])), "-11 +12");
    assert_eq!(
        applied(&mut cache, &delta(3, 4, &[gone(record(1, 11, 2))])),
        "",
        "late word of the old one"
    );
}

#[test]
fn an_adopted_instance_is_confirmed_without_a_second_event() {
    let mut cache = watching();
    let adopt =
        |cache: &mut Cache, record: InstanceRecord| cache.adopt(&Arc::new(record), registry(1));
    assert_eq!(
        brief(&adopt(&mut cache, record(1, 11, 4)).unwrap()),
        "+11",
        "even before any snapshot"
    );
    assert_eq!(
        brief(&cache.apply_snapshot(&snapshot(1, 3, &[]))),
        "",
        "the snapshot is older than it"
    );
    assert_eq!(applied(&mut cache, &delta(3, 4, &[record(1, 11, 4)])), "");
    assert_eq!(
        brief(&adopt(&mut cache, record(1, 12, 6)).unwrap()),
        "-11 +12",
        "a restart heard from the peer first"
    );
    assert_eq!(adopt(&mut cache, record(1, 11, 4)), Err(GoneOffline(Handle::new(11).unwrap())));
    assert_eq!(applied(&mut cache, &delta(4, 6, &[gone(record(1, 11, 5)), record(1, 12, 6)])), "");
    assert_eq!(
        brief(&cache.apply_snapshot(&snapshot(1, 7, &[]))),
        "-12",
        "a younger snapshot ends it"
    );
}

#[test]
fn an_introduction_that_the_registrys_word_overtook_is_refused() {
    let mut cache = watching();
    cache.apply_snapshot(&snapshot(1, 1, &[]));
    assert_eq!(applied(&mut cache, &delta(1, 3, &[gone(record(1, 11, 3))])), "", "came and went");
    assert!(cache.adopt(&Arc::new(record(1, 11, 2)), registry(1)).is_err());
    cache.apply_snapshot(&snapshot(1, 9, &[]));
    assert!(
        cache.adopt(&Arc::new(record(2, 12, 8)), registry(1)).is_err(),
        "left before the snapshot"
    );
    assert!(cache.adopt(&Arc::new(record(3, 13, 10)), registry(1)).is_ok(), "not heard of yet");
    assert!(cache.adopt(&Arc::new(record(4, 14, 5)), registry(7)).is_ok(), "of another registry");
}

#[test]
fn a_recovering_registry_takes_nobody_away() {
    let mut cache = watching();
    cache.apply_snapshot(&snapshot(1, 9, &[record(1, 11, 8), record(2, 12, 9)]));
    let recovering = Snapshot { recovering: true, ..snapshot(2, 1, &[record(2, 12, 1)]) };
    assert_eq!(brief(&cache.apply_snapshot(&recovering)), "");
    assert!(matches!(resolve(&cache, NOW), Resolve::Ready(known) if known.members.len() == 2));
    assert_eq!(brief(&cache.apply_snapshot(&snapshot(2, 2, &[record(2, 12, 1)]))), "-11");
}

#[test]
fn a_recovering_registry_without_instances_is_no_empty_one() {
    let mut cache = watching();
    cache.apply_snapshot(&Snapshot { recovering: true, ..snapshot(1, 1, &[]) });
    assert_eq!(resolve(&cache, NOW), Resolve::Loading);
    assert_eq!(applied(&mut cache, &delta(1, 2, &[record(1, 11, 2)])), "+11");
    assert!(matches!(resolve(&cache, NOW), Resolve::Ready(_)));
    cache.apply_snapshot(&snapshot(1, 3, &[]));
    assert_eq!(resolve(&cache, NOW), Resolve::Empty);
}

#[test]
fn attributes_and_states_tell_old_and_new() {
    let mut cache = watching();
    cache.apply_snapshot(&snapshot(1, 1, &[record(1, 11, 1)]));
    let mut changed = record(1, 11, 2);
    changed.attributes = Arc::new(Attributes::from([("load", 7)]));
    changed.state = InstanceState::Suspect;
    let Applied::Events(events) = cache.apply_delta(&delta(1, 2, &[changed])) else {
        panic!("gap")
    };
    assert_eq!(brief(&events), "=11 ~11");
    let Event::AttributesChanged { old, keys, record, .. } = &events[1] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (old.len(), keys.as_slice(), record.attributes.len()),
        (0, &["load".to_owned()][..], 1)
    );
    assert!(matches!(events[0], Event::StateChanged { old: InstanceState::Online, .. }));
}

#[test]
fn an_instance_that_returns_by_the_registrys_word_is_welcome_again() {
    let mut cache = watching();
    cache.apply_snapshot(&snapshot(1, 1, &[record(1, 11, 1)]));
    assert_eq!(applied(&mut cache, &delta(1, 2, &[gone(record(1, 11, 2))])), "-11");
    assert!(cache.adopt(&Arc::new(record(1, 11, 1)), registry(1)).is_err());
    assert_eq!(applied(&mut cache, &delta(2, 3, &[record(1, 11, 3)])), "+11");
    assert!(cache.adopt(&Arc::new(record(1, 11, 3)), registry(1)).is_ok());
}

#[test]
fn who_cannot_be_reached_is_suspect_in_this_agents_view_only() {
    let mut cache = watching();
    cache.apply_snapshot(&snapshot(1, 1, &[record(1, 11, 1)]));
    let handle = Handle::new(11).unwrap();
    assert!(cache.note_reachable(&name(), handle, Reach::Lost));
    assert!(!cache.note_reachable(&name(), handle, Reach::Lost), "no change, no rebuild");
    let Resolve::Ready(known) = resolve(&cache, NOW) else { panic!("ready") };
    assert!(known.members[0].suspect && known.members[0].record.state == InstanceState::Online);
}

/// A stateful instance.
fn placed(instance: u64, revision: u64) -> InstanceRecord {
    InstanceRecord { hash_key: instance, ..record(instance, 10 + instance, revision) }
}

fn owners(cache: &Cache) -> Option<(u64, Vec<u64>)> {
    let placement = cache.placement(&name())?;
    let members = placement.members.iter().map(|one| one.url.instance.get()).collect();
    Some((placement.epoch.0, members))
}

#[test]
fn a_placement_is_what_the_registry_said_of_one_epoch() {
    let mut cache = watching();
    assert_eq!(owners(&cache), None, "not heard yet");
    let epoch = Epoch(7);
    cache.apply_snapshot(&Snapshot { epoch, ..snapshot(1, 5, &[placed(2, 4), placed(1, 5)]) });
    assert_eq!(owners(&cache), Some((7, vec![1, 2])));
    // Its own agent says that it is there; the placement that it belongs to is not known yet.
    cache.adopt(&Arc::new(placed(3, 8)), registry(1)).unwrap();
    let draining = InstanceRecord { state: InstanceState::Draining, ..placed(2, 6) };
    assert_eq!(applied(&mut cache, &Delta { epoch: Epoch(8), ..delta(5, 6, &[draining]) }), "=12");
    assert_eq!(owners(&cache), Some((8, vec![1])));
    assert_eq!(applied(&mut cache, &Delta { epoch: Epoch(9), ..delta(6, 8, &[placed(3, 8)]) }), "");
    assert_eq!(owners(&cache), Some((9, vec![1, 3])));
}

#[test]
fn a_recovering_registry_leaves_the_placement_as_it_was() {
    let mut cache = watching();
    let epoch = Epoch(7);
    cache.apply_snapshot(&Snapshot { epoch, ..snapshot(1, 5, &[placed(1, 5), placed(2, 4)]) });
    cache.apply_snapshot(&Snapshot { recovering: true, ..snapshot(2, 1, &[placed(3, 1)]) });
    assert_eq!(owners(&cache), Some((7, vec![1, 2])));
    cache.apply_snapshot(&Snapshot { epoch: Epoch(99), ..snapshot(2, 2, &[placed(3, 1)]) });
    assert_eq!(owners(&cache), Some((99, vec![3])));
    cache.apply_snapshot(&snapshot(3, 1, &[]));
    assert_eq!(owners(&cache), Some((0, vec![])));
}
