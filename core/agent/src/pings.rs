//! Pings: the round-trip time to every peer that is routed to, as the selectors see it, and who
//! can't be reached at all.
//!
//! One ping per peer process, not per instance: what it measures holds for all of them.

mod silence;

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
pub(crate) use silence::BACKLOG;
use silence::unless_silent;

/// So many pings in a row without an answer, and the instance counts as out of reach.
const LOST_STREAK: u32 = 3;

/// Weight of the newest sample in the moving average of the round-trip time, as a divisor.
const SMOOTHING: u64 = 4;

/// The pings that wait for their answer, at most one per peer.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    open: Mutex<Open>,
}

/// What a pong repeats of its ping: the number and the destination.
type Question = (u64, u64);

#[derive(Debug, Default)]
struct Open {
    last_seq: u64,
    by_peer: HashMap<PeerKey, Question>,
    pings: HashMap<Question, OpenPing>,
    /// Who waits until a peer has taken all that was sent before.
    barriers: HashMap<Question, oneshot::Sender<()>>,
}

#[derive(Debug)]
struct OpenPing {
    peer: PeerKey,
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
        self.lock().forget_all_but(|key| by_peer.contains_key(key));
        for (key, routes) in by_peer {
            self.ping(runtime, key, &routes);
        }
    }

    /// Pings one peer, or goes on waiting for its answer.
    fn ping(&self, runtime: &Arc<Runtime>, key: PeerKey, routes: &[Arc<Route>]) {
        let Some(route) = routes.first() else { return };
        let Target::Remote(remote) = &route.target else { return };
        let Some(link) = remote.peer.link() else { return };
        let destination = route.handle.get();
        let (due, lost) = self.lock().next(key, link.id(), destination, routes);
        if let Some(question) = due {
            link.mark();
            // It may write to the socket, so not under the lock.
            if !put(runtime, &link, question) {
                self.lock().take(question);
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
        let destination = link.barrier_destination();
        let barrier = {
            let mut open = self.lock();
            let barrier = (open.next_seq(), destination);
            open.barriers.insert(barrier, passed);
            barrier
        };
        let _forget = Forget { pings: self, barrier };
        if put(runtime, link, barrier) {
            tokio::select! {
                _ = pong => {}
                _ = link.outbox().closed() => {}
            }
        }
    }

    /// As [`barrier`](Self::barrier), while the peer says anything at all: not for long where it is silent
    /// for a second, and `most` at most.
    pub(crate) async fn barrier_unless_silent(
        &self,
        runtime: &Runtime,
        link: &Link,
        most: Duration,
    ) {
        unless_silent(most, || link.heard(), self.barrier(runtime, link)).await;
    }

    /// A peer answered, on the connection that was pinged or (a v1 peer) on one that it dialled.
    pub(crate) fn answered(&self, runtime: &Arc<Runtime>, pong: &Pong) {
        let answered = {
            let (mut open, question) = (self.lock(), (pong.seq, pong.handle));
            if let Some(passed) = open.barriers.remove(&question) {
                let _ = passed.send(());
                return;
            }
            open.take(question)
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
    barrier: Question,
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

    /// The ping that `key` is due for over `link`, noted as sent: none while the last one over it
    /// waits for its answer. And the routes whose last ping got none so far.
    fn next(
        &mut self,
        key: PeerKey,
        link: u64,
        destination: u64,
        routes: &[Arc<Route>],
    ) -> (Option<Question>, Vec<Weak<Route>>) {
        let routes: Vec<_> = routes.iter().map(Arc::downgrade).collect();
        let last = self.by_peer.get(&key).and_then(|question| self.pings.get_mut(question));
        if let Some(waiting) = last.filter(|ping| ping.link == link) {
            waiting.routes.clone_from(&routes);
            return (None, routes);
        }
        let question = (self.next_seq(), destination);
        let last = self.by_peer.insert(key.clone(), question);
        let ping = OpenPing { peer: key, link, sent: Instant::now(), routes };
        self.pings.insert(question, ping);
        // An unanswered one of a lost link is no measure of the new one, but it was lost.
        let lost = last.and_then(|last| self.pings.remove(&last));
        (Some(question), lost.map_or_else(Vec::new, |lost| lost.routes))
    }

    /// Takes out the ping that was answered, or never went out.
    fn take(&mut self, question: Question) -> Option<OpenPing> {
        let ping = self.pings.remove(&question)?;
        self.by_peer.remove(&ping.peer);
        Some(ping)
    }

    /// Forgets the pings of peers that nothing is sent to any more.
    fn forget_all_but(&mut self, pinged: impl Fn(&PeerKey) -> bool) {
        self.by_peer.retain(|key, _| pinged(key));
        self.pings.retain(|_, ping| pinged(&ping.peer));
    }
}

/// Sends a ping. Answers whether it is on its way.
fn put(runtime: &Runtime, link: &Link, (seq, destination): Question) -> bool {
    let ping = Msg::from(Ping { seq, destination, server_address: runtime.address.to_string() });
    link.outbox().push_control(|out| encode_msg(&ping, out)).is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> PeerKey {
        PeerKey { address: format!("host:{number}").into(), agent: None }
    }

    #[test]
    fn a_peer_has_one_ping_and_its_answer_makes_room_for_the_next() {
        let mut open = Open::default();
        let (first, _) = open.next(key(1), 10, 7, &[]);
        let (other, _) = open.next(key(2), 20, 7, &[]);
        assert_ne!(first, other, "told apart though the handle is the same");
        assert_eq!(open.next(key(1), 10, 7, &[]).0, None);
        assert!(open.take((first.unwrap().0, 8)).is_none(), "not what was asked");
        assert_eq!(open.take(first.unwrap()).unwrap().peer, key(1));
        assert!(open.take(first.unwrap()).is_none(), "answered twice");
        assert!(open.next(key(1), 10, 7, &[]).0.is_some());
        assert_eq!(open.take(other.unwrap()).unwrap().peer, key(2));
    }

    #[test]
    fn a_ping_of_a_lost_link_or_a_forgotten_peer_is_never_answered() {
        let mut open = Open::default();
        let old = open.next(key(1), 10, 7, &[]).0.unwrap();
        let new = open.next(key(1), 11, 7, &[]).0.unwrap();
        assert!(open.take(old).is_none());
        let other = open.next(key(2), 20, 7, &[]).0.unwrap();
        open.forget_all_but(|peer| *peer == key(1));
        assert!(open.take(other).is_none());
        assert!(open.take(new).is_some());
        assert!(open.pings.is_empty() && open.by_peer.is_empty());
    }
}
