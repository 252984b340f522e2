//! Agents, senders and takers, and a round of messages between them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use skymesh_agent::config::ServicesConfig;
use skymesh_agent::{Agent, Delivery, Event, Inbox, Instance, ReloadOutcome, Resolve, Router};
use skymesh_nameserver::{Nameserver, NameserverConfig, StoreConfig};
use skymesh_plugin_host::PluginsConfig;
use tokio::task::spawn_blocking;

use super::metronome::{Beats, metronome};

const SENDERS: u64 = 4;
/// Messages of each sender that are due at each beat: well below what the machine can do, for otherwise
/// latency measures the queue.
const BURST: u64 = 4;
const BEAT: Duration = Duration::from_millis(1);
const INSTANCES: u64 = 4;
/// Messages a second.
pub(super) const RATE: u64 = SENDERS * BURST * 1000;
/// How much further each edition of the fixture picks than the key.
const SHIFTS: [u64; 2] = [0, 1];
/// What may be on its way when a round ends.
const PATIENCE: Duration = Duration::from_secs(30);

const SECOND: Duration = Duration::from_secs(1);
/// How far into its second a reload is: all that it costs is in that second.
const HEAD: Duration = Duration::from_millis(200);

/// A message that came.
struct Taken {
    due_ns: u64,
    latency_ns: u64,
}

pub(super) struct Stage {
    agent: Agent,
    router: Router,
    senders: Vec<(Instance, Inbox)>,
    _takers: Vec<Instance>,
    inboxes: Vec<Inbox>,
    folder: PathBuf,
    _servers: Agent,
}

impl Stage {
    pub(super) async fn open() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("skymesh-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        // The first reload, in the second second, takes the other edition.
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

    /// Sends for as many seconds; puts the other edition in place in each, and has it taken in those that
    /// are `true`. Answers each second's latencies in ns, in order.
    pub(super) async fn play(&mut self, reloading: &[bool]) -> Result<Vec<Vec<u64>>, String> {
        let lasts = SECOND * reloading.len() as u32;
        let (started, beats) = metronome(BEAT, lasts, SENDERS as usize);
        let senders = self.senders.drain(..).zip(beats).map(|((me, inbox), beats)| {
            let router = self.router.clone();
            tokio::spawn(send(me, inbox, router, beats))
        });
        let senders: Vec<_> = senders.collect();
        let takers = self.inboxes.drain(..).zip(1..).map(|(inbox, id)| {
            let count = (lasts.as_millis() as u64 * RATE / 1000 / INSTANCES) as usize;
            tokio::spawn(take(inbox, id, started, count))
        });
        let takers: Vec<_> = takers.collect();
        self.exchange(started, reloading).await?;
        let mut sent = 0;
        for sender in senders {
            let (count, me, inbox) = in_time(sender).await??;
            sent += count;
            self.senders.push((me, inbox));
        }
        let mut seconds = vec![Vec::with_capacity(RATE as usize); reloading.len()];
        for taker in takers {
            let (taken, inbox) = in_time(taker).await??;
            for Taken { due_ns, latency_ns } in taken {
                // The first message is due at the first beat, the last at the end of the last second.
                let second = (due_ns - 1) / SECOND.as_nanos() as u64;
                seconds[second as usize].push(latency_ns);
            }
            self.inboxes.push(inbox);
        }
        let came: usize = seconds.iter().map(Vec::len).sum();
        if came != sent {
            return Err(format!("{sent} messages were sent, {came} came"));
        }
        seconds.iter_mut().for_each(|latencies| latencies.sort_unstable());
        Ok(seconds)
    }

    /// Puts the other edition in place in each second, and has it taken if so it shall be.
    async fn exchange(&self, started: Instant, reloading: &[bool]) -> Result<(), String> {
        for (turn, reload) in reloading.iter().enumerate() {
            tokio::time::sleep_until((started + SECOND * turn as u32 + HEAD).into()).await;
            let folder = self.folder.clone();
            // Not on a thread that messages are sent by: who deploys is somebody else.
            let deployed = spawn_blocking(move || deploy(&folder, turn % 2)).await;
            deployed.map_err(|error| error.to_string())??;
            if *reload {
                let reload = self.agent.reload().await;
                if reload.outcome != ReloadOutcome::Applied || !reload.faults.is_empty() {
                    return Err(reload.to_string());
                }
            }
        }
        Ok(())
    }
}

async fn in_time<T>(task: tokio::task::JoinHandle<T>) -> Result<T, String> {
    let ended = tokio::time::timeout(PATIENCE, task).await;
    ended
        .map_err(|_| "messages were lost: a round does not end".to_owned())?
        .map_err(|e| e.to_string())
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Sends what is due at each beat, then the end to everybody; answers how many.
async fn send(
    me: Instance,
    mut inbox: Inbox,
    router: Router,
    mut beats: Beats,
) -> Result<(usize, Instance, Inbox), String> {
    let mut count = 0u64;
    while let Some(due) = beats.next().await {
        let due_ns = due.as_nanos() as u64;
        for _ in 0..BURST {
            let payload = [due_ns.to_le_bytes(), count.to_le_bytes()].concat();
            let sent = me.send(router.key(count), payload).await;
            sent.map_err(|error| format!("a message was refused: {error}"))?;
            count += 1;
        }
    }
    let end = [u64::MAX.to_le_bytes(); 2].concat();
    me.broadcast(router.name(), end).await.map_err(|error| error.to_string())?;
    while let Some(told) = inbox.try_recv() {
        if let Delivery::Event(Event::Undeliverable { .. }) = told {
            return Err(format!("a message was refused: {told:?}"));
        }
    }
    Ok((count as usize, me, inbox))
}

/// The latencies of all messages until each sender has said that it is done.
async fn take(
    mut inbox: Inbox,
    id: u64,
    started: Instant,
    count: usize,
) -> Result<(Vec<Taken>, Inbox), String> {
    let (mut latencies, mut done) = (Vec::with_capacity(count * 2), 0);
    while done < SENDERS {
        let Some(delivery) = inbox.recv().await else { return Err("an inbox ended".to_owned()) };
        let Delivery::Message(message) = delivery else { continue };
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&message.payload()[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (due_ns, key) = (number(0), number(8));
        if due_ns == u64::MAX {
            done += 1;
            continue;
        }
        if !SHIFTS.iter().any(|shift| (key + shift) % INSTANCES + 1 == id) {
            return Err(format!("message {key} is at {id}, misrouted"));
        }
        let latency_ns = (started.elapsed().as_nanos() as u64).saturating_sub(due_ns);
        latencies.push(Taken { due_ns, latency_ns });
    }
    Ok((latencies, inbox))
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
