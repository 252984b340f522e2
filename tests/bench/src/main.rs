//! One-way throughput between two processes over loopback, every contender in turn in one run.
//!
//! `cargo run --release -p skymesh-bench -- [--rounds N] [--millis N] [--threads N] [--sizes 16,128]
//! [--only raw,hand]`. Prints, per payload size, the median of all rounds with the range, the ratio
//! to the baselines, and the processor time of both processes per message. Absolute figures drift
//! with the machine; the ratios are what counts.
//!
//! By their names alone, each exits with code 1 beyond what is promised: `-- picks [SELECTORS]` (goal P6), `-- reload`
//! (P18), `-- failover` (P13), `-- supervision` (of a pick). `-- rpc` compares calls.
//!
//! The program runs itself again for each role: `role send|receive CONTENDER SIZE MESSAGES ...`.

mod contender;
mod failover;
mod frame;
mod loaded;
mod options;
mod picks;
mod reload;
mod round;
mod rpc;
mod run;
mod supervision;
mod table;

use std::env;
use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("role") => round::play(&arguments[1..]),
        Some("supervision") => {
            supervision::measure(arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(301))
        }
        Some("picks") => picks::compare(&arguments[1..]),
        Some("reload") => {
            reload::compare(arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(200))
        }
        Some("failover") => {
            let number = |at: usize, unless| {
                arguments.get(at).and_then(|n| n.parse().ok()).unwrap_or(unless)
            };
            failover::measure(number(1, 1000), number(2, 10))
        }
        Some("failover-role") => failover::play(arguments.get(1).map_or("", String::as_str)),
        Some("rpc-role") => rpc::play(&arguments[1..]),
        Some("rpc") => rpc::compare(arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(7)),
        _ => Options::parse(&arguments).and_then(|options| {
            compare(&options)?;
            picks::compare(&[])
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skymesh-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays every round of every contender and prints the tables. Rounds interleave, so that a slow
/// minute of the machine hits all alike.
fn compare(options: &Options) -> Result<(), String> {
    println!(
        "one-way, one connection, one sender task, {} rounds of about {} ms, {} worker threads each",
        options.rounds, options.millis, options.threads
    );
    for &size in &options.sizes {
        let mut messages = Vec::new();
        for name in &options.contenders {
            messages.push(round::calibrate(name, size, options)?);
        }
        let mut results = vec![Vec::new(); options.contenders.len()];
        for _ in 0..options.rounds {
            for (at, name) in options.contenders.iter().enumerate() {
                results[at].push(round::once(name, size, messages[at], options.threads)?);
            }
        }
        table::print(size, &options.contenders, &results);
    }
    Ok(())
}
