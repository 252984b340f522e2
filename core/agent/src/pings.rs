//! Pings: the round-trip time to every peer that is routed to, as the selectors see it, and who
//! can't be reached at all.
//!
//! One ping per peer process, not per instance: what it measures holds for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use skymesh_naming::Reach;
use skymesh_proto::{Msg, Ping, Pong};
use skymesh_wire::encode_msg;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use crate::peer::{Link, PeerKey, Route, Target};
use crate::runtime::Runtime;

/// So many pings in a row without an answer, and the instance counts as out of reach.
const LOST_STREAK: u32 = 3;

/// Weight of the newest sample in the moving average of the round-trip time, as a divisor.
const SMOOTHING: u64 = 4;

/// The pings that wait for their answer, at most one per peer.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last_seq: u64,
    by_peer: HashMap<PeerKey, OpenPing>,
    /// Who waits until a peer has taken all that was sent before, by number and destination.
    barriers: HashMap<(u64, u64), oneshot::Sender<()>>,
}

#[derive(Debug)]
struct OpenPing {
    seq: u64,
    destination: u64,
    link: u64,
    sent: Instant,
    /// Weak: a ping is no reason to keep a peer.
    routes: Vec<Weak<Route>>,
}

/// Pings every peer once per interval until the agent stops.
pub(crate) async fn run(runtime: Arc<Runtime>) {
    let every = runtime.settings.agent.ping_interval;
    if every.is_zero() {
        return;
    }
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = runtime.stopping.cancelled() => return,
            _ = ticks.tick() => runtime.pings.round(&runtime),
        }
    }
}

impl Pings {
    /// Sends one ping to each peer whose last one was answered; the others lost one more.
    fn round(&self, runtime: &Arc<Runtime>) {
        let mut by_peer: HashMap<PeerKey, Vec<Arc<Route>>> = HashMap::new();
        for route in runtime.directory.remote_routes() {
            if let Target::Remote(remote) = &route.target {
                by_peer.entry(remote.peer.key().clone()).or_default().push(route);
            }
        }
        let mut lost = Vec::new();
        {
            let mut open = self.lock();
            open.by_peer.retain(|key, _| by_peer.contains_key(key));
            for (key, routes) in by_peer {
                if let Some(waiting) = open.send(runtime, key, &routes) {
                    lost.extend(waiting);
                }
            }
        }
        for route in lost.iter().filter_map(Weak::upgrade) {
            note_lost(runtime, &route);
        }
    }

    /// Waits until the peer at the other end of `link` has taken into its inboxes all that was sent
    /// over it so far, or the link is gone.
    pub(crate) async fn barrier(&self, runtime: &Runtime, link: &Link) {
        let (passed, pong) = oneshot::channel();
        let seq = self.lock().next_seq();
        let destination = link.barrier_destination();
        self.lock().barriers.insert((seq, destination), passed);
        let _forget = Forget { pings: self, barrier: (seq, destination) };
        let ping =
            Msg::from(Ping { seq, destination, server_address: runtime.address.to_string() });
        let sent = link.outbox().push_control(|out| encode_msg(&ping, out));
        if sent.is_ok() {
            tokio::select! {
                _ = pong => {}
                _ = link.outbox().closed() => {}
            }
        }
    }

    /// A peer answered, on the connection that was pinged or (a v1 peer) on one that it dialled.
    pub(crate) fn answered(&self, runtime: &Arc<Runtime>, pong: &Pong) {
        let answered = {
            let mut open = self.lock();
            if let Some(passed) = open.barriers.remove(&(pong.seq, pong.handle)) {
                let _ = passed.send(());
                return;
            }
            let is_it = |ping: &OpenPing| (ping.seq, ping.destination) == (pong.seq, pong.handle);
            let key = open.by_peer.iter().find(|(_, ping)| is_it(ping)).map(|(key, _)| key.clone());
            key.and_then(|key| open.by_peer.remove(&key))
        };
        let Some(ping) = answered else { return };
        for route in ping.routes.iter().filter_map(Weak::upgrade) {
            if let Target::Remote(remote) = &route.target
                && let Some(link) = remote.peer.link().filter(|link| link.id() == ping.link)
            {
                link.confirm();
            }
            note_answer(runtime, &route, ping.sent.elapsed());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a barrier back, also when who waits for it gives up.
struct Forget<'a> {
    pings: &'a Pings,
    barrier: (u64, u64),
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.pings.lock().barriers.remove(&self.barrier);
    }
}

impl Open {
    fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// Pings one peer; answers the routes whose last ping is still unanswered instead.
    fn send(
        &mut self,
        runtime: &Runtime,
        key: PeerKey,
        routes: &[Arc<Route>],
    ) -> Option<Vec<Weak<Route>>> {
        let route = routes.first()?;
        let Target::Remote(remote) = &route.target else { return None };
        let link = remote.peer.link()?;
        if let Some(waiting) = self.by_peer.get_mut(&key).filter(|ping| ping.link == link.id()) {
            waiting.routes = routes.iter().map(Arc::downgrade).collect();
            return Some(waiting.routes.clone());
        }
        let (seq, destination) = (self.next_seq(), route.handle.get());
        let ping =
            Msg::from(Ping { seq, destination, server_address: runtime.address.to_string() });
        link.mark();
        link.outbox().push_control(|out| encode_msg(&ping, out)).ok()?;
        let routes = routes.iter().map(Arc::downgrade).collect();
        let ping = OpenPing { seq, destination, link: link.id(), sent: Instant::now(), routes };
        // An unanswered one of a lost link is no measure of the new one, but it was lost.
        self.by_peer.insert(key, ping).map(|lost| lost.routes)
    }
}

fn note_answer(runtime: &Arc<Runtime>, route: &Route, rtt: Duration) {
    let sample = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX).max(1);
    route.meter.rtt.record(rtt);
    let stats = &route.stats;
    let smoothed = match stats.rtt_ewma_ns() {
        0 => sample,
        old => old - old / SMOOTHING + sample / SMOOTHING,
    };
    stats.set_rtt_ewma_ns(smoothed.max(1));
    stats.set_last_sample_ns(skymesh_plugin_host::coarse_now_ns());
    if stats.ping_lost_streak() > 0 {
        stats.set_ping_lost_streak(0);
        runtime.directory.note_reach(route, Reach::Reached);
    }
}

fn note_lost(runtime: &Arc<Runtime>, route: &Route) {
    let streak = route.stats.ping_lost_streak().saturating_add(1);
    route.stats.set_ping_lost_streak(streak);
    runtime.counters.pings_lost.add(1);
    if streak == LOST_STREAK {
        runtime.directory.note_reach(route, Reach::Lost);
    }
}
