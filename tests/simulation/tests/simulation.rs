//! What must hold, over many seeds; that planted bugs are found; and that a seed is always the same
//! run.

use skymesh_naming::flaw::Flaw;
use skymesh_simulation::{Broken, Plant, Scenario, StopAt, sweep};

/// How many seeds a planted bug may hide from.
const HUNT: u64 = 20_000;

#[test]
fn no_election_goes_wrong_in_ten_thousand_worlds() {
    let swept = sweep(0..10_000, |seed| Scenario::of_seed(seed, None), StopAt::End);
    assert!(swept.failures.is_empty(), "{:#?}", swept.failures);
    // Runs in which nothing happens would prove nothing.
    let counts = swept.counts;
    assert!(counts.elections > 3 * swept.seeds, "{counts:?}");
    assert!(counts.writes > 50 * swept.seeds, "{counts:?}");
    assert!(counts.fenced > swept.seeds / 10, "{counts:?}");
}

#[test]
fn no_key_goes_astray_in_ten_thousand_worlds() {
    let swept = sweep(0..10_000, |seed| Scenario::of_placement_seed(seed, None), StopAt::End);
    assert!(swept.failures.is_empty(), "{:#?}", swept.failures);
    let counts = swept.counts;
    assert!(counts.rounds > 3 * swept.seeds, "{counts:?}");
    assert!(counts.messages > 500 * swept.seeds, "{counts:?}");
    assert!(counts.bounces > 10 * swept.seeds, "{counts:?}");
    // Processes die and registries are out of reach for long, so some are; few.
    assert!(counts.undelivered < counts.messages / 100, "{counts:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for of_seed in [Scenario::of_seed, Scenario::of_placement_seed] {
        for seed in 0..200 {
            let scenario = of_seed(seed, None);
            let (one, other) = (scenario.play(seed), scenario.play(seed));
            assert_eq!(one, other);
            let next = of_seed(seed + 1, None).play(seed + 1);
            assert_ne!(one.trace, next.trace);
        }
    }
}

type OfSeed = fn(u64, Option<Plant>) -> Scenario;

fn finds(of_seed: OfSeed, plant: Plant, broken: &[Broken]) {
    let swept = sweep(0..HUNT, |seed| of_seed(seed, Some(plant)), StopAt::FirstViolation);
    let found = swept.failures.first().and_then(|(_, report)| report.violation.clone());
    let found = found.unwrap_or_else(|| panic!("{plant:?} hides from {HUNT} seeds"));
    println!("{plant:?}: found after {} seeds: {found:?}", swept.seeds);
    assert!(broken.contains(&found.broken), "{plant:?}: {found:?}");
}

macro_rules! finds {
    ($of_seed:path, $($name:ident: $plant:expr => $($broken:ident)|+;)+) => {
        $(#[test]
        fn $name() {
            finds($of_seed, $plant, &[$(Broken::$broken),+]);
        })+
    };
}

finds! {
    Scenario::of_seed,
    finds_a_term_that_is_not_persisted: Plant::Core(Flaw::TermNotPersisted) => TermsIncrease | OneLeader;
    finds_a_restart_that_forgets_terms: Plant::Core(Flaw::TermForgotten) => TermsIncrease;
    finds_a_deadline_counted_from_the_reply: Plant::Core(Flaw::DeadlineFromReply) => OneLeader;
    finds_a_deadline_that_is_ignored: Plant::Core(Flaw::DeadlineIgnored) => OneLeader;
    finds_a_lease_granted_on_a_stale_session: Plant::Core(Flaw::StaleSessionConfirmed) => OneLeader;
    finds_a_lease_that_is_not_awaited: Plant::Core(Flaw::LeaseNotAwaited) => OneLeader;
    finds_a_revocation_that_is_not_awaited: Plant::Core(Flaw::RevocationNotAwaited) => OneLeader;
    finds_a_restart_that_does_not_wait: Plant::Core(Flaw::RestartNotAwaited) => OneLeader;
    finds_a_grant_for_another_candidacy: Plant::Core(Flaw::CampaignIgnored) => OneLeader;
    finds_a_fence_compared_the_wrong_way: Plant::FenceReversed => Linearizable | LeaderAfterHealing;
    finds_a_missing_fence: Plant::FenceMissing => Linearizable;
}

finds! {
    Scenario::of_placement_seed,
    finds_a_commit_before_the_last_ack: Plant::Core(Flaw::CommitBeforeLastAck) => PreparedHolds | RoundEnds;
    finds_a_voter_whose_death_is_ignored: Plant::Core(Flaw::VoterDeathIgnored) => RoundEnds;
    finds_a_round_that_outlives_its_deadline: Plant::Core(Flaw::RoundDeadlineIgnored) => RoundEnds;
    finds_an_epoch_that_is_not_raised: Plant::Core(Flaw::EpochNotRaised) => OneOwner;
    finds_a_restart_that_forgets_epochs: Plant::Core(Flaw::EpochForgotten) => OneOwner;
    finds_a_router_that_does_not_hold: Plant::Core(Flaw::RouterDoesNotHold) => PreparedHolds;
    finds_held_messages_that_are_dropped: Plant::Core(Flaw::HeldDroppedOnAbort) => Exactly;
    finds_a_receiver_that_takes_any_epoch: Plant::EpochNotChecked => OneOwner;
}
