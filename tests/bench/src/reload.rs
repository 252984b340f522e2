//! What reloads cost those who send meanwhile: the one-way latency of messages that are due at fixed
//! times, in seconds in which the selector's library is exchanged for another version, and in seconds
//! without. `cargo run --release -p skymesh-bench -- reload [RELOADS]`.
//!
//! The schedule is open: message n of a sender is due at its time whatever became of the one before, and
//! its latency counts from then, not from when it could be sent. So a pause costs every message that was
//! due in it. Seconds of both kinds alternate (without, with, with, without), so that what else the machine
//! does hits both alike: minutes of the one and then of the other differ by more than a reload costs. A
//! file is put in place in every second, so only the reload itself is between them. A message that is
//! lost, refused or misrouted fails the run.

mod metronome;
mod stage;

use stage::Stage;

/// Which of four seconds reload. One in each is more often than anybody deploys.
const TURNS: [bool; 4] = [false, true, true, false];
/// How often the turns are played in one go: 20 seconds.
const REPEATS: usize = 5;
/// What the 99th percentile may be of that without reloads.
const LIMIT: f64 = 1.1;

/// Prints the table of so many reloads, and up to nine more.
///
/// # Errors
/// If the 99th percentile is over 1.1 times that without reloads, or a message is not where it belongs.
pub(crate) fn compare(reloads: usize) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(run(reloads.max(1)))
}

async fn run(reloads: usize) -> Result<(), String> {
    let mut stage = Stage::open().await?;
    // Warms up, and maps both versions.
    stage.play(&TURNS).await?;
    let (mut still, mut moving) = (Vec::new(), Vec::new());
    while moving.len() < reloads {
        let plan = TURNS.repeat(REPEATS);
        for (second, reloading) in stage.play(&plan).await?.into_iter().zip(plan) {
            if reloading { &mut moving } else { &mut still }.push(second);
        }
    }
    println!(
        "one-way latency in us from when a message is due, {} due a second; {} seconds of each kind",
        stage::RATE,
        moving.len()
    );
    println!(
        "{:<18}{:>8}{:>8}{:>8}   a second's p99: its median, and half of them are",
        "", "p50", "p99", "p99.9"
    );
    let [a, b] = [print_row("without a reload", &still), print_row("with a reload", &moving)];
    let ratio = b / a;
    println!(
        "{} reloads, nothing lost, refused or misrouted; the p99 with a reload is {ratio:.2} times \
         that without, of {LIMIT}",
        moving.len()
    );
    if ratio > LIMIT { Err(format!("{ratio:.2} is over {LIMIT}")) } else { Ok(()) }
}

/// Prints one row of seconds, each with its latencies in order; answers the p99 of all of their messages.
fn print_row(name: &str, seconds: &[Vec<u64>]) -> f64 {
    let at = |sorted: &[u64], share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    let mut p99s: Vec<u64> = seconds.iter().map(|latencies| at(latencies, 0.99)).collect();
    p99s.sort_unstable();
    let mut all = seconds.concat();
    all.sort_unstable();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| micros(at(&all, share)));
    let [low, median, high] = [0.25, 0.5, 0.75].map(|share| micros(at(&p99s, share)));
    println!("{name:<18}{p50:>8.0}{p99:>8.0}{p999:>8.0}   {median:.0}, {low:.0} to {high:.0}");
    p99
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}
