//! What the two sides of one virtual connection's end share: its user (a
//! [`VirtualConnection`](super::VirtualConnection)), the driver that receives for it, and the
//! courier that sends what found no room at once. No lock is held while anything is posted.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use skymesh_agent::SendError;
use tokio::io::ReadBuf;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::line::{Form, Line, Parcel};
use super::receiving::Receiving;
use super::sending::{Finish, Sending};
use crate::failure::ConnectionError;
use crate::segment::{Command, End, Number};

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

/// What a courier is to do next.
#[derive(Debug)]
pub(super) enum Work {
    Post(Parcel),
    /// Nothing, until it is woken, or until then.
    Wait(Instant),
    Over,
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

    // What the driver has received.

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

    // What the user wants.

    pub(crate) fn poll_read(
        &self,
        cx: &Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if state.receiving.is_empty() {
            if let Some(error) = &state.failure {
                return Poll::Ready(Err(error.clone().into_io()));
            }
            if state.receiving.has_ended() {
                return Poll::Ready(Ok(()));
            }
            state.receiving.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let grant = state.receiving.read(out);
        if grant == 0 || state.over {
            return Poll::Ready(Ok(()));
        }
        if state.grant.is_some() {
            // The courier is about to tell of other room.
            state.grant = state.grant.map(|waiting| waiting + grant);
            return Poll::Ready(Ok(()));
        }
        drop(state);
        if self.line.try_post(&Parcel::window(grant)).is_err() {
            let mut state = self.lock();
            state.grant = Some(state.grant.unwrap_or(0) + grant);
            drop(state);
            self.work.notify_one();
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        state.writable()?;
        let count = state.sending.write(bytes);
        if count == 0 && !bytes.is_empty() {
            state.sending.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let full = state.sending.is_full();
        drop(state);
        if full {
            self.push();
        }
        Poll::Ready(Ok(count))
    }

    /// Sends on what was written, as far as there is room; the courier does the rest.
    pub(crate) fn push(&self) {
        loop {
            let mut state = self.lock();
            let Some(parcel) = state.sending.take() else { return };
            drop(state);
            match self.line.try_post(&parcel) {
                Ok(()) => self.sent(&parcel),
                Err(SendError::Full | SendError::Loading(_)) => {
                    self.lock().sending.found_no_room(parcel);
                    self.work.notify_one();
                    return;
                }
                Err(error) => return self.fail(ConnectionError::Send(error), Tell::Nobody),
            }
        }
    }

    pub(crate) fn poll_flush(&self) -> Poll<io::Result<()>> {
        let state = self.lock();
        if state.sending.finish == Finish::Open {
            state.writable()?;
        }
        drop(state);
        self.push();
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_shutdown(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.push();
        let mut state = self.lock();
        if let Some(error) = &state.failure {
            return Poll::Ready(Err(error.clone().into_io()));
        }
        if state.over || state.sending.finish == Finish::Told {
            return Poll::Ready(Ok(()));
        }
        state.sending.finish = Finish::Wanted;
        state.sending.writer = Some(cx.waker().clone());
        drop(state);
        self.work.notify_one();
        Poll::Pending
    }

    /// The user is gone: what was written goes out, then the connection ends.
    pub(crate) fn dropped(&self) {
        self.lock().dropped = true;
        self.work.notify_one();
    }

    // What the courier does.

    pub(super) fn next_work(&self) -> Work {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(reset) = state.tell.take() {
            return Work::Post(reset);
        }
        if state.over {
            return Work::Over;
        }
        if let Some(hello) = state.hello.take() {
            return Work::Post(hello);
        }
        if let Some(grant) = state.grant.take() {
            return Work::Post(Parcel::window(grant));
        }
        let sending = &mut state.sending;
        if let Some(parcel) = sending.take_stuck().or_else(|| sending.take()) {
            return Work::Post(parcel);
        }
        if sending.is_drained() {
            if state.dropped {
                return Work::Post(sending.ending(Command::Close));
            }
            if sending.finish == Finish::Wanted {
                return Work::Post(sending.ending(Command::HalfClose));
            }
        }
        Work::Wait(state.last_active + self.idle)
    }

    /// A parcel is on its way.
    pub(super) fn sent(&self, parcel: &Parcel) {
        let mut state = self.lock();
        match parcel.command {
            Command::Data => {
                state.sending.sent();
                state.last_active = Instant::now();
                let writer = state.sending.writer.take();
                drop(state);
                return wake([None, writer]);
            }
            Command::HalfClose => {
                state.sending.finish = Finish::Told;
                if self.line.form == Form::V1 {
                    // There is no half of it.
                    state.receiving.cut();
                }
                state.over |= state.receiving.has_ended();
            }
            Command::Close => state.over = true,
            Command::Connect => {
                // A v1 peer does not say that it accepts.
                state.accepted |= self.line.form == Form::V1;
                return self.answered.notify_one();
            }
            Command::Reset | Command::Window => return,
        }
        let wakers = state.wakers();
        drop(state);
        wake(wakers);
    }

    /// Closes it if nothing has happened for long; answers whether that was so.
    pub(super) fn close_idle(&self) -> bool {
        let mut state = self.lock();
        if state.over || state.last_active + self.idle > Instant::now() {
            return false;
        }
        if !state.accepted {
            // Who connects has a limit of its own.
            state.last_active = Instant::now();
            return false;
        }
        if !state.sending.is_drained() {
            drop(state);
            self.fail(ConnectionError::Idle(self.idle), Tell::Peer);
            return true;
        }
        let close = state.sending.ending(Command::Close);
        state.receiving.cut();
        state.over = true;
        let wakers = state.wakers();
        drop(state);
        // If there is no room for it, the peer's own clock ends it as well.
        let _ = self.line.try_post(&close);
        wake(wakers);
        true
    }
}

impl State {
    fn writable(&self) -> io::Result<()> {
        match &self.failure {
            Some(error) => Err(error.clone().into_io()),
            None if self.over || self.sending.finish != Finish::Open => {
                Err(ConnectionError::Closed.into_io())
            }
            None => Ok(()),
        }
    }

    /// Who may want to look again.
    fn wakers(&mut self) -> [Option<Waker>; 2] {
        [self.receiving.reader.take(), self.sending.writer.take()]
    }
}

fn wake(wakers: [Option<Waker>; 2]) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}
