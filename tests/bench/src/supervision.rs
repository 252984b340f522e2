//! What supervision costs a good pick: the same selectors asked through the same function pointers of
//! their libraries, bare, and as messages ask them: with the answer compared with the view, the strategy's
//! standing looked at, and one pick in so many timed.
//!
//! `cargo run --release -p skymesh-bench -- supervision [PAIRS]` fails if that is more than [`BUDGET_NS`].

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use skymesh_plugin_api::abi::host::PreparedSelector;
use skymesh_plugin_api::{Member, Request, Roster};
use skymesh_plugin_host::{PluginHost, PluginsConfig, Prepared, StrategyConfig, inspect};

/// What the issue grants, in nanoseconds a pick.
const BUDGET_NS: f64 = 1.0;

const INSTANCES: u64 = 100;
const PICKS: u64 = 100_000;

/// Those whose picks cost the same each time and next to nothing, so that a nanosecond shows.
const SELECTORS: [&str; 4] = ["mod_hash", "round_robin", "random", "consistent_hash"];

/// A busy machine shows in a whole minute of figures, so a selector gets another chance.
const TRIES: usize = 3;

/// Prints the table.
///
/// # Errors
/// If a selector can't be had, or its supervision costs too much.
pub(crate) fn measure(pairs: usize) -> Result<(), String> {
    println!(
        "ns per pick of {INSTANCES} instances, medians of {pairs} interleaved pairs of rounds"
    );
    println!("{:<18}{:>8}{:>12}{:>12}", "selector", "bare", "supervised", "difference");
    let mut over = Vec::new();
    for selector in SELECTORS {
        let [bare, supervised] = both(selector)?;
        let mut least = f64::INFINITY;
        for _ in 0..TRIES {
            let shown = compare(&bare, &supervised, pairs);
            println!("{selector:<18}{:>8.2}{:>12.2}{:>12.2}", shown[0], shown[1], shown[2]);
            least = least.min(shown[2]);
            if least <= BUDGET_NS {
                break;
            }
        }
        if least > BUDGET_NS {
            over.push(format!("{selector} {least:.2}"));
        }
    }
    if cfg!(debug_assertions) {
        println!("a debug build: it says nothing about the budget");
        return Ok(());
    }
    match over.is_empty() {
        true => Ok(()),
        false => Err(format!("supervision costs more than {BUDGET_NS} ns: {}", over.join(", "))),
    }
}

/// A selector without a host, and one in its slot.
enum Picker {
    Bare(PreparedSelector),
    Supervised(Prepared),
}

impl Picker {
    fn round(&self) -> f64 {
        match self {
            Self::Bare(prepared) => time(|request| {
                black_box(black_box(prepared).answer(request));
            }),
            Self::Supervised(prepared) => time(|request| {
                black_box(black_box(prepared).pick_as(request));
            }),
        }
    }
}

fn both(selector: &str) -> Result<[Picker; 2], String> {
    let config = PluginsConfig::default();
    let host = PluginHost::new(config.clone()).map_err(|error| error.to_string())?;
    let slot = host.selector(&StrategyConfig::new(selector)).map_err(|error| error.to_string())?;
    let members = || (1..=INSTANCES).map(Member::new).collect::<Vec<_>>();
    let supervised = slot.prepare(members());
    // The same content is the same mapped library, so its function pointers are the same.
    let path = host.report().into_iter().find_map(|row| row.path).ok_or("no library file")?;
    let library = inspect(&path, &config).library.ok_or("the library is refused")?;
    let instance = library.selector(selector, "{}").map_err(|error| format!("{error:?}"))?;
    let bare = instance.prepare(Arc::new(Roster::new(members())));
    Ok([Picker::Bare(bare.map_err(|error| error.to_string())?), Picker::Supervised(supervised)])
}

/// The medians of both, and of what the second took more in each pair.
fn compare(bare: &Picker, supervised: &Picker, pairs: usize) -> [f64; 3] {
    let mut figures = [const { Vec::new() }; 3];
    // Warm, and past the rounds that a strategy begins with.
    bare.round();
    supervised.round();
    for pair in 0..pairs.max(1) {
        // By turns, so that what changes with time hits both alike.
        let (first, second) = if pair % 2 == 0 { (bare, supervised) } else { (supervised, bare) };
        let (one, two) = (first.round(), second.round());
        let (bare, supervised) = if pair % 2 == 0 { (one, two) } else { (two, one) };
        figures[0].push(bare);
        figures[1].push(supervised);
        figures[2].push(supervised - bare);
    }
    figures.map(crate::picks::median)
}

fn time(mut pick: impl FnMut(&Request)) -> f64 {
    let started = Instant::now();
    for key in 0..PICKS {
        pick(&Request::new(Some(key), key.wrapping_mul(0x9E37_79B9_7F4A_7C15), 1, 0));
    }
    started.elapsed().as_nanos() as f64 / PICKS as f64
}
