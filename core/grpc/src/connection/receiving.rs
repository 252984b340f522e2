//! What one virtual connection has received: bytes that wait for their reader, and what the peer
//! may still send. Sans-io.

use std::task::Waker;

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::line::Form;
use crate::config::INITIAL_WINDOW_BYTES;
use crate::failure::ConnectionError;
use crate::segment::Number;

/// Most bytes that wait for their reader from a v1 peer, which knows no window: HTTP/2's own keeps
/// it far below. One byte more breaks the connection.
pub(crate) const V1_BUFFER_BYTES: u64 = 16 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Receiving {
    form: Form,
    /// Copies: a message's own bytes would keep the whole chunk that they were read in alive, and
    /// the window would say little about the memory.
    bytes: BytesMut,
    due: Number,
    window: u64,
    /// What the peer may still send.
    left: u64,
    /// Read since the last grant.
    consumed: u64,
    /// Nothing follows.
    ended: bool,
    pub(crate) reader: Option<Waker>,
}

impl Receiving {
    pub(crate) fn new(form: Form, window: u64) -> Self {
        let left = match form {
            Form::V1 => V1_BUFFER_BYTES,
            Form::V2 => INITIAL_WINDOW_BYTES,
        };
        let (bytes, due) = (BytesMut::new(), Number::default());
        Self { form, bytes, due, window, left, consumed: 0, ended: false, reader: None }
    }

    /// What the peer may send beyond the initial window; to be told once.
    pub(crate) fn first_grant(&mut self) -> u64 {
        let more = match self.form {
            Form::V1 => 0,
            Form::V2 => self.window - INITIAL_WINDOW_BYTES,
        };
        self.left += more;
        more
    }

    pub(crate) fn data(&mut self, number: Number, bytes: &[u8]) -> Result<(), ConnectionError> {
        if self.ended {
            return Ok(());
        }
        if !self.form.is_due(self.due, number) {
            return Err(ConnectionError::Gap);
        }
        let count = bytes.len() as u64;
        self.left = self.left.checked_sub(count).ok_or(ConnectionError::Overrun)?;
        self.due = self.due.next();
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The peer writes no more; `number` is what its next data would have.
    pub(crate) fn end(&mut self, number: Number) -> Result<(), ConnectionError> {
        if self.form == Form::V2 && !self.ended && !self.form.is_due(self.due, number) {
            return Err(ConnectionError::Gap);
        }
        self.ended = true;
        Ok(())
    }

    /// Nothing more is taken, whatever the peer may think.
    pub(crate) fn cut(&mut self) {
        self.ended = true;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Moves bytes to their reader; answers what the peer is to be granted now, or 0.
    pub(crate) fn read(&mut self, out: &mut ReadBuf<'_>) -> u64 {
        let count = self.bytes.len().min(out.remaining());
        out.put_slice(&self.bytes[..count]);
        self.bytes.advance(count);
        if self.bytes.is_empty() && self.bytes.capacity() < 4096 {
            // The rest of a used up buffer is worth nothing.
            self.bytes = BytesMut::new();
        }
        self.consumed += count as u64;
        // Often enough that the window never runs dry, seldom enough to cost nothing.
        let due = self.consumed >= self.window / 4 || self.form == Form::V1;
        if self.ended || !due {
            return 0;
        }
        let grant = std::mem::take(&mut self.consumed);
        self.left += grant;
        if self.form == Form::V1 { 0 } else { grant }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(receiving: &mut Receiving, most: usize) -> (Vec<u8>, u64) {
        let mut bytes = vec![0; most];
        let mut out = ReadBuf::new(&mut bytes);
        let grant = receiving.read(&mut out);
        (out.filled().to_vec(), grant)
    }

    #[test]
    fn bytes_come_in_order_and_a_gap_is_seen() {
        let mut receiving = Receiving::new(Form::V2, 1 << 20);
        receiving.data(Number::of(0), b"abc").unwrap();
        receiving.data(Number::of(1), b"def").unwrap();
        assert_eq!(read(&mut receiving, 4).0, b"abcd");
        assert_eq!(receiving.data(Number::of(3), b"x"), Err(ConnectionError::Gap));
        assert_eq!(receiving.end(Number::of(3)), Err(ConnectionError::Gap));
        receiving.end(Number::of(2)).unwrap();
        assert_eq!(read(&mut receiving, 4).0, b"ef");
        assert!(receiving.has_ended());
    }

    #[test]
    fn a_window_is_granted_anew_as_its_bytes_are_read_and_not_before() {
        let window = INITIAL_WINDOW_BYTES;
        let mut receiving = Receiving::new(Form::V2, window);
        assert_eq!(receiving.first_grant(), 0);
        let full = vec![7; window as usize];
        receiving.data(Number::of(0), &full).unwrap();
        assert_eq!(receiving.data(Number::of(1), b"x"), Err(ConnectionError::Overrun));
        let quarter = window as usize / 4;
        assert_eq!(read(&mut receiving, quarter - 1).1, 0);
        assert_eq!(read(&mut receiving, 1).1, quarter as u64);
        receiving.data(Number::of(1), &full[..quarter]).unwrap();
        assert_eq!(receiving.data(Number::of(2), b"x"), Err(ConnectionError::Overrun));
    }

    #[test]
    fn a_v1_peer_is_bounded_too() {
        let mut receiving = Receiving::new(Form::V1, 1 << 20);
        let chunk = vec![0; 1 << 20];
        for seq in 0..16 {
            receiving.data(Number::of(seq), &chunk).unwrap();
        }
        assert_eq!(receiving.data(Number::of(16), b"x"), Err(ConnectionError::Overrun));
        assert_eq!(read(&mut receiving, 10).1, 0, "v1 is told nothing");
        receiving.data(Number::of(16), b"x").unwrap();
    }
}
