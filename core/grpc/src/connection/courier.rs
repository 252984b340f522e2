//! The task of one virtual connection: sends what found no room at once, tells the peer of room and
//! of the end, and closes the connection when nothing happens on it.

use std::sync::Arc;

use tokio::time::{sleep_until, timeout};

use super::line::Parcel;
use super::shared::{Shared, Tell, Work};
use crate::failure::ConnectionError;
use crate::segment::Command;

/// How a connection's task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By one of its sides, or broken.
    Normally,
    /// Nothing happened on it.
    Idle,
}

/// Runs until no segment is sent or expected any more.
pub(crate) async fn run(shared: &Arc<Shared>) -> Ended {
    let mut ended = Ended::Normally;
    loop {
        match shared.next_work() {
            Work::Over => return ended,
            Work::Post(parcel) => post(shared, &parcel).await,
            Work::Wait(until) => {
                tokio::select! {
                    () = shared.work.notified() => {}
                    () = sleep_until(until) => {
                        if shared.close_idle() {
                            ended = Ended::Idle;
                        }
                    }
                }
            }
        }
    }
}

async fn post(shared: &Shared, parcel: &Parcel) {
    let posted = tokio::select! {
        biased;
        posted = timeout(shared.idle, shared.line.post(parcel)) => posted,
        // Nobody wants it any more. But that it broke is to be said all the same.
        () = shared.broken.notified(), if parcel.command != Command::Reset => return,
    };
    match posted {
        Ok(Ok(())) => shared.sent(parcel),
        Ok(Err(error)) => shared.fail(ConnectionError::Send(error), Tell::Nobody),
        Err(_) => shared.fail(ConnectionError::Idle(shared.idle), Tell::Nobody),
    }
}
