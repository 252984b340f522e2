//! What a nameserver counts. Rare things are logged as well; these are for totals, tests and later
//! metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use skymesh_naming::{Note, SessionEnd};

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

/// All counters of one nameserver, since it was bound.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Connections accepted.
    pub connections: Counter,
    /// Connections closed at once, because `limits.connections` were open.
    pub connections_refused: Counter,
    /// Closed: did not introduce themselves within `introduce_within`, or not as the first thing.
    pub not_introduced: Counter,
    /// Closed: a frame body was no message.
    pub malformed_frames: Counter,
    /// Closed: a frame over the limit was announced.
    pub oversize_frames: Counter,
    /// Closed: no progress within a frame.
    pub stalled_frames: Counter,
    /// Closed: broke while reading or writing.
    pub connections_broken: Counter,
    /// Closed: asked more than `limits.reply_bytes` without reading the replies.
    pub replies_unread: Counter,
    /// Closed: an agent of protocol 1 did not read what it can't do without.
    pub slow_v1_agents: Counter,
    /// Frames skipped: their cmd is not known.
    pub unknown_cmds: Counter,
    /// Frames skipped: their cmd is not for a nameserver, or not served (yet).
    pub unserved_cmds: Counter,
    /// Requests refused because a field could not be parsed.
    pub malformed_requests: Counter,
    /// Sessions begun.
    pub sessions_opened: Counter,
    /// Sessions that went on with another connection.
    pub sessions_resumed: Counter,
    /// Sessions that lost their connection without a goodbye.
    pub sessions_suspect: Counter,
    /// Sessions ended by a goodbye, or with nothing left of them.
    pub sessions_left: Counter,
    /// Sessions ended by silence: their lease or grace ran out.
    pub sessions_lost: Counter,
    /// Sessions ended by an operator.
    pub sessions_kicked: Counter,
    /// Registrations refused.
    pub registrations_refused: Counter,
    /// URLs that a restarted process took over.
    pub takeovers: Counter,
    /// Alarm: instances that the mass-loss guard has held as suspect.
    pub losses_held: Counter,
    /// Held instances that went offline after all, by the guard's time cap.
    pub losses_released: Counter,
    /// Watches that collapsed into "needs a snapshot".
    pub watchers_lagged: Counter,
    /// Times that the nameserver itself was not run for long.
    pub stalls: Counter,
    /// Registrations written to the store, or taken out of it, for a warm restart.
    pub registrations_saved: Counter,
    /// Alarm: commits of registrations that the store did not take. They are tried again.
    pub saves_failed: Counter,
    /// Requests of operators over the admin channel that were proven.
    pub admin_requests: Counter,
    /// Closed: asked for the admin channel and does not know the token, or there is none.
    pub admin_denied: Counter,
    /// Snapshots sent, by receiver.
    pub snapshots: Counter,
    /// Deltas sent, by receiver.
    pub deltas: Counter,
}

impl Counters {
    pub(crate) fn note(&self, note: &Note) {
        match note {
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
