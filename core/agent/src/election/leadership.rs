//! A leadership: one term of one instance of this process.

use std::fmt;
use std::time::{Duration, Instant};

use skymesh_naming::Lost;
use skymesh_naming::election::Term;
use skymesh_wire::{Envelope, Kind};

use crate::destination::Destination;
use crate::instance::{Instance, Outgoing};
use crate::send::{self, SendError};

/// Why something that only a leader may do was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotLeading {
    /// The instance does not lead, or not in that term.
    #[error("this instance does not lead, or not in that term")]
    NotLeading,
    /// It gave up or resigned, and takes no new guarded work; it ends with what it has.
    #[error("this instance gives its leadership up and takes no new work")]
    Resigning,
    /// Terms are not supported by this nameserver, which speaks protocol 1. Whether the instance
    /// leads says [`Instance::is_leader`].
    #[error("terms are not supported by this nameserver (protocol 1)")]
    NotSupported,
}

/// One term of one instance of this process. Cheap to clone; all clones are the same leadership.
///
/// It lasts until [`deadline`](Self::deadline), which moves on with every answered keepalive, unless
/// it is lost or given up before. It is over at the deadline by this process's own clock, without a
/// word from anybody, which is what lets the nameserver seat somebody else then. Work that must not
/// be done by two at once is to watch [`lost`](Self::lost), or be fenced: sent with
/// [`send`](Self::send) to who has a [`FenceGate`](skymesh_naming::FenceGate).
#[derive(Clone)]
pub struct Leadership {
    instance: Instance,
    term: Term,
    /// Which candidacy of the instance it came of.
    life: u64,
}

impl Leadership {
    pub(super) const fn new(instance: Instance, term: Term, life: u64) -> Self {
        Self { instance, term, life }
    }

    /// Its term: higher than that of every leadership of this service before, for ever.
    pub const fn term(&self) -> Term {
        self.term
    }

    /// The instance that leads.
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Until when it lasts as of now; `None` if it is over. Nine tenths of the nameserver's lease
    /// after the last keepalive that was answered was sent.
    pub fn deadline(&self) -> Option<Instant> {
        self.instance.queue.belief().now().deadline(self.term).filter(|d| Instant::now() < *d)
    }

    /// How long it lasts as of now; zero if it is over.
    pub fn remaining(&self) -> Duration {
        self.deadline().map_or(Duration::ZERO, |d| d.saturating_duration_since(Instant::now()))
    }

    /// Whether it lasts.
    pub fn is_valid(&self) -> bool {
        self.deadline().is_some()
    }

    /// Waits until it is over, and says why: at the latest at the deadline, with no network needed.
    ///
    /// Cancel safe.
    pub async fn lost(&self) -> Lost {
        let mut believed = self.instance.queue.belief().subscribe();
        loop {
            let now = *believed.borrow_and_update();
            let Some(deadline) = now.deadline(self.term) else { return now.why(self.term) };
            tokio::select! {
                // Only the elections may say that it is over: it could be extended right now.
                () = tokio::time::sleep_until(deadline.into()) => self.tick(),
                // The instance keeps the sender.
                _ = believed.changed() => {}
            }
        }
    }

    fn tick(&self) {
        self.instance.runtime.elections.tick(&self.instance.runtime);
    }

    /// Gives the leadership and the candidacy up, once all [guarded](Self::guard) work is done, and
    /// waits until it is over. Does nothing if it is over already. Another candidate is seated without waiting for a lease to end.
    ///
    /// If the future is dropped, it resigns all the same. The instance stands again after another
    /// [`run_for_leader`](Instance::run_for_leader).
    pub async fn resign(&self) -> Lost {
        let runtime = &self.instance.runtime;
        runtime.elections.resign(runtime, self.instance.handle(), self.term);
        self.lost().await
    }

    /// Begins work during which a resignation waits. It does not make the leadership last longer:
    /// what the deadline ends is over, guarded or not.
    ///
    /// # Errors
    /// [`NotLeading`] if the leadership is over, or is being given up.
    pub fn guard(&self) -> Result<Guard, NotLeading> {
        let runtime = &self.instance.runtime;
        runtime.elections.begin(self.instance.handle(), self.term)?;
        Ok(Guard { leadership: self.clone() })
    }

    /// Sends a message as leader: it carries the term, and a receiver with a fence refuses it once it
    /// has heard of a newer term ([`UndeliverableReason::StaleTerm`]). Agents of protocol 1 know no
    /// terms: towards them it is a message like any other.
    ///
    /// Else as [`Instance::send`]; cancel safe. To an [`Election`](crate::Election) it goes to who
    /// leads, but whether that one still does is not asked there: a message carries one term only.
    ///
    /// [`UndeliverableReason::StaleTerm`]: crate::UndeliverableReason::StaleTerm
    ///
    /// # Errors
    /// [`SendError::NotLeading`] if the leadership is over; else as [`Instance::send`].
    pub async fn send(
        &self,
        to: impl Destination,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), SendError> {
        let payload = payload.as_ref();
        self.post(to, Outgoing { payload, ..Outgoing::default() }).await
    }

    /// As [`send`](Self::send), and never waits.
    ///
    /// # Errors
    /// [`SendError::Full`] or [`SendError::Loading`] where `send` would wait; else as `send`.
    pub fn try_send(
        &self,
        to: impl Destination,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), SendError> {
        let payload = payload.as_ref();
        let envelope = self.seal(Outgoing { payload, ..Outgoing::default() })?;
        send::try_deliver(&self.instance.runtime, &self.instance.sender, &to, envelope)
    }

    /// As [`send`](Self::send), with the whole envelope but for the epoch, which is the term.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn post(&self, to: impl Destination, post: Outgoing<'_>) -> Result<(), SendError> {
        let envelope = self.seal(post)?;
        send::deliver(&self.instance.runtime, &self.instance.sender, &to, envelope).await
    }

    fn seal<'a>(&self, post: Outgoing<'a>) -> Result<Envelope<'a>, SendError> {
        if !self.is_valid() {
            return Err(SendError::NotLeading);
        }
        let mut envelope = self.instance.seal(post)?;
        envelope.kind = Kind(envelope.kind.0 | Kind::BY_LEADER);
        envelope.epoch = self.term.0;
        Ok(envelope)
    }
}

impl PartialEq for Leadership {
    fn eq(&self, other: &Self) -> bool {
        (self.instance.handle(), self.term) == (other.instance.handle(), other.term)
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership")
            .field("instance", self.instance.url())
            .field("term", &self.term)
            .field("remaining", &self.remaining())
            .finish()
    }
}

/// Guarded work of a leader; it ends with the drop of this. See [`Leadership::guard`].
#[derive(Debug)]
#[must_use = "the guarded work ends when this is dropped"]
pub struct Guard {
    leadership: Leadership,
}

impl Guard {
    /// The leadership that it is the work of.
    pub const fn leadership(&self) -> &Leadership {
        &self.leadership
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Leadership { instance, life, .. } = &self.leadership;
        instance.runtime.elections.finish(&instance.runtime, instance.handle(), *life);
    }
}
