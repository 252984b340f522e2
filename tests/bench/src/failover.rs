//! Failover: how long a service is without a leader when its leader resigns, and when it is killed.
//! `cargo run --release -p skymesh-bench -- failover [HAND-OVERS] [KILLS]`.
//!
//! A hand-over is measured from the call of `resign` to the event in the next leader's inbox; both
//! agents and the nameserver are tasks of one process, which talk over loopback. A kill is measured
//! from the signal to that event; the leader is then a process of its own, and the lease a second.
//!
//! Each line ends with a verdict, and the program fails if one of them is missed. Only a quiet machine
//! says something of skymesh: with a store in a file, a hand-over waits for one sync of the disk.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use skymesh_agent::{Agent, Delivery, Event, Inbox, Instance, Leadership};
use skymesh_nameserver::{Nameserver, NameserverConfig, StoreConfig};

const SERVICE: &str = "bench.one.room";
const LEASE: Duration = Duration::from_secs(1);

/// What the issue asks for.
const HAND_OVER_P99: Duration = Duration::from_millis(10);
const AFTER_KILL: Duration = LEASE.saturating_add(Duration::from_millis(100));

/// Measures both, and prints what came of it.
pub(crate) fn measure(hand_overs: usize, kills: usize) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let folder = env::temp_dir().join(format!("skymesh-failover-{}", std::process::id()));
    let stores = [("memory", StoreConfig::memory()), ("file", StoreConfig::file(&folder))];
    let mut missed = Vec::new();
    let outcome = runtime.block_on(async {
        for (name, store) in stores {
            let took = resignations(store, hand_overs).await?;
            verdict(&format!("resign, store in {name}"), took, HAND_OVER_P99, &mut missed)?;
        }
        let took = deaths(kills).await?;
        verdict("kill -9, lease 1s", took, AFTER_KILL, &mut missed)?;
        match missed.is_empty() {
            true => Ok(()),
            false => Err(format!("missed: {}", missed.join("; "))),
        }
    });
    remove(&folder);
    outcome
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("{} is left: {error}", folder.display());
    }
}

/// Prints a line, and notes what it misses.
fn verdict(
    what: &str,
    mut took: Vec<Duration>,
    asked: Duration,
    missed: &mut Vec<String>,
) -> Result<(), String> {
    took.sort();
    let worst = *took.last().ok_or("nothing was measured: ask for at least one of each")?;
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    let (count, p50, p99) = (took.len(), at(0.5), at(0.99));
    let met = p99 <= asked;
    let verdict = if met { "ok" } else { "MISSED" };
    println!(
        "{what:<24}{count:>6} times  p50 {p50:>9.3?}  p99 {p99:>9.3?}  worst {worst:>9.3?}  \
         (p99 at most {asked:?}: {verdict})",
    );
    if !met {
        missed.push(format!("{what}: p99 of {p99:.3?}, at most {asked:?} is promised"));
    }
    Ok(())
}

async fn nameserver(store: StoreConfig) -> Result<String, String> {
    let config = NameserverConfig {
        listen: "127.0.0.1:0".to_owned(),
        lease: LEASE,
        recovery: Some(Duration::ZERO),
        store,
        ..NameserverConfig::default()
    };
    let nameserver = Nameserver::bind(config).await.map_err(|error| error.to_string())?;
    let address = nameserver.local_addr().to_string();
    tokio::spawn(nameserver.run());
    Ok(address)
}

async fn candidate(nameserver: &str, instance: usize) -> Result<(Instance, Inbox), String> {
    let agent = Agent::builder().app("bench").nameserver(nameserver).connect().await;
    let agent = agent.map_err(|error| error.to_string())?;
    let url = format!("{SERVICE}/{instance}");
    let registered = agent.register(url.as_str()).await.map_err(|error| error.to_string())?;
    registered.0.run_for_leader().await.map_err(|error| error.to_string())?;
    Ok(registered)
}

async fn elected(inbox: &mut Inbox) -> Result<Leadership, String> {
    while let Some(delivery) = inbox.recv().await {
        if let Delivery::Event(Event::Elected { leadership: Some(leadership), .. }) = delivery {
            return Ok(leadership);
        }
    }
    Err("the inbox ended".to_owned())
}

async fn resignations(store: StoreConfig, times: usize) -> Result<Vec<Duration>, String> {
    let address = nameserver(store).await?;
    let mut leads = candidate(&address, 1).await?;
    let mut leadership = elected(&mut leads.1).await?;
    let mut waits = candidate(&address, 2).await?;
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let began = Instant::now();
        let (_, next) = tokio::join!(leadership.resign(), elected(&mut waits.1));
        took.push(began.elapsed());
        leadership = next?;
        // Who resigned waits for its next turn.
        leads.0.run_for_leader().await.map_err(|error| error.to_string())?;
        std::mem::swap(&mut leads, &mut waits);
    }
    Ok(took)
}

async fn deaths(times: usize) -> Result<Vec<Duration>, String> {
    let address = nameserver(StoreConfig::memory()).await?;
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let mut leader = start_leader(&address)?;
        let (heir, mut inbox) = candidate(&address, 2).await?;
        let killed = Instant::now();
        leader.kill().map_err(|error| error.to_string())?;
        elected(&mut inbox).await?;
        took.push(killed.elapsed());
        let _ = leader.wait();
        heir.agent().shutdown().await;
    }
    Ok(took)
}

/// A process that leads by the time that this returns.
fn start_leader(address: &str) -> Result<Child, String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this);
    command.args(["failover-role", address]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("can't start a role: {error}"))?;
    let mut says = BufReader::new(child.stdout.take().ok_or("a piped child has an output")?);
    let mut line = String::new();
    tokio::task::block_in_place(|| says.read_line(&mut line)).map_err(|error| error.to_string())?;
    if line.trim() == "leads" { Ok(child) } else { Err(format!("the leader says {line:?}")) }
}

/// The role of the leader, in a process of its own.
pub(crate) fn play(address: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let (_leader, mut inbox) = candidate(address, 1).await?;
        elected(&mut inbox).await?;
        println!("leads");
        while inbox.recv().await.is_some() {}
        Ok(())
    })
}
