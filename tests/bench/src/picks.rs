//! What one pick costs: the same selector inlined into this program, through its shared library with
//! the host's supervision, by one thread and by two at once, and that with the host's entropy and clock,
//! as an agent picks. Each is held to its limit of goal P6.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;

use rustix::time::{ClockId, clock_gettime};
use skymesh_plugin_api::{Member, Request, Roster, Selector};
use skymesh_plugin_host::{PluginHost, PluginsConfig, StrategyConfig};

const INSTANCES: u64 = 1000;
const PICKS: u64 = 2_000_000;
const ROUNDS: usize = 11;

/// What a call through a library may cost over the same code inlined, in nanoseconds.
const OVER_LIMIT: f64 = 2.0;
/// What two threads may cost over one, where that is limited.
const THREADS_LIMIT: f64 = 1.3;

/// What P6 allows one selector.
#[derive(Clone, Copy)]
struct Limit {
    /// Nanoseconds of a pick through the library.
    pick: Option<f64>,
    /// Whether two threads must not get in each other's way.
    threads: Option<f64>,
}

const FREE: Limit = Limit { pick: None, threads: None };

fn within(pick: f64) -> Limit {
    Limit { pick: Some(pick), ..FREE }
}

/// Prints the table.
///
/// # Errors
/// Every selector that is beyond a limit.
pub(crate) fn compare() -> Result<(), String> {
    println!(
        "\nns of processor time per pick of {INSTANCES} instances, medians of {ROUNDS} interleaved rounds"
    );
    println!(
        "{:<17}{:>8}{:>13}{:>7}{:>7}{:>7}{:>11}{:>7}{:>14}",
        "selector",
        "inlined",
        "through .so",
        "limit",
        "over",
        "limit",
        "2 threads",
        "limit",
        "with entropy"
    );
    let host = PluginHost::new(PluginsConfig::default()).map_err(|error| error.to_string())?;
    let turns = Limit { pick: Some(4.0), threads: Some(THREADS_LIMIT) };
    let beyond = [
        row::<skymesh_selector_round_robin::RoundRobin>(&host, turns)?,
        row::<skymesh_selector_random::Random>(&host, FREE)?,
        row::<skymesh_selector_weighted::Weighted>(&host, FREE)?,
        row::<skymesh_selector_mod_hash::ModHash>(&host, within(3.0))?,
        row::<skymesh_selector_consistent_hash::ConsistentHash>(&host, within(10.0))?,
        row::<skymesh_selector_quality::Quality>(&host, within(25.0))?,
        row::<skymesh_selector_p2c::P2c>(&host, within(15.0))?,
        row::<skymesh_selector_least_request::LeastRequest>(&host, FREE)?,
    ]
    .concat();
    if beyond.is_empty() { Ok(()) } else { Err(beyond.join("; ")) }
}

/// Answers what is beyond its limit.
fn row<S: Selector>(host: &PluginHost, limit: Limit) -> Result<Vec<String>, String> {
    let members = || (1..=INSTANCES).map(Member::new).collect::<Vec<_>>();
    let config = serde_json::from_str("{}").map_err(|error| error.to_string())?;
    let inlined = S::new(config).map_err(|error| error.to_string())?;
    let roster = Arc::new(Roster::new(members()));
    let view = roster.view();
    let table = inlined.prepare(view);
    let slot = host.selector(&StrategyConfig::new(S::ID)).map_err(|error| error.to_string())?;
    let loaded = slot.prepare(members());
    let (mut direct, mut through, mut both, mut agents) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        direct.push(time(0, |request| {
            black_box(inlined.pick(black_box(view), black_box(&table), request));
        }));
        let pick = |thread| {
            time(thread, |request| {
                black_box(black_box(&loaded).pick_as(request));
            })
        };
        through.push(pick(0));
        both.push(thread::scope(|scope| {
            let other = scope.spawn(|| pick(1));
            let mine = pick(0);
            other.join().map_or(f64::INFINITY, |other| mine.max(other))
        }));
        agents.push(time(0, |request| {
            black_box(black_box(&loaded).pick(request.key()));
        }));
    }
    let [direct, through, both, agents] = [direct, through, both, agents].map(median);
    let (over, times) = (through - direct, both / through);
    let shown = |limit: Option<f64>| limit.map_or_else(|| "-".to_owned(), |one| one.to_string());
    println!(
        "{:<17}{direct:>8.1}{through:>13.1}{:>7}{over:>7.1}{OVER_LIMIT:>7}{times:>10.2}x{:>7}{agents:>14.1}",
        S::ID,
        shown(limit.pick),
        shown(limit.threads),
    );
    let checks = [
        (through, limit.pick, "ns per pick"),
        (over, Some(OVER_LIMIT), "ns over the same code inlined"),
        (times, limit.threads, "times as long with 2 threads"),
    ];
    let beyond = checks.into_iter().filter(|(cost, limit, _)| limit.is_some_and(|one| *cost > one));
    let told = |(cost, limit, what): (f64, Option<f64>, &str)| {
        format!("{}: {cost:.2} {what}, of {}", S::ID, shown(limit))
    };
    Ok(beyond.map(told).collect())
}

/// Nanoseconds per pick by the processor time of this thread, so that other programs hardly count.
fn time(thread: u32, mut pick: impl FnMut(&Request)) -> f64 {
    let started = thread_nanos();
    for key in 0..PICKS {
        pick(&Request::new(Some(key), key.wrapping_mul(0x9E37_79B9_7F4A_7C15), 1, thread));
    }
    (thread_nanos() - started) as f64 / PICKS as f64
}

fn thread_nanos() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// The one in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
