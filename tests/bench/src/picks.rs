//! What one pick costs: the same selector inlined into this program, and through its shared library
//! with everything that an agent's pick has around it.

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
    println!("{:<18}{:>10}{:>14}{:>10}", "selector", "inlined", "through .so", "over");
    let host = PluginHost::new(PluginsConfig::default()).map_err(|error| error.to_string())?;
    row::<skymesh_selector_round_robin::RoundRobin>(&host)?;
    row::<skymesh_selector_random::Random>(&host)?;
    row::<skymesh_selector_weighted::Weighted>(&host)?;
    row::<skymesh_selector_mod_hash::ModHash>(&host)?;
    row::<skymesh_selector_consistent_hash::ConsistentHash>(&host)?;
    row::<skymesh_selector_quality::Quality>(&host)?;
    Ok(())
}

fn row<S: Selector>(host: &PluginHost) -> Result<(), String> {
    let members = || (1..=INSTANCES).map(Member::new).collect::<Vec<_>>();
    let config = serde_json::from_str("{}").map_err(|error| error.to_string())?;
    let inlined = S::new(config).map_err(|error| error.to_string())?;
    let roster = Arc::new(Roster::new(members()));
    let view = roster.view();
    let table = inlined.prepare(&view);
    let slot = host.selector(&StrategyConfig::new(S::ID)).map_err(|error| error.to_string())?;
    let loaded = slot.prepare(members());
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        direct.push(time(|key| {
            let request = Request::new(Some(key), key.wrapping_mul(0x9E37_79B9_7F4A_7C15), 1, 0);
            black_box(inlined.pick(black_box(&view), black_box(&table), &request));
        }));
        through.push(time(|key| {
            black_box(black_box(&loaded).pick(Some(key)));
        }));
    }
    let (direct, through) = (median(direct), median(through));
    println!("{:<18}{direct:>10.1}{through:>14.1}{:>10.1}", S::ID, through - direct);
    Ok(())
}

fn time(mut pick: impl FnMut(u64)) -> f64 {
    let started = Instant::now();
    for key in 0..PICKS {
        pick(key);
    }
    started.elapsed().as_nanos() as f64 / PICKS as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
