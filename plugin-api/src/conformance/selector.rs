//! The suite for selectors.

use std::sync::Arc;

use super::tries::Tries;
use super::{Declared, Dice, check_declaration};
use crate::abi::host::{Picked, PreparedSelector, SelectorInstance};
use crate::{InstanceStats, Member, PluginError, Request, Roster, Selector};

/// Keys at the edges, and none.
const KEYS: [Option<u64>; 7] =
    [None, Some(0), Some(1), Some(42), Some(1 << 63), Some(u64::MAX - 1), Some(u64::MAX)];

/// How often the larger views are asked.
const ROUNDS: u64 = 200;

/// Tests `S` with an empty configuration.
///
/// # Panics
/// If `S` breaks a promise of [`Selector`].
pub fn selector<S: Selector>() {
    selector_with::<S>("{}");
}

/// Tests `S` with the configuration `config`, a JSON object.
///
/// # Panics
/// If `S` breaks a promise of [`Selector`].
pub fn selector_with<S: Selector>(config: &str) {
    let declared =
        Declared { id: S::ID, schema: S::CONFIG_SCHEMA, deterministic: S::DETERMINISTIC };
    check(&declared, config, &SelectorInstance::of::<S>, &mut Tries::Strict);
}

/// As [`selector_with`], however instances are made.
pub(super) fn check(
    declared: &Declared<'_>,
    config: &str,
    make: &dyn Fn(&str) -> Result<SelectorInstance, PluginError>,
    tries: &mut Tries,
) {
    let id = declared.id;
    let Some(instance) = check_declaration(declared, config, make, tries) else { return };
    for (name, members) in memberships() {
        let used = tries.of(|| check_picks(id, name, &members, &instance));
        if let Some(used) = used.filter(|_| declared.deterministic) {
            tries.of(|| {
                // Its table is of other statistics than the used one, and was asked nothing before.
                let other = make(config).expect("the same config was accepted before");
                check_deterministic(id, name, &used, &prepare(id, &other, name, members));
            });
        }
    }
    tries.of(|| check_threads(id, &instance));
}

/// Answers the table that was used.
fn check_picks(
    id: &str,
    name: &str,
    members: &[Member],
    instance: &SelectorInstance,
) -> PreparedSelector {
    let usable = members.iter().any(|member| !member.suspect && member.weight > 0);
    let prepared = prepare(id, instance, name, members.to_vec());
    let mut dice = Dice(7);
    for round in 0..ROUNDS {
        for key in KEYS {
            shake(members, &mut dice);
            let request = Request::new(key, dice.roll(), extreme(&mut dice), (round % 70) as u32);
            check_pick(id, name, members.len(), usable, prepared.pick(&request));
        }
    }
    prepared
}

fn prepare(
    id: &str,
    instance: &SelectorInstance,
    name: &str,
    members: Vec<Member>,
) -> PreparedSelector {
    instance
        .prepare(Arc::new(Roster::new(members)))
        .unwrap_or_else(|_| panic!("{id}: prepare panicked on a view of {name}"))
}

fn check_pick(id: &str, name: &str, len: usize, usable: bool, picked: Picked) {
    match picked {
        Picked::Index(index) => assert!(index < len, "invariant: the handle checks the range"),
        Picked::None => {
            assert!(!usable, "{id}: picked none of {name}, though a healthy instance has weight");
        }
        Picked::Panicked => panic!("{id}: pick panicked on a view of {name}"),
        Picked::OutOfView => panic!("{id}: picked an index outside of a view of {name}"),
    }
}

fn check_deterministic(id: &str, name: &str, one: &PreparedSelector, other: &PreparedSelector) {
    let mut dice = Dice(11);
    let mut random = || Request::new(None, dice.roll(), dice.roll(), dice.roll() as u32 % 64);
    for key in KEYS.into_iter().flatten().chain(1000..1100) {
        let requests = [random(), random()].map(|request| {
            Request::new(Some(key), request.entropy(), request.now_ns(), request.thread())
        });
        assert_eq!(
            one.pick(&requests[0]),
            other.pick(&requests[1]),
            "{id}: says DETERMINISTIC, yet picks differently for key {key} from {name}"
        );
    }
}

/// Picks from several threads at once: nothing may panic or leave the view.
fn check_threads(id: &str, instance: &SelectorInstance) {
    let prepared = prepare(id, instance, "16 instances", (1..=16).map(Member::new).collect());
    let work = |thread: u32| {
        let mut dice = Dice(u64::from(thread));
        for now in 0..5_000 {
            let request = Request::new(Some(dice.roll()), dice.roll(), now, thread);
            check_pick(id, "16 instances, 4 threads", 16, true, prepared.pick(&request));
        }
    };
    std::thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || work(thread)));
        for thread in threads {
            // In the thread's own words.
            thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        }
    });
}

fn memberships() -> Vec<(&'static str, Vec<Member>)> {
    let healthy = |count: u64| (1..=count).map(Member::new).collect::<Vec<_>>();
    let with = |count, change: fn(usize, &mut Member)| {
        let mut members = healthy(count);
        members.iter_mut().enumerate().for_each(|(index, member)| change(index, member));
        members
    };
    vec![
        ("0 instances", healthy(0)),
        ("1 instance", healthy(1)),
        ("2 instances", healthy(2)),
        ("1000 instances", healthy(1000)),
        ("1 suspect instance", with(1, |_, member| member.suspect = true)),
        ("3 suspect instances", with(3, |_, member| member.suspect = true)),
        ("5 instances, 2 suspect", with(5, |index, member| member.suspect = index % 2 == 1)),
        ("1 instance of weight 0", with(1, |_, member| member.weight = 0)),
        ("4 instances of weight 0", with(4, |_, member| member.weight = 0)),
        ("3 instances of weights 0, 1, 2", with(3, |index, member| member.weight = index as u32)),
        ("3 instances of the largest weight", with(3, |_, member| member.weight = u32::MAX)),
        ("2 instances at the ends of the id range", vec![Member::new(1), Member::new(u64::MAX)]),
        ("2 instances of one id", vec![Member::new(5), Member::new(5)]),
        (
            "3 instances with attributes",
            with(3, |_, member| member.attributes = r#"{"zone":"a","n":[1,{"x":null}]}"#.into()),
        ),
    ]
}

fn extreme(dice: &mut Dice) -> u64 {
    match dice.below(4) {
        0 => 0,
        1 => u64::MAX,
        _ => dice.roll() >> 20,
    }
}

/// Gives some members statistics of any kind, as they may change between two picks.
fn shake(members: &[Member], dice: &mut Dice) {
    for _ in 0..members.len().min(3) {
        let stats: &Arc<InstanceStats> = &members[dice.below(members.len())].stats;
        stats.set_rtt_ewma_ns(extreme(dice));
        stats.set_error_ppm(extreme(dice) as u32);
        stats.set_ping_lost_streak(extreme(dice) as u32);
        stats.set_server_load_ppm(extreme(dice) as u32);
        stats.set_last_sample_ns(extreme(dice));
        stats.note_latency(extreme(dice), extreme(dice));
        stats.began();
    }
}
