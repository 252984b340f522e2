//! What one pick costs: the same selector inlined into this program, called in its shared library, and
//! picked by as messages are, with the host's supervision: by one thread, by two at once, and with the
//! host's entropy and clock, as an agent picks. Each is held to its limit of goal P6, and supervision to
//! what issue 4 grants it.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;

use rustix::time::{ClockId, clock_gettime};
use skymesh_plugin_api::{Member, Request, Roster, Selector};

use crate::loaded::Loaded;

const INSTANCES: u64 = 1000;
const PICKS: u64 = 1_000_000;
const ROUNDS: usize = 21;
/// Where a selector's table happens to lie in memory makes half a nanosecond, so each is made so often, and
/// rounds take them in turn.
const PLACES: usize = 7;
/// A busy machine shows in many rounds on end, so a selector gets another chance.
pub(crate) const TRIES: usize = 3;
/// When all picks are made, by the clock of the statistics.
const NOW_NS: u64 = 1_000_000_000;

/// What a call in a library may cost over the same code inlined, in nanoseconds.
const CALL_LIMIT: f64 = 2.0;
/// What supervision may add to it: the answer compared with the view, the strategy's standing looked at,
/// and one pick in so many timed.
pub(crate) const SUPERVISION_LIMIT: f64 = 1.0;
/// What two threads may cost over one, where that is limited, beyond what the machine makes of two that have
/// nothing in common: two of its processors may be one core.
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

/// Prints the table, of all stock selectors or of those alone.
///
/// # Errors
/// Every selector that is beyond a limit.
pub(crate) fn compare(only: &[String]) -> Result<(), String> {
    println!(
        "\nns of processor time per pick of {INSTANCES} instances, medians of {ROUNDS} interleaved rounds;\n\
         `over` and `adds`: medians of the differences within a round; `nothing`: what 2 threads cost that pick\n\
         nothing, which is the machine's, so the limit is of the times over that"
    );
    println!(
        "{:<17}{:>8}{:>8}{:>6}{:>6}{:>7}{:>6}{:>8}{:>6}{:>11}{:>9}{:>6}{:>9}",
        "selector",
        "inlined",
        "called",
        "over",
        "limit",
        "adds",
        "limit",
        "picked",
        "limit",
        "2 threads",
        "nothing",
        "limit",
        "by agent"
    );
    let turns = Limit { pick: Some(4.0), threads: Some(THREADS_LIMIT) };
    let beyond = [
        row::<skymesh_selector_round_robin::RoundRobin>(only, turns)?,
        row::<skymesh_selector_random::Random>(only, FREE)?,
        row::<skymesh_selector_weighted::Weighted>(only, FREE)?,
        row::<skymesh_selector_mod_hash::ModHash>(only, within(3.0))?,
        row::<skymesh_selector_consistent_hash::ConsistentHash>(only, within(10.0))?,
        row::<skymesh_selector_quality::Quality>(only, within(25.0))?,
        row::<skymesh_selector_p2c::P2c>(only, within(15.0))?,
        row::<skymesh_selector_least_request::LeastRequest>(only, FREE)?,
    ]
    .concat();
    if beyond.is_empty() { Ok(()) } else { Err(beyond.join("; ")) }
}

/// An instance as a client under load knows it: pinged, answering, with requests in flight.
fn busy(instance: u64) -> Member {
    let member = Member::new(instance);
    let spread = instance.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    member.stats.set_rtt_ewma_ns(200_000 + spread % 100_000);
    member.stats.set_last_sample_ns(NOW_NS);
    member.stats.note_latency(500_000 + spread % 300_000, NOW_NS);
    (0..spread % 4).for_each(|_| member.stats.began());
    member
}

/// Answers what is beyond its limit.
fn row<S: Selector>(only: &[String], limit: Limit) -> Result<Vec<String>, String> {
    if !only.is_empty() && !only.iter().any(|id| id == S::ID) {
        return Ok(Vec::new());
    }
    // Shared by all, for where they happen to lie in memory makes a nanosecond.
    let members: Vec<Member> = (1..=INSTANCES).map(busy).collect();
    let config = serde_json::from_str("{}").map_err(|error| error.to_string())?;
    let inlined = S::new(config).map_err(|error| error.to_string())?;
    let roster = Arc::new(Roster::new(members.clone()));
    let view = roster.view();
    let place = |_| Loaded::new(S::ID, &members).map(|loaded| (inlined.prepare(view), loaded));
    let places: Vec<_> = (0..PLACES).map(place).collect::<Result<_, String>>()?;
    let round = |turn: usize| {
        let (table, Loaded { bare, supervised }) = &places[turn % PLACES];
        let picked = |thread| {
            time(PICKS, thread, |request| {
                black_box(black_box(supervised).pick_as(request));
            })
        };
        Round {
            inlined: time(PICKS, 0, |request| {
                black_box(inlined.pick(black_box(view), black_box(table), request));
            }),
            called: time(PICKS, 0, |request| {
                black_box(black_box(bare).answer(request));
            }),
            picked: picked(0),
            by_two: by_two(picked),
            nothing: time(PICKS, 0, mix),
            nothing_by_two: by_two(|thread| time(PICKS, thread, mix)),
            by_agents: time(PICKS, 0, |request| {
                black_box(black_box(supervised).pick(request.key()));
            }),
        }
    };
    let mut beyond = Vec::new();
    for _ in 0..TRIES {
        let rounds: Vec<Round> = (0..ROUNDS).map(round).collect();
        beyond = limit.judge(S::ID, &rounds);
        if beyond.is_empty() {
            break;
        }
    }
    Ok(beyond)
}

/// The slower one of two threads that do the same at once.
fn by_two(work: impl Fn(u32) -> f64 + Sync) -> f64 {
    thread::scope(|scope| {
        let other = scope.spawn(|| work(1));
        let mine = work(0);
        other.join().map_or(f64::INFINITY, |other| mine.max(other))
    })
}

/// What no thread needs another's memory for.
fn mix(request: &Request) {
    black_box(request.entropy().rotate_left(32).wrapping_mul(0x9E37_79B9_7F4A_7C15));
}

/// Nanoseconds per pick, one way and the other, soon after each other.
struct Round {
    inlined: f64,
    called: f64,
    picked: f64,
    by_two: f64,
    /// No pick at all, as far as two threads slow each other down.
    nothing: f64,
    nothing_by_two: f64,
    by_agents: f64,
}

impl Limit {
    /// Prints the selector's line and answers what of it is too much.
    fn judge(self, id: &str, rounds: &[Round]) -> Vec<String> {
        // Differences are taken within a round: what slows the machine for a while hits both.
        let middle = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
        let (inlined, called, picked) =
            (middle(|one| one.inlined), middle(|one| one.called), middle(|one| one.picked));
        let (over, adds) =
            (middle(|one| one.called - one.inlined), middle(|one| one.picked - one.called));
        let (times, agents) = (middle(|one| one.by_two / one.picked), middle(|one| one.by_agents));
        let machine = middle(|one| one.nothing_by_two / one.nothing).max(1.0);
        let shown =
            |limit: Option<f64>| limit.map_or_else(|| "-".to_owned(), |one| one.to_string());
        let (most, most_times) = (shown(self.pick), shown(self.threads));
        println!(
            "{id:<17}{inlined:>8.1}{called:>8.1}{over:>6.1}{CALL_LIMIT:>6}{adds:>7.1}{SUPERVISION_LIMIT:>6}\
             {picked:>8.1}{most:>6}{times:>10.2}x{machine:>8.2}x{most_times:>6}{agents:>9.1}"
        );
        let checks = [
            (over, Some(CALL_LIMIT), "ns for the call over the same code inlined"),
            (adds, Some(SUPERVISION_LIMIT), "ns for supervision"),
            (picked, self.pick, "ns per pick"),
            (
                times / machine,
                self.threads,
                "times as long with 2 threads, over what the machine makes of them",
            ),
        ];
        let beyond =
            checks.into_iter().filter(|(cost, limit, _)| limit.is_some_and(|one| *cost > one));
        let told = |(cost, limit, what)| format!("{id}: {cost:.2} {what}, of {}", shown(limit));
        beyond.map(told).collect()
    }
}

/// Nanoseconds per pick by the processor time of this thread, so that other programs hardly count.
pub(crate) fn time(picks: u64, thread: u32, mut pick: impl FnMut(&Request)) -> f64 {
    let started = thread_nanos();
    for key in 0..picks {
        pick(&Request::new(Some(key), key.wrapping_mul(0x9E37_79B9_7F4A_7C15), NOW_NS, thread));
    }
    (thread_nanos() - started) as f64 / picks as f64
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
