//! What a nameserver counts. Rare things are logged as well; these are for totals, tests and
//! metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use skymesh_naming::{Note, Registry, SessionEnd};
use skymesh_types::ServiceName;
use tokio::sync::mpsc::{Sender, WeakSender};

use crate::keeper::Event;

/// Counts up from 0.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// All counters of one nameserver, since it was bound.
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            /// How large the registry is.
            pub(crate) size: Size,
            /// What waits for the registry.
            pub(crate) queue: QueueLook,
            /// The newest term of each name that has had a leader.
            pub(crate) terms: Mutex<BTreeMap<ServiceName, u64>>,
            /// Whether it has one now.
            pub(crate) led: Mutex<BTreeMap<ServiceName, bool>>,
            /// The epochs of placements.
            pub(crate) epochs: Mutex<BTreeMap<ServiceName, u64>>,
        }

        impl Counters {
            /// Every counter with its name, in a fixed order.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get())),*]
            }
        }
    };
}

counters! {
    /// Connections accepted.
    connections,
    /// Connections closed at once, because `limits.connections` were open.
    connections_refused,
    /// Closed: did not introduce themselves within `introduce_within`, or not as the first thing.
    not_introduced,
    /// Closed: a frame body was no message.
    malformed_frames,
    /// Closed: a frame over the limit was announced.
    oversize_frames,
    /// Closed: no progress within a frame.
    stalled_frames,
    /// Closed: broke while reading or writing.
    connections_broken,
    /// Closed: asked more than `limits.reply_bytes` without reading the replies.
    replies_unread,
    /// Closed: an agent of protocol 1 did not read what it can't do without.
    slow_v1_agents,
    /// Frames skipped: their cmd is not known.
    unknown_cmds,
    /// Frames skipped: their cmd is not for a nameserver, or not served (yet).
    unserved_cmds,
    /// Requests refused because a field could not be parsed.
    malformed_requests,
    /// Sessions begun.
    sessions_opened,
    /// Sessions that went on with another connection.
    sessions_resumed,
    /// Sessions that lost their connection without a goodbye.
    sessions_suspect,
    /// Sessions ended by a goodbye, or with nothing left of them.
    sessions_left,
    /// Sessions ended by silence: their lease or grace ran out.
    sessions_lost,
    /// Sessions ended by an operator.
    sessions_kicked,
    /// Registrations refused.
    registrations_refused,
    /// URLs that a restarted process took over.
    takeovers,
    /// Alarm: instances that the mass-loss guard has held as suspect.
    losses_held,
    /// Held instances that went offline after all, by the guard's time cap.
    losses_released,
    /// Routers that did not prepare within a round's time.
    routers_stale,
    /// Watches that collapsed into "needs a snapshot".
    watchers_lagged,
    /// Times that the nameserver itself was not run for long.
    stalls,
    /// Registrations written to the store, or taken out of it, for a warm restart.
    registrations_saved,
    /// Alarm: commits of registrations that the store did not take. They are tried again.
    saves_failed,
    /// Requests of operators over the admin channel that were proven.
    admin_requests,
    /// Closed: asked for the admin channel and does not know the token, or there is none.
    admin_denied,
    /// Snapshots sent, by receiver.
    snapshots,
    /// Deltas sent, by receiver.
    deltas,
    /// Terms begun: leaders elected.
    elections,
}

/// How large the registry is, as the keeper noted it last.
#[derive(Debug, Default)]
pub(crate) struct Size {
    pub(crate) instances: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) revision: AtomicU64,
    pub(crate) open_rounds: AtomicU64,
    pub(crate) rounds_committed: AtomicU64,
    pub(crate) rounds_aborted: AtomicU64,
}

/// A look at how many requests wait for the registry's task, which it does not keep from ending.
#[derive(Debug, Default)]
pub(crate) struct QueueLook(OnceLock<WeakSender<Event>>);

impl QueueLook {
    /// From now on it is that queue.
    pub(crate) fn look_at(&self, queue: &Sender<Event>) {
        // There is one in a nameserver's life.
        let _ = self.0.set(queue.downgrade());
    }

    /// 0 once nobody can ask any more.
    pub(crate) fn waiting(&self) -> usize {
        let queue = self.0.get().and_then(WeakSender::upgrade);
        queue.map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }
}

impl Size {
    pub(crate) fn note(&self, registry: &Registry) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.instances.store(count(registry.instance_count()), Ordering::Relaxed);
        self.sessions.store(count(registry.session_count()), Ordering::Relaxed);
        self.revision.store(registry.revision().0, Ordering::Relaxed);
        let rounds = registry.round_counts();
        self.open_rounds.store(rounds.open, Ordering::Relaxed);
        self.rounds_committed.store(rounds.committed, Ordering::Relaxed);
        self.rounds_aborted.store(rounds.aborted, Ordering::Relaxed);
    }
}

impl Counters {
    /// A leader was elected: its term is about to be durable.
    pub(crate) fn note_term(&self, name: &ServiceName, term: u64) {
        let mut terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        // A term is noted again when its leader gives it up.
        if terms.insert(name.clone(), term) != Some(term) {
            self.elections.increment();
        }
    }

    /// How large the registry is, and which placements have changed.
    pub(crate) fn note_registry(&self, registry: &mut Registry) {
        self.size.note(registry);
        let raised = registry.take_raised();
        if raised.is_empty() {
            return;
        }
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, epoch) in raised {
            match epoch.0 {
                0 => epochs.remove(&name),
                epoch => epochs.insert(name, epoch),
            };
        }
    }

    pub(crate) fn note(&self, note: &Note) {
        match note {
            Note::RouterStale(..) => self.routers_stale.increment(),
            Note::Led(standing) => {
                let mut led = self.led.lock().unwrap_or_else(PoisonError::into_inner);
                led.insert(standing.name.clone(), standing.leader.handle().is_some());
            }
            Note::SessionOpened(_) => self.sessions_opened.increment(),
            Note::SessionResumed(_) => self.sessions_resumed.increment(),
            Note::SessionSuspect(_) => self.sessions_suspect.increment(),
            Note::SessionEnded(_, end) => match end {
                SessionEnd::Goodbye | SessionEnd::Disconnected => self.sessions_left.increment(),
                SessionEnd::LeaseEnded | SessionEnd::GraceEnded => self.sessions_lost.increment(),
                SessionEnd::Kicked => self.sessions_kicked.increment(),
            },
            Note::RegistrationRefused(_) => self.registrations_refused.increment(),
            Note::TakenOver(url) => {
                tracing::info!(%url, "a restarted process took over");
                self.takeovers.increment();
            }
            Note::LossHeld(name, count) => {
                tracing::warn!(%name, count, "lost too many at once: held as suspect");
                self.losses_held.add(*count);
            }
            Note::HeartbeatsLost(url) => {
                tracing::info!(%url, "an instance of protocol 1 sent no heartbeats: offline");
            }
            Note::LossReleased(url) => {
                tracing::warn!(%url, "did not come back while it was held as suspect: offline");
                self.losses_released.increment();
            }
            Note::WatcherLagged(..) => self.watchers_lagged.increment(),
            Note::Stalled(late) => {
                tracing::warn!(?late, "the nameserver was not run; leases begin anew");
                self.stalls.increment();
            }
            _ => {}
        }
    }
}
