//! What reloads cost those who send meanwhile: the one-way latency of messages at a steady pace, with
//! nothing else going on, and while the selector's library is exchanged for another version again and
//! again. Rounds of both kinds alternate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use skymesh_agent::config::ServicesConfig;
use skymesh_agent::{Agent, Delivery, Inbox, Instance, Resolve, Router};
use skymesh_nameserver::{Nameserver, NameserverConfig, StoreConfig};
use skymesh_plugin_host::PluginsConfig;

/// Rounds of each kind, and reloads of each of those that have any: 200 together.
const ROUNDS: usize = 10;
const RELOADS: usize = 20;
/// How long a round sends.
const ROUND: Duration = Duration::from_secs(2);
const SENDERS: u64 = 4;
/// Messages of each sender in each millisecond: well below what the machine can do, for otherwise
/// latency measures the queue.
const BURST: u64 = 4;
const INSTANCES: u64 = 4;

/// Prints the table, and fails if the 99th percentile is over 1.1 times that without reloads.
pub(crate) fn compare() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(run())
}

async fn run() -> Result<(), String> {
    let mut stage = Stage::open().await?;
    let (mut still, mut moving) = (Vec::new(), Vec::new());
    let mut reloads = 0;
    for round in 0..=ROUNDS {
        let without = stage.round(0).await?;
        let with = stage.round(RELOADS).await?;
        // The first of each warms up.
        if round > 0 {
            still.push(without);
            moving.push(with);
        }
        reloads += RELOADS;
    }
    println!(
        "one-way latency in us at {} messages a second, medians of {ROUNDS} alternating rounds",
        SENDERS * BURST * 1000
    );
    println!("{:<26}{:>8}{:>8}{:>8}", "", "p50", "p99", "p99.9");
    let [a, b] = [row("without reloads", &still), row("while reloading", &moving)];
    let ratio = b / a;
    println!("{reloads} reloads; p99 while reloading is {ratio:.2} times that without");
    if ratio > 1.1 { Err(format!("{ratio:.2} is over 1.1")) } else { Ok(()) }
}

/// Prints one row; answers the p99.
fn row(name: &str, rounds: &[[f64; 3]]) -> f64 {
    let column = |at: usize| {
        let mut figures: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    println!("{name:<26}{:>8.0}{:>8.0}{:>8.0}", column(0), column(1), column(2));
    column(1)
}

struct Stage {
    agent: Agent,
    router: Router,
    senders: Vec<(Instance, Inbox)>,
    _takers: Vec<Instance>,
    inboxes: Vec<Inbox>,
    folder: PathBuf,
    _servers: Agent,
}

impl Stage {
    async fn open() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("skymesh-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        deploy(&folder, 0)?;
        let config = NameserverConfig {
            listen: "127.0.0.1:0".to_owned(),
            store: StoreConfig::memory(),
            ..NameserverConfig::default()
        };
        let nameserver = Nameserver::bind(config).await.map_err(|error| error.to_string())?;
        let address = nameserver.local_addr().to_string();
        tokio::spawn(nameserver.run());
        let services: ServicesConfig = serde_json::from_value(serde_json::json!({
            "bench.*.*": { "selector": { "use": "skymesh_fixture_edition/edition" } },
        }))
        .map_err(|error| error.to_string())?;
        let plugins = PluginsConfig {
            dirs: vec![folder.clone()],
            allow_insecure_dirs: true,
            ..PluginsConfig::default()
        };
        let start = || Agent::builder().app("bench").nameserver(&address);
        let servers = start().connect().await.map_err(|error| error.to_string())?;
        let agent = start().services(services).plugins(plugins).connect().await;
        let agent = agent.map_err(|error| error.to_string())?;
        let (mut takers, mut inboxes, mut senders) = (Vec::new(), Vec::new(), Vec::new());
        for id in 1..=INSTANCES {
            let taker = servers.register(format!("bench.one.server/{id}").as_str()).await;
            let (instance, inbox) = taker.map_err(|error| error.to_string())?;
            takers.push(instance);
            inboxes.push(inbox);
        }
        for id in 1..=SENDERS {
            let sender = agent.register(format!("bench.one.client/{id}").as_str()).await;
            senders.push(sender.map_err(|error| error.to_string())?);
        }
        let router = agent.router("bench.one.server").map_err(|error| error.to_string())?;
        let all = |resolve: &Resolve| resolve.members().len() as u64 == INSTANCES;
        let known = router.wait_until(Duration::from_secs(30), all).await;
        known.map_err(|error| error.to_string())?;
        let (_takers, _servers) = (takers, servers);
        Ok(Self { agent, router, senders, _takers, inboxes, folder, _servers })
    }

    /// Sends for a while; answers three percentiles of the latency in microseconds.
    async fn round(&mut self, reloads: usize) -> Result<[f64; 3], String> {
        let started = Instant::now();
        let stop = Arc::new(AtomicBool::new(false));
        let senders = self.senders.iter().map(|(me, _)| {
            let (me, router, stop) = (me.clone(), self.router.clone(), Arc::clone(&stop));
            tokio::spawn(async move { send(&me, &router, started, &stop).await })
        });
        let senders: Vec<_> = senders.collect();
        let takers = self.inboxes.drain(..).map(|inbox| tokio::spawn(take(inbox, started)));
        let takers: Vec<_> = takers.collect();
        let every = ROUND / (reloads as u32 + 1);
        for turn in 0..reloads {
            tokio::time::sleep(every).await;
            deploy(&self.folder, turn % 2)?;
            let reload = self.agent.reload().await;
            if !reload.faults.is_empty() {
                return Err(reload.to_string());
            }
        }
        tokio::time::sleep(ROUND.saturating_sub(started.elapsed())).await;
        stop.store(true, Relaxed);
        let (mut sent, mut latencies) = (0, Vec::new());
        for sender in senders {
            sent += sender.await.map_err(|error| error.to_string())?;
        }
        for taker in takers {
            let (taken, inbox) = taker.await.map_err(|error| error.to_string())?;
            latencies.extend(taken);
            self.inboxes.push(inbox);
        }
        if latencies.len() != sent {
            return Err(format!("{sent} messages were sent, {} came", latencies.len()));
        }
        latencies.sort_unstable();
        let at = |share: f64| latencies[((sent - 1) as f64 * share) as usize] as f64 / 1000.0;
        Ok([at(0.5), at(0.99), at(0.999)])
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Sends at a steady pace until it is stopped, then the end to everybody; answers how many.
async fn send(me: &Instance, router: &Router, started: Instant, stop: &AtomicBool) -> usize {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count = 0;
    while !stop.load(Relaxed) {
        ticks.tick().await;
        for _ in 0..BURST {
            let now = started.elapsed().as_nanos() as u64;
            me.send(router.key(count as u64), now.to_le_bytes()).await.expect("nothing is refused");
            count += 1;
        }
    }
    me.broadcast(router.name(), u64::MAX.to_le_bytes()).await.expect("nothing is refused");
    count
}

/// The latencies of all messages until each sender has said that it is done.
async fn take(mut inbox: Inbox, started: Instant) -> (Vec<u64>, Inbox) {
    let (mut latencies, mut done) = (Vec::new(), 0);
    while done < SENDERS {
        let Some(Delivery::Message(message)) = inbox.recv().await else { continue };
        let mut stamp = [0; 8];
        stamp.copy_from_slice(&message.payload()[..8]);
        match u64::from_le_bytes(stamp) {
            u64::MAX => done += 1,
            sent => latencies.push((started.elapsed().as_nanos() as u64).saturating_sub(sent)),
        }
    }
    (latencies, inbox)
}

/// Puts an edition of the fixture under the library's name by rename.
fn deploy(folder: &Path, edition: usize) -> Result<(), String> {
    let name = ["skymesh_fixture_edition_one", "skymesh_fixture_edition_two"][edition];
    let file = |name: &str| {
        format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
    };
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = this.parent().unwrap_or(Path::new("."));
    let new = folder.join("new");
    std::fs::copy(beside.join("deps").join(file(name)), &new)
        .and_then(|_| std::fs::rename(&new, folder.join(file("skymesh_fixture_edition"))))
        .map_err(|error| format!("{name}: {error}"))
}
