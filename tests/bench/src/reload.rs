//! What reloads cost those who send meanwhile: the one-way latency of messages that are due at fixed
//! times, with nothing else going on, and while the selector's library is exchanged for another version
//! again and again. `cargo run --release -p skymesh-bench -- reload [ROUNDS]`.
//!
//! The schedule is open: message n of a sender is due at its time whatever became of the one before, and
//! its latency counts from then, not from when it could be sent. So a pause costs every message that was
//! due in it. Rounds of both kinds alternate, each kind first by turns, so that the machine's slow minutes
//! hit both alike; files are copied in both, so only the reload itself is between them. A message that is
//! lost, refused or misrouted fails the run.

mod metronome;
mod stage;

use std::time::Duration;

use stage::{Percentiles, Stage};

/// Reloads of a round that has any: 200 in 10 rounds.
const RELOADS: usize = 20;
/// How long a round sends: a reload each second, more often than anybody deploys. To read and hash a
/// library takes some milliseconds, of which messages see little, since it is done at the lowest priority.
const ROUND: Duration = Duration::from_secs(20);
/// What the 99th percentile may be of that without reloads.
const LIMIT: f64 = 1.1;

/// Prints the table.
///
/// # Errors
/// If the 99th percentile is over 1.1 times that without reloads, or a message is not where it belongs.
pub(crate) fn compare(rounds: usize) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(run(rounds.max(1)))
}

async fn run(rounds: usize) -> Result<(), String> {
    let mut stage = Stage::open().await?;
    // The first of each warms up, and maps both versions.
    for reloads in [0, RELOADS] {
        stage.round(ROUND, reloads).await?;
    }
    let (mut still, mut moving) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let order = if round % 2 == 0 { [0, RELOADS] } else { [RELOADS, 0] };
        for reloads in order {
            let measured = stage.round(ROUND, reloads).await?;
            if reloads == 0 { &mut still } else { &mut moving }.push(measured);
        }
    }
    println!(
        "one-way latency in us from when a message is due, {} due a second, medians of {rounds} rounds",
        stage::RATE
    );
    println!("{:<18}{:>8}{:>8}{:>8}   p99 of the rounds", "", "p50", "p99", "p99.9");
    let [a, b] = [row("without reloads", &still), row("while reloading", &moving)];
    let ratio = b / a;
    println!(
        "{} reloads, nothing lost, refused or misrouted; p99 while reloading is {ratio:.2} times that without, of {LIMIT}",
        rounds * RELOADS
    );
    if ratio > LIMIT { Err(format!("{ratio:.2} is over {LIMIT}")) } else { Ok(()) }
}

/// Prints one row; answers the p99.
fn row(name: &str, rounds: &[Percentiles]) -> f64 {
    let column = |at: usize| {
        let mut figures: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
        figures.sort_by(f64::total_cmp);
        figures
    };
    let [p50, p99, p999] = [0, 1, 2].map(column);
    let median = |figures: &[f64]| figures[figures.len() / 2];
    println!(
        "{name:<18}{:>8.0}{:>8.0}{:>8.0}   {:.0} to {:.0}",
        median(&p50),
        median(&p99),
        median(&p999),
        p99[0],
        p99[p99.len() - 1]
    );
    median(&p99)
}
