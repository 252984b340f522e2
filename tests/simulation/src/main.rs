//! Plays seeds until they are through or a promise is broken:
//! `cargo run --release -p skymesh-simulation -- --seeds 1000000`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use skymesh_simulation::{StopAt, sweep};

/// Plays the real cores of skymesh in simulated worlds and checks what must hold.
#[derive(Debug, Parser)]
struct Options {
    /// How many seeds are played.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let begun = Instant::now();
    let swept = sweep(options.from..options.from + options.seeds, None, StopAt::End);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds in {seconds:.1} s, {:.0} seeds/s, {:?}",
        swept.seeds,
        swept.seeds as f64 / seconds,
        swept.counts
    );
    for (seed, report) in &swept.failures {
        println!("seed {seed}: {:?}", report.violation);
    }
    if swept.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
