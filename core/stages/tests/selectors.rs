//! Every stock selector behind every stage: whatever a selector does, who is left out gets nothing, all
//! others get something, and who is new gets its part of what the selector would give it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not in a #[test] themselves")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skymesh_plugin_host::{
    Member, PluginHost, PluginsConfig, Request, SelectorSlot, StrategyConfig,
};
use skymesh_stages::{
    Candidate, Choice, Chooser, Ejections, Entrant, Observed, OutliersConfig, StagesConfig, sift,
};

/// All that are in the stock set, and the one of the host.
const SELECTORS: [&str; 9] = [
    "builtin",
    "round_robin",
    "random",
    "weighted",
    "mod_hash",
    "consistent_hash",
    "quality",
    "p2c",
    "least_request",
];
const PICKS: u64 = 6_000;
/// The virtual clock begins here: 0 means "never" or "always was there".
const START_NS: u64 = 1_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
const HERE: Chooser<'static> = Chooser { agent: 7, zone: Some("a") };

fn slot(id: &str) -> SelectorSlot {
    let host = PluginHost::new(PluginsConfig::default()).unwrap();
    host.selector(&StrategyConfig::new(id)).unwrap()
}

/// An instance by what is wrong with it, where it is and since when.
#[derive(Debug, Clone, Copy)]
struct One {
    id: u64,
    flaw: &'static str,
    zone: &'static str,
    since_ns: u64,
}

/// Instances 1, 2, .. of these flaws and zones, that were always there.
fn fleet(given: &[(&'static str, &'static str)]) -> Vec<One> {
    let one = |(&(flaw, zone), id)| One { id, flaw, zone, since_ns: 0 };
    given.iter().zip(1..).map(one).collect()
}

/// Entropy and keys: SplitMix64.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// What the stages make of a fleet, as an agent's view does.
fn choice(
    slot: &SelectorSlot,
    config: &StagesConfig,
    ones: &[One],
    ejections: &Ejections,
    now_ns: u64,
) -> Choice {
    let candidate = |one: &One| Candidate {
        instance: one.id,
        draining: one.flaw.contains("draining"),
        suspect: one.flaw.contains("suspect"),
        ejected: one.flaw.contains("ejected") || ejections.contains(one.id),
        zone: Some(one.zone).filter(|zone| !zone.is_empty()),
    };
    let candidates: Vec<_> = ones.iter().map(candidate).collect();
    let verdicts = sift(config, HERE, &candidates);
    let entrant = |(one, dropped): (&One, Option<_>)| Entrant {
        member: dropped
            .is_none()
            .then(|| Member { suspect: one.flaw.contains("suspect"), ..Member::new(one.id) }),
        since_ns: one.since_ns,
    };
    let entrants = ones.iter().zip(verdicts).map(entrant).collect();
    Choice::new(slot, entrants, config.slow_start, now_ns)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    None,
    Many,
}

/// How often each instance is picked.
fn counted(choice: &Choice, ones: &[One], keys: Keys, now_ns: u64) -> BTreeMap<u64, u64> {
    let (mut dice, mut more) = (Dice(1), Dice(2));
    let mut counts = BTreeMap::new();
    for _ in 0..PICKS {
        let key = Some(dice.roll()).filter(|_| keys == Keys::Many);
        let request = Request::new(key, dice.roll(), now_ns, 0);
        let picked = choice.pick_as(&request, || more.roll());
        if let Some(at) = picked {
            *counts.entry(ones[at].id).or_default() += 1;
        }
    }
    counts
}

fn served(choice: &Choice, ones: &[One], keys: Keys) -> BTreeSet<u64> {
    counted(choice, ones, keys, START_NS).into_keys().collect()
}

/// Who serves in the end.
enum Serve {
    /// Exactly these.
    These(&'static [u64]),
    /// So many of these.
    SomeOf(usize, &'static [u64]),
}

struct Case {
    name: &'static str,
    zone_min_instances: u32,
    subset_size: u32,
    fleet: &'static [(&'static str, &'static str)],
    serve: Serve,
}

use Serve::{SomeOf, These};

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { name: "nothing is wrong", zone_min_instances: 0, subset_size: 0,
        fleet: &[("", ""), ("", ""), ("", "")], serve: These(&[1, 2, 3]) },
    Case { name: "who drains gets nothing new", zone_min_instances: 0, subset_size: 0,
        fleet: &[("draining", ""), ("", ""), ("", "")], serve: These(&[2, 3]) },
    Case { name: "even if nobody is left", zone_min_instances: 0, subset_size: 0,
        fleet: &[("draining", ""), ("draining", "")], serve: These(&[]) },
    Case { name: "healthy ones first", zone_min_instances: 0, subset_size: 0,
        fleet: &[("", ""), ("suspect", ""), ("", "")], serve: These(&[1, 3]) },
    Case { name: "suspect ones rather than nobody", zone_min_instances: 0, subset_size: 0,
        fleet: &[("suspect", ""), ("suspect", ""), ("draining", "")], serve: These(&[1, 2]) },
    Case { name: "an outlier waits", zone_min_instances: 0, subset_size: 0,
        fleet: &[("ejected", ""), ("", ""), ("", "")], serve: These(&[2, 3]) },
    Case { name: "outliers rather than nobody", zone_min_instances: 0, subset_size: 0,
        fleet: &[("ejected", ""), ("ejected", ""), ("draining", "")], serve: These(&[1, 2]) },
    Case { name: "the own zone while it has enough", zone_min_instances: 2, subset_size: 0,
        fleet: &[("", "a"), ("", "b"), ("", "a"), ("", "")], serve: These(&[1, 3]) },
    Case { name: "all zones where the own one has too few", zone_min_instances: 2, subset_size: 0,
        fleet: &[("", "a"), ("", "b"), ("", "c"), ("", "")], serve: These(&[1, 2, 3, 4]) },
    Case { name: "only the able count as enough", zone_min_instances: 2, subset_size: 0,
        fleet: &[("", "a"), ("suspect", "a"), ("ejected", "a"), ("draining", "a"), ("", "b")],
        serve: These(&[1, 5]) },
    Case { name: "a subset", zone_min_instances: 0, subset_size: 3,
        fleet: &[("", ""), ("", ""), ("", ""), ("", ""), ("", ""), ("", "")],
        serve: SomeOf(3, &[1, 2, 3, 4, 5, 6]) },
    Case { name: "a subset larger than all", zone_min_instances: 0, subset_size: 9,
        fleet: &[("", ""), ("", "")], serve: These(&[1, 2]) },
    Case { name: "a subset of the able only", zone_min_instances: 0, subset_size: 2,
        fleet: &[("draining", ""), ("suspect", ""), ("ejected", ""), ("", ""), ("", ""), ("", "")],
        serve: SomeOf(2, &[4, 5, 6]) },
    Case { name: "a subset of the zone", zone_min_instances: 3, subset_size: 2,
        fleet: &[("", "a"), ("", "b"), ("", "a"), ("", "b"), ("", "a"), ("ejected", "a")],
        serve: SomeOf(2, &[1, 3, 5]) },
    Case { name: "all stages at once, each leaves out one", zone_min_instances: 2, subset_size: 2,
        fleet: &[("draining", "a"), ("suspect", "a"), ("ejected", "a"), ("", "b"), ("", "a"),
            ("", "a"), ("", "a")],
        serve: SomeOf(2, &[5, 6, 7]) },
    Case { name: "all but one is doubtful, and far away", zone_min_instances: 1, subset_size: 1,
        fleet: &[("suspect ejected", "a"), ("", "b"), ("suspect", "a")], serve: These(&[2]) },
];

#[test]
fn with_every_selector_who_is_left_out_gets_nothing_and_all_others_something() {
    for id in SELECTORS {
        let slot = slot(id);
        for Case { name, zone_min_instances, subset_size, fleet, serve } in CASES {
            let config = StagesConfig {
                zone_min_instances: *zone_min_instances,
                subset_size: *subset_size,
                ..StagesConfig::default()
            };
            let ones = self::fleet(fleet);
            let choice = choice(&slot, &config, &ones, &Ejections::default(), START_NS);
            for keys in [Keys::None, Keys::Many] {
                let served = served(&choice, &ones, keys);
                let (count, of) = match serve {
                    These(all) => (all.len(), *all),
                    SomeOf(count, all) => (*count, *all),
                };
                let right = served.len() == count && served.iter().all(|one| of.contains(one));
                assert!(right, "{id}, {name}, keys: {keys:?}: {served:?}");
            }
        }
        assert!(!slot.health().is_degraded(), "{id}: {:?}", slot.health());
    }
}

#[test]
fn with_every_selector_a_subset_moves_by_one_instance_at_most() {
    let config = StagesConfig { subset_size: 5, ..StagesConfig::default() };
    let all = fleet(&[("", ""); 20]);
    let none = Ejections::default();
    for id in SELECTORS {
        let slot = slot(id);
        let of =
            |ones: &[One]| served(&choice(&slot, &config, ones, &none, START_NS), ones, Keys::Many);
        let before = of(&all);
        assert_eq!(before.len(), 5, "{id}");
        for gone in &all {
            let rest: Vec<One> = all.iter().filter(|one| one.id != gone.id).copied().collect();
            let after = of(&rest);
            let left: Vec<_> = before.difference(&after).collect();
            let expected: Vec<_> = before.iter().filter(|one| **one == gone.id).collect();
            assert_eq!((left, after.len()), (expected, 5), "{id}, without {}", gone.id);
        }
    }
}

#[test]
fn with_every_selector_ejections_are_capped_and_never_take_the_last() {
    // (instances, of which fail, percent that may be left out, how many serve)
    let cases = [(10, 9, 30, 7), (10, 2, 30, 8), (10, 10, 100, 1), (3, 3, 10, 2), (1, 1, 100, 1)];
    let second = |seconds| Duration::from_secs(seconds);
    for id in SELECTORS {
        let slot = slot(id);
        for (instances, failing, max_percent, serve) in cases {
            let outliers = OutliersConfig {
                errors_percent: 50,
                hold: second(10),
                max_percent,
                ..OutliersConfig::default()
            };
            let config = StagesConfig { outliers: outliers.clone(), ..StagesConfig::default() };
            let ones = fleet(&vec![("", ""); instances]);
            let observed: Vec<Observed> = ones
                .iter()
                .map(|one| Observed {
                    handle: one.id,
                    error_ppm: if one.id <= failing { 900_000 } else { 0 },
                })
                .collect();
            let mut ejections = Ejections::default();
            let case = format!("{id}, {failing} of {instances} fail, {max_percent} %");
            ejections.review(&outliers, second(0), &observed);
            let now = choice(&slot, &config, &ones, &ejections, START_NS);
            assert_eq!(served(&now, &ones, Keys::Many).len(), serve, "{case}");
            // Each has another chance once its time is over.
            let clean: Vec<Observed> =
                observed.iter().map(|one| Observed { error_ppm: 0, ..*one }).collect();
            ejections.review(&outliers, second(10), &clean);
            let now = choice(&slot, &config, &ones, &ejections, START_NS);
            assert_eq!(served(&now, &ones, Keys::Many).len(), instances, "{case}");
        }
    }
}

/// One instance in five is new, and others are left out before it.
#[test]
fn with_every_selector_a_new_instance_gets_a_growing_part_of_its_share() {
    let config = StagesConfig { slow_start: Duration::from_secs(100), ..StagesConfig::default() };
    let none = Ejections::default();
    let mut ones = fleet(&[
        ("draining", ""),
        ("", ""),
        ("", ""),
        ("suspect", ""),
        ("", ""),
        ("", ""),
        ("", ""),
    ]);
    ones[5].since_ns = START_NS;
    let share = |slot: &SelectorSlot, keys, age_s: u64| {
        let now_ns = START_NS + age_s * SECOND_NS;
        let choice = choice(slot, &config, &ones, &none, now_ns);
        let counts = counted(&choice, &ones, keys, now_ns);
        assert_eq!(counts.values().sum::<u64>(), PICKS, "every pick ends somewhere");
        assert!(!counts.contains_key(&1) && !counts.contains_key(&4), "{counts:?}");
        counts.get(&6).copied().unwrap_or(0) as f64 / PICKS as f64
    };
    for id in SELECTORS {
        let whole = share(&slot(id), Keys::None, 100);
        assert!((0.15..0.25).contains(&whole), "{id}: {whole}");
        for (age_s, part) in [(0, 0.05), (5, 0.05), (25, 0.25), (50, 0.5), (75, 0.75), (99, 0.99)] {
            let now = share(&slot(id), Keys::None, age_s);
            // Six deviations of the least share, and what chance does to the whole one.
            assert!((now - part * whole).abs() < 0.03, "{id} after {age_s} s: {now} of {whole}");
        }
        // A key's messages are not split.
        let (young, grown) = (share(&slot(id), Keys::Many, 0), share(&slot(id), Keys::Many, 100));
        assert!((young - grown).abs() < 0.03, "{id}, by key: {young} {grown}");
    }
}

/// Where the whole service is new there is nobody to give the messages to.
#[test]
fn with_every_selector_new_ones_serve_if_there_are_no_others() {
    let config = StagesConfig { slow_start: Duration::from_secs(100), ..StagesConfig::default() };
    let mut ones = fleet(&[("", ""), ("", ""), ("draining", "")]);
    ones.iter_mut().take(2).for_each(|one| one.since_ns = START_NS);
    for id in SELECTORS {
        let choice = choice(&slot(id), &config, &ones, &Ejections::default(), START_NS);
        assert_eq!(served(&choice, &ones, Keys::None), BTreeSet::from([1, 2]), "{id}");
    }
}
