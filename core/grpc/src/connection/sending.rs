//! What one virtual connection is to send: bytes that wait for room, and what the peer has room
//! for. Sans-io.

use std::task::Waker;

use bytes::{Bytes, BytesMut};

use super::line::{Form, Parcel};
use crate::config::INITIAL_WINDOW_BYTES;
use crate::segment::{Command, Number};

/// Most bytes that were written and wait to be sent; the writer waits then. Several small writes
/// become one message this way.
const WAITING_BYTES: usize = 64 * 1024;

/// How far the end of the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// More may be written.
    Open,
    /// Nothing more is written; the peer is to be told.
    Wanted,
    /// The peer is told.
    Told,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Sending {
    form: Form,
    waiting: BytesMut,
    /// A parcel that found no room; it is the next one.
    stuck: Option<Parcel>,
    /// Somebody is posting a data parcel: nobody else may, so that they stay in order.
    posting: bool,
    credit: u64,
    next: Number,
    pub(crate) finish: Finish,
    pub(crate) writer: Option<Waker>,
}

impl Sending {
    pub(crate) fn new(form: Form) -> Self {
        let credit = match form {
            Form::V1 => u64::MAX,
            Form::V2 => INITIAL_WINDOW_BYTES,
        };
        Self {
            form,
            waiting: BytesMut::new(),
            stuck: None,
            posting: false,
            credit,
            next: Number::default(),
            finish: Finish::Open,
            writer: None,
        }
    }

    /// Takes what there is room for; 0 if there is none.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(WAITING_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..count]);
        count
    }

    /// Whether so much waits that it should go out without a flush.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_BYTES
    }

    /// The peer has room for more.
    pub(crate) fn grant(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// The next data parcel, if there is one and nobody is posting. Say afterwards what became of
    /// it: [`sent`](Self::sent) or [`found_no_room`](Self::found_no_room).
    pub(crate) fn take(&mut self) -> Option<Parcel> {
        if self.posting || self.credit == 0 || self.waiting.is_empty() {
            return None;
        }
        let room = usize::try_from(self.credit).unwrap_or(usize::MAX);
        let count = self.waiting.len().min(self.form.data_bytes()).min(room);
        let payload: Bytes = self.waiting.split_to(count).freeze();
        self.credit -= if self.form == Form::V1 { 0 } else { count as u64 };
        self.posting = true;
        let number = self.next;
        self.next = number.next();
        Some(Parcel { command: Command::Data, number, payload })
    }

    /// The parcel that was taken is on its way.
    pub(crate) fn sent(&mut self) {
        self.posting = false;
    }

    /// The parcel that was taken waits for who can wait.
    pub(crate) fn found_no_room(&mut self, parcel: Parcel) {
        self.stuck = Some(parcel);
    }

    /// The parcel that found no room, to be posted now.
    pub(crate) fn take_stuck(&mut self) -> Option<Parcel> {
        self.stuck.take()
    }

    /// Everything that was written is on its way.
    pub(crate) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && !self.posting
    }

    /// Nothing of what waits will be sent.
    pub(crate) fn discard(&mut self) {
        self.waiting = BytesMut::new();
        self.stuck = None;
    }

    /// An end of the stream, after everything that was sent.
    pub(crate) fn ending(&self, command: Command) -> Parcel {
        Parcel::of(command, self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_the_peer_has_room_for() {
        let mut sending = Sending::new(Form::V2);
        let bytes = vec![1; 100_000];
        assert_eq!(sending.write(&bytes), WAITING_BYTES);
        assert_eq!(sending.write(&bytes), 0);
        let first = sending.take().unwrap();
        assert_eq!(first.payload.len() as u64, INITIAL_WINDOW_BYTES);
        assert_eq!(sending.write(&bytes), WAITING_BYTES);
        assert!(sending.take().is_none(), "one at a time");
        sending.sent();
        assert!(sending.take().is_none(), "no credit");
        sending.grant(10);
        let second = sending.take().unwrap();
        assert_eq!((second.number, second.payload.len()), (Number::of(1), 10));
    }

    #[test]
    fn a_parcel_without_room_stays_the_next_one() {
        let mut sending = Sending::new(Form::V1);
        sending.write(&[1; 10_000]);
        let parcel = sending.take().unwrap();
        assert_eq!(parcel.payload.len(), crate::v1::DATA_BYTES);
        sending.found_no_room(parcel);
        assert!(sending.take().is_none());
        assert_eq!(sending.take_stuck().unwrap().number, Number::of(0));
        sending.sent();
        assert_eq!(sending.take().unwrap().number, Number::of(1));
        assert!(!sending.is_drained());
    }
}
