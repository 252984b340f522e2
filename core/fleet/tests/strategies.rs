//! What the stock selectors do in a fleet, and that the fleet shows it: goals P11 and P12 among it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not in a #[test] themselves")]

use std::time::Duration;

use skymesh_fleet::{Outcome, Scenario, Settings, play};
use skymesh_plugin_host::{PluginHost, PluginsConfig, StrategyConfig};

const SEEDS: u64 = 5;
const SECOND: Duration = Duration::from_secs(1);

/// A strategy by its id and the JSON of its configuration.
fn strategy(id: &str, config: &str) -> StrategyConfig {
    StrategyConfig { config: serde_json::from_str(config).unwrap(), ..StrategyConfig::new(id) }
}

fn once(scenario: Scenario, settings: &Settings, seed: u64, strategy: &StrategyConfig) -> Outcome {
    let host = PluginHost::new(PluginsConfig::default()).unwrap();
    play(scenario, settings, seed, &mut || host.selector(strategy)).unwrap()
}

/// A run for each seed.
fn each(scenario: Scenario, settings: &Settings, id: &str) -> impl Iterator<Item = Outcome> {
    let strategy = StrategyConfig::new(id);
    (1..=SEEDS).map(move |seed| once(scenario, settings, seed, &strategy))
}

/// Several seeds together.
fn shown(scenario: Scenario, settings: &Settings, id: &str) -> Outcome {
    Outcome::pooled(each(scenario, settings, id)).unwrap()
}

/// P11: of 11 servers one answers 2 s late for half of the time.
#[test]
fn adaptive_selectors_go_round_a_slow_node() {
    let settings = Settings::default();
    let within = |id| each(Scenario::SlowNode, &settings, id).map(|o| o.answered_within(SECOND));
    for turns in within("round_robin") {
        assert!((0.945..0.965).contains(&turns), "round_robin: {turns}");
    }
    for id in ADAPTIVE {
        for adaptive in within(id) {
            assert!(adaptive >= 0.999, "{id}: {adaptive}");
        }
    }
}

/// Those that read statistics.
const ADAPTIVE: &[&str] = &["quality", "p2c"];

/// Where only calls are slow and pings are not, the time that calls take tells.
#[test]
fn p2c_goes_round_a_slow_service_too() {
    let settings = Settings::default();
    let within = |id| shown(Scenario::SlowService, &settings, id).answered_within(SECOND);
    let (p2c, quality) = (within("p2c"), within("quality"));
    assert!(p2c >= 0.999 && p2c > quality, "p2c: {p2c}, quality: {quality}");
}

/// P12: no key moves that does not have to, and with 100 servers that is 1 % of them.
#[test]
fn consistent_hash_moves_what_must_move_and_no_more() {
    let settings = Settings { instances: 100, clients: 1, load: 0.02, ..Settings::default() };
    let moved = |id| shown(Scenario::Churn, &settings, id).keys_moved.unwrap();
    for outcome in each(Scenario::Churn, &settings, "consistent_hash") {
        let stable = outcome.keys_moved.unwrap();
        assert_eq!(stable.moved, stable.least, "{stable:?}");
        assert!((0.009..=0.011).contains(&stable.share()), "{stable:?}");
    }
    let remainders = moved("mod_hash");
    assert!(remainders.share() > 0.5 && remainders.least_share() < 0.02, "{remainders:?}");
    assert_eq!(shown(Scenario::Churn, &settings, "round_robin").keys_moved, None);
}

#[test]
fn consistent_hash_spreads_evenly() {
    let settings = Settings { instances: 100, ..Settings::default() };
    for outcome in each(Scenario::Steady, &settings, "consistent_hash") {
        assert!(outcome.spread <= 1.05, "{}", outcome.spread);
    }
}

#[test]
fn who_dies_takes_the_calls_that_it_has_and_those_on_their_way() {
    let outcome = shown(Scenario::Churn, &Settings::default(), "round_robin");
    let failed = outcome.failed as f64 / outcome.calls as f64;
    assert!(failed > 0.0 && failed < 0.002, "{failed}");
    assert_eq!(outcome.latencies.count() + outcome.failed, outcome.calls);
    assert_eq!(shown(Scenario::Steady, &Settings::default(), "round_robin").failed, 0);
}

#[test]
fn weights_are_met_by_who_knows_them() {
    let spread = |id| shown(Scenario::SkewedWeights, &Settings::default(), id).spread;
    let (weighted, random) = (spread("weighted"), spread("random"));
    assert!(weighted < 1.05, "{weighted}");
    // Those of weight 50 get as many calls as those of 400: 11 / 1850 of all for each 50 of weight.
    assert!((2.9..3.4).contains(&random), "{random}");
}

#[test]
fn hot_keys_make_hot_servers_unless_their_load_is_bounded() {
    let settings = Settings { load: 0.4, ..Settings::default() };
    let of = |config| once(Scenario::HotKeys, &settings, 1, &strategy("consistent_hash", config));
    let (free, bounded) = (of("{}"), of(r#"{"bounded_load": 1.25}"#));
    assert!(free.spread > 1.5, "{}", free.spread);
    assert!(bounded.spread < free.spread, "{} {}", bounded.spread, free.spread);
    let p999 = |outcome: &Outcome| outcome.latencies.quantile(0.999);
    assert!(p999(&bounded) < p999(&free), "{:?} {:?}", p999(&bounded), p999(&free));
}

#[test]
fn turns_are_smoother_than_chance() {
    let herd = |id| shown(Scenario::Steady, &Settings::default(), id).herd;
    let (turns, chance) = (herd("round_robin"), herd("random"));
    assert!((0.95..1.05).contains(&chance), "{chance}");
    assert!(turns < 0.7, "{turns}");
}

#[test]
fn a_seed_shows_the_same_each_time_and_another_seed_something_else() {
    let settings = Settings { duration: Duration::from_secs(10), ..Settings::default() };
    for scenario in Scenario::ALL {
        for id in ["round_robin", "quality", "consistent_hash"] {
            let run = |seed| once(scenario, &settings, seed, &StrategyConfig::new(id));
            let first = run(1);
            assert_eq!(first, run(1), "{scenario}, {id}");
            assert_ne!(first, run(2), "{scenario}, {id}");
            assert!(first.calls > 10_000, "{scenario}, {id}: {first:?}");
        }
    }
}

#[test]
fn a_selector_that_panics_is_served_for_counted_and_taken_out_of_service() {
    let settings = Settings { duration: SECOND, ..Settings::default() };
    let unruly = strategy("skymesh_fixture_unruly/unruly", r#"{"mischief": "panic_in_call"}"#);
    let outcome = once(Scenario::Steady, &settings, 1, &unruly);
    assert_eq!(outcome.failed, 0);
    assert!(outcome.faults > 0);
    assert_eq!(outcome.quarantined, u64::from(settings.clients));
}
