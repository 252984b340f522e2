//! What one pick costs: the same selector inlined into this program, through its shared library with
//! the host's supervision, and that with the host's entropy and clock, as an agent picks.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use skymesh_plugin_api::{Member, Request, Roster, Selector};
use skymesh_plugin_host::{PluginHost, PluginsConfig, StrategyConfig};

const INSTANCES: u64 = 1000;
const PICKS: u64 = 2_000_000;
const ROUNDS: usize = 11;

/// Prints the table.
pub(crate) fn compare() -> Result<(), String> {
    println!("\nns per pick of {INSTANCES} instances, medians of {ROUNDS} interleaved rounds");
    let agents = "with its entropy";
    println!("{:<18}{:>10}{:>14}{:>10}{agents:>18}", "selector", "inlined", "through .so", "over");
    let host = PluginHost::new(PluginsConfig::default()).map_err(|error| error.to_string())?;
    row::<skymesh_selector_round_robin::RoundRobin>(&host)?;
    row::<skymesh_selector_random::Random>(&host)?;
    row::<skymesh_selector_weighted::Weighted>(&host)?;
    row::<skymesh_selector_mod_hash::ModHash>(&host)?;
    row::<skymesh_selector_consistent_hash::ConsistentHash>(&host)?;
    row::<skymesh_selector_quality::Quality>(&host)?;
    row::<skymesh_selector_p2c::P2c>(&host)?;
    row::<skymesh_selector_least_request::LeastRequest>(&host)?;
    Ok(())
}

fn row<S: Selector>(host: &PluginHost) -> Result<(), String> {
    let members = || (1..=INSTANCES).map(Member::new).collect::<Vec<_>>();
    let config = serde_json::from_str("{}").map_err(|error| error.to_string())?;
    let inlined = S::new(config).map_err(|error| error.to_string())?;
    let roster = Arc::new(Roster::new(members()));
    let view = roster.view();
    let table = inlined.prepare(view);
    let slot = host.selector(&StrategyConfig::new(S::ID)).map_err(|error| error.to_string())?;
    let loaded = slot.prepare(members());
    let (mut direct, mut through, mut agents) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        direct.push(time(|request| {
            black_box(inlined.pick(black_box(view), black_box(&table), request));
        }));
        through.push(time(|request| {
            black_box(black_box(&loaded).pick_as(request));
        }));
        agents.push(time(|request| {
            black_box(black_box(&loaded).pick(request.key()));
        }));
    }
    let (direct, through, agents) = (median(direct), median(through), median(agents));
    let over = through - direct;
    println!("{:<18}{direct:>10.1}{through:>14.1}{over:>10.1}{agents:>18.1}", S::ID);
    Ok(())
}

fn time(mut pick: impl FnMut(&Request)) -> f64 {
    let started = Instant::now();
    for key in 0..PICKS {
        pick(&Request::new(Some(key), key.wrapping_mul(0x9E37_79B9_7F4A_7C15), 1, 0));
    }
    started.elapsed().as_nanos() as f64 / PICKS as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
