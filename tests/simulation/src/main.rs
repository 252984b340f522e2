//! Plays seeds until they are through or a promise is broken:
//! `cargo run --release -p skymesh-simulation -- --seeds 1000000`.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use skymesh_simulation::{Scenario, StopAt, sweep};

/// Plays the real cores of skymesh in simulated worlds and checks what must hold.
#[derive(Debug, Parser)]
struct Options {
    /// How many seeds are played.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// What the runs are about.
    #[arg(long, value_enum, default_value_t = About::Both)]
    about: About,
    /// Prints all that happens in the first seed, and plays no other.
    #[arg(long)]
    tell: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum About {
    /// Leaders.
    Elections,
    /// Stateful services.
    Placement,
    /// Each seed once of leaders and once of stateful services.
    Both,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut sound = true;
    if options.about != About::Placement {
        sound &= play("elections", &options, |seed| Scenario::of_seed(seed, None));
    }
    if options.about != About::Elections {
        sound &= play("placement", &options, |seed| Scenario::of_placement_seed(seed, None));
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays the seeds and says what came of them. Answers whether nothing was broken.
fn play(about: &str, options: &Options, of_seed: impl Fn(u64) -> Scenario + Sync) -> bool {
    if options.tell {
        let report = of_seed(options.from).tell(options.from);
        println!("{about}: {report:?}");
        return report.violation.is_none();
    }
    let begun = Instant::now();
    let swept = sweep(options.from..options.from + options.seeds, of_seed, StopAt::End);
    let seconds = begun.elapsed().as_secs_f64();
    let speed = swept.seeds as f64 / seconds;
    println!("{about}: {} seeds in {seconds:.1} s, {speed:.0} seeds/s", swept.seeds);
    println!("{:?}", swept.counts);
    for (seed, report) in &swept.failures {
        println!("seed {seed}: {:?}", report.violation);
    }
    swept.failures.is_empty()
}
