//! What the user of a virtual connection does with it: reads, writes, and ends it. What finds no room is
//! left to the courier.

use std::io;
use std::task::{Context, Poll};

use skymesh_agent::SendError;
use tokio::io::ReadBuf;

use super::super::line::Parcel;
use super::super::sending::Finish;
use super::{Shared, State, Tell};
use crate::failure::ConnectionError;

impl Shared {
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
}
