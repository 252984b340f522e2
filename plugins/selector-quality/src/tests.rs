//! What the selector promises as a whole: equal instances share equally, a bad one gets little, and
//! many clients do not herd on the one that looks best.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use skymesh_plugin_api::abi::host::SelectorInstance;
use skymesh_plugin_api::{InstanceStats, Member, Roster, conformance};

use super::*;

const MS: u64 = 1_000_000;

/// SplitMix64: the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// About `mean`, up to `percent` more or less.
    fn around(&mut self, mean: u64, percent: u64) -> u64 {
        let spread = mean * percent / 100;
        mean - spread + self.roll() % (2 * spread + 1)
    }
}

fn quality() -> Quality {
    Quality::new(QualityConfig::default()).unwrap()
}

fn roster(instances: u64, mut set: impl FnMut(usize, &InstanceStats)) -> Roster {
    let roster = Roster::new((1..=instances).map(Member::new).collect());
    (0..roster.view().len()).for_each(|index| set(index, roster.view().stats(index)));
    roster
}

/// The share of each instance in many picks, with no requests in flight.
fn shares(roster: &Roster, seed: u64) -> Vec<f64> {
    const PICKS: u32 = 50_000;
    let (selector, mut dice) = (quality(), Dice(seed));
    let field = selector.prepare(roster.view());
    let mut counts = vec![0u32; roster.view().len()];
    for _ in 0..PICKS {
        let request = Request::new(None, dice.roll(), 1, 0);
        counts[selector.pick(roster.view(), &field, &request).unwrap()] += 1;
    }
    counts.into_iter().map(|count| f64::from(count) / f64::from(PICKS)).collect()
}

#[test]
fn keeps_the_contract() {
    conformance::selector::<Quality>();
    conformance::selector_with::<Quality>(
        r#"{"sharpness": 4, "error_penalty": 1000, "stale_after_ms": 100}"#,
    );
}

#[test]
fn a_wrong_config_is_refused_by_name() {
    let cases = [
        (r#"{"sharpness": 9}"#, "key `sharpness` = 9: expected a whole number from 1 to 4"),
        (r#"{"error_penalty": -1}"#, "key `error_penalty` = -1: expected a number from 0 to 1000"),
        (r#"{"stale_after": 5}"#, "did you mean `stale_after_ms`?"),
    ];
    for (json, expected) in cases {
        let error = SelectorInstance::of::<Quality>(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn equal_instances_share_equally_known_or_not() {
    for (instances, rtt_ns) in [(2, 0), (3, 5 * MS), (10, 0), (10, MS), (50, MS)] {
        let roster = roster(instances, |_, stats| stats.set_rtt_ewma_ns(rtt_ns));
        for share in shares(&roster, 1) {
            let of_fair = share * instances as f64;
            assert!((0.83..1.2).contains(&of_fair), "{instances} at {rtt_ns}: {of_fair:.3}");
        }
    }
}

#[test]
fn a_bad_one_of_eleven_gets_little() {
    type Spoil = fn(&InstanceStats);
    let cases: [(&str, Spoil, f64); 5] = [
        ("slow: 2 s against 167 ms", |stats| stats.set_rtt_ewma_ns(2000 * MS), 0.0005),
        ("half of the requests fail", |stats| stats.set_error_ppm(500_000), 0.0005),
        (
            "it fails fast",
            |stats| {
                stats.set_error_ppm(1_000_000);
                stats.set_rtt_ewma_ns(MS / 10);
            },
            0.0005,
        ),
        ("pings are lost", |stats| stats.set_ping_lost_streak(4), 0.001),
        ("loaded: 9 in flight", |stats| (0..9).for_each(|_| stats.began()), 0.004),
    ];
    for (what, spoil, most) in cases {
        let roster = roster(11, |index, stats| {
            stats.set_rtt_ewma_ns(167 * MS);
            if index == 3 {
                spoil(stats);
            }
        });
        let shares = shares(&roster, 2);
        assert!(shares[3] <= most, "{what}: {}", shares[3]);
        let others = shares.iter().enumerate().filter(|(index, _)| *index != 3);
        assert!(others.clone().all(|(_, share)| *share < 1.2 / 10.0), "{what}: {shares:?}");
    }
}

#[test]
fn an_unknown_one_is_taken_for_typical() {
    // Taken for the best (0 ns), it would draw all; taken for the worst, it would never be known.
    let roster = roster(11, |index, stats| {
        stats.set_rtt_ewma_ns(if index == 0 { 0 } else { 9 * MS + index as u64 * MS / 5 });
    });
    let unknown = shares(&roster, 3)[0] * 11.0;
    assert!((0.83..1.2).contains(&unknown), "{unknown}");
}

#[test]
fn with_half_of_them_dead_few_messages_meet_a_dead_one() {
    let roster = roster(20, |index, stats| {
        stats.set_rtt_ewma_ns(MS);
        if index % 2 == 0 {
            stats.set_ping_lost_streak(5);
        }
    });
    let dead: f64 = shares(&roster, 4).into_iter().step_by(2).sum();
    assert!(dead < 0.01, "{dead}");
}

/// The origin's defect: every client took the smallest mean of 5 pings, so all took the same.
#[test]
fn many_clients_do_not_herd_on_the_one_that_looks_best() {
    const CLIENTS: u64 = 50;
    // Instance 4 is nearer than the others by a fifth; each client measures it with its own noise.
    let rosters: Vec<Roster> = (0..CLIENTS)
        .map(|client| {
            let mut dice = Dice(client);
            roster(10, |index, stats| {
                let true_ns = if index == 4 { 800_000 } else { MS };
                stats.set_rtt_ewma_ns(dice.around(true_ns, 5));
            })
        })
        .collect();

    let best_of = |roster: &Roster| {
        (0..10).min_by_key(|index| roster.view().stats(*index).rtt_ewma_ns()).unwrap()
    };
    let herd = rosters.iter().filter(|roster| best_of(roster) == 4).count() as u64;
    assert_eq!(herd, CLIENTS, "the case must be one where the origin's rule herds");

    let mut together = [0.0; 10];
    for (client, roster) in rosters.iter().enumerate() {
        let shares = shares(roster, client as u64);
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert!(most < 0.15, "client {client} sends {most:.3} to one of ten");
        (0..10).for_each(|index| together[index] += shares[index] / CLIENTS as f64);
    }
    assert!((0.11..0.14).contains(&together[4]), "nearer, so more, yet no herd: {together:.3?}");
    let others = together.iter().enumerate().filter(|(index, _)| *index != 4);
    assert!(others.clone().all(|(_, share)| (0.08..0.12).contains(share)), "{together:.3?}");
}

/// Linkerd's experiment in virtual time: 1000 requests a second on 11 instances of 167 ms, one of
/// which takes 2 s from the 10th second on.
#[test]
fn one_slow_instance_hardly_delays_anybody() {
    const SLOW: usize = 5;
    const SECONDS: u64 = 60;
    let (selector, mut dice) = (quality(), Dice(9));
    let roster = roster(11, |_, _| {});
    let view = roster.view();
    let field = selector.prepare(view);
    let mut ends = BinaryHeap::new();
    let (mut asked, mut slow) = (0u32, 0u32);
    for now_ns in (1..SECONDS * 1000).map(|millisecond| millisecond * MS) {
        while let Some(&Reverse((end_ns, index, took_ns))) = ends.peek() {
            if end_ns > now_ns {
                break;
            }
            ends.pop();
            finish(view.stats(index), end_ns, took_ns);
        }
        let request = Request::new(None, dice.roll(), now_ns, 0);
        let index = selector.pick(view, &field, &request).unwrap();
        view.stats(index).began();
        let has_slowed = index == SLOW && now_ns > 10_000 * MS;
        let took_ns = dice.around(if has_slowed { 2000 * MS } else { 167 * MS }, 20);
        ends.push(Reverse((now_ns + took_ns, index, took_ns)));
        // From when the first slow answers have come in.
        if now_ns > 13_000 * MS {
            asked += 1;
            slow += u32::from(took_ns > 1000 * MS);
        }
    }
    assert!(f64::from(slow) <= 0.001 * f64::from(asked), "{slow} of {asked} took over 1 s");
}

/// What a host does when an answer comes: one request less, and a smoothed round trip.
fn finish(stats: &InstanceStats, now_ns: u64, took_ns: u64) {
    stats.ended();
    let before_ns = match stats.rtt_ewma_ns() {
        0 => took_ns,
        known => known,
    };
    stats.set_rtt_ewma_ns((before_ns * 7 + took_ns) / 8);
    stats.set_last_sample_ns(now_ns);
}
