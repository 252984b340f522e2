//! What the two sides of one virtual connection's end share: its user (a
//! [`VirtualConnection`](super::VirtualConnection)), the driver that receives for it, and the
//! courier that sends what found no room at once. No lock is held while anything is posted.
//!
//! Here is what the driver does with it; the user's part is in `user.rs`, the courier's in `work.rs`.

mod user;
mod work;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::line::{Line, Parcel};
use super::receiving::Receiving;
use super::sending::{Finish, Sending};
use crate::failure::ConnectionError;
use crate::segment::{Command, End, Number};
pub(super) use work::Work;

/// Whether the peer is told that a connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tell {
    Peer,
    Nobody,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) line: Line,
    pub(crate) idle: Duration,
    state: Mutex<State>,
    /// Wakes the courier.
    pub(super) work: Notify,
    /// Wakes a courier that waits for room.
    pub(super) broken: Notify,
    /// Wakes who waits for the connection to be accepted.
    pub(crate) answered: Notify,
}

#[derive(Debug)]
struct State {
    receiving: Receiving,
    sending: Sending,
    /// What opens the connection; nothing goes out before.
    hello: Option<Parcel>,
    /// Room that the peer is to be told of.
    grant: Option<u64>,
    accepted: bool,
    failure: Option<ConnectionError>,
    /// The peer is to be told that it broke.
    tell: Option<Parcel>,
    /// The user has dropped it.
    dropped: bool,
    /// No segment is sent or expected any more.
    over: bool,
    last_active: Instant,
}

impl Shared {
    pub(crate) fn new(line: Line, window: u64, idle: Duration) -> Self {
        let mut receiving = Receiving::new(line.form, window);
        let first = receiving.first_grant();
        // Who accepts says so with a window, be it an empty one.
        let grant = (line.end == End::Acceptor || first > 0).then_some(first);
        let hello =
            (line.end == End::Dialler).then(|| Parcel::of(Command::Connect, Number::default()));
        let state = State {
            receiving,
            sending: Sending::new(line.form),
            hello,
            grant,
            accepted: line.end == End::Acceptor,
            failure: None,
            tell: None,
            dropped: false,
            over: false,
            last_active: Instant::now(),
        };
        let state = Mutex::new(state);
        let (work, broken, answered) = (Notify::new(), Notify::new(), Notify::new());
        Self { line, idle, state, work, broken, answered }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every step under the lock is whole, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn data(&self, number: Number, bytes: &[u8]) -> Result<(), ConnectionError> {
        let mut state = self.lock();
        let taken = state.receiving.data(number, bytes);
        self.received(state, taken)
    }

    pub(crate) fn half_closed(&self, number: Number) -> Result<(), ConnectionError> {
        let mut state = self.lock();
        let taken = state.receiving.end(number);
        self.received(state, taken)
    }

    pub(crate) fn closed(&self, number: Number) -> Result<(), ConnectionError> {
        let mut state = self.lock();
        let taken = state.receiving.end(number);
        state.sending.discard();
        state.over = true;
        self.answered.notify_one();
        self.broken.notify_one();
        self.received(state, taken)
    }

    fn received(
        &self,
        mut state: MutexGuard<'_, State>,
        taken: Result<(), ConnectionError>,
    ) -> Result<(), ConnectionError> {
        state.last_active = Instant::now();
        let ends = state.receiving.has_ended();
        state.over |= ends && state.sending.finish == Finish::Told;
        // The writer waits for nothing that this brings, unless it is the end.
        let reader = state.receiving.reader.take();
        let writer = state.sending.writer.take_if(|_| ends);
        drop(state);
        if let Err(error) = &taken {
            self.fail(error.clone(), Tell::Peer);
        }
        if ends {
            self.work.notify_one();
        }
        wake([reader, writer]);
        taken
    }

    pub(crate) fn granted(&self, bytes: u64) {
        let mut state = self.lock();
        state.last_active = Instant::now();
        state.sending.grant(bytes);
        state.accepted = true;
        drop(state);
        self.answered.notify_one();
        self.work.notify_one();
    }

    /// Breaks it, unless it is broken or over already. Bytes that were received can still be read.
    pub(crate) fn fail(&self, error: ConnectionError, tell: Tell) {
        let mut state = self.lock();
        if state.failure.is_none() && !(state.over && state.dropped) {
            if tell == Tell::Peer && !state.over {
                state.tell = Some(Parcel::reset(&error.to_string()));
            }
            state.failure = Some(error);
            state.over = true;
            state.sending.discard();
        }
        let wakers = state.wakers();
        drop(state);
        wake(wakers);
        self.answered.notify_one();
        self.broken.notify_one();
        self.work.notify_one();
    }

    /// What the peer has said to the wish to connect, if it has said anything.
    pub(crate) fn answer(&self) -> Option<Result<(), ConnectionError>> {
        let state = self.lock();
        match &state.failure {
            Some(error) => Some(Err(error.clone())),
            None if state.accepted => Some(Ok(())),
            None if state.over => Some(Err(ConnectionError::Closed)),
            None => None,
        }
    }
}

impl State {
    /// Who may want to look again.
    fn wakers(&mut self) -> [Option<Waker>; 2] {
        [self.receiving.reader.take(), self.sending.writer.take()]
    }
}

fn wake(wakers: [Option<Waker>; 2]) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}
