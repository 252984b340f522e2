//! What there is to do for the courier of a virtual connection, and what follows once it is done. Who waits
//! and who posts is the courier's affair.

use tokio::time::Instant;

use super::super::line::{Form, Parcel};
use super::super::sending::Finish;
use super::{Shared, Tell, wake};
use crate::failure::ConnectionError;
use crate::segment::Command;

/// What a courier is to do next.
#[derive(Debug)]
pub(crate) enum Work {
    Post(Parcel),
    /// Nothing, until it is woken, or until then.
    Wait(Instant),
    Over,
}

impl Shared {
    pub(crate) fn next_work(&self) -> Work {
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
    pub(crate) fn sent(&self, parcel: &Parcel) {
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
    pub(crate) fn close_idle(&self) -> bool {
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
