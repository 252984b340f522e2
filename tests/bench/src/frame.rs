//! The frame that all contenders send: a data frame with a fixed header as the compact codec writes
//! it, and a payload that begins with its sequence number. Only the bytes matter here.

/// Envelope of the compact codec: destination, source, epoch, correlation (8 each), flags and
/// metadata length (4 each), kind (1).
const ENVELOPE_BYTES: usize = 4 * 8 + 2 * 4 + 1;

/// Bytes of a frame before its payload: length, codec index, envelope.
pub(crate) const OVERHEAD_BYTES: usize = 4 + 1 + ENVELOPE_BYTES;

/// A payload of `size` bytes; its first 8 are for the sequence number.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    assert!(size >= 8, "a payload holds at least its sequence number");
    (0..size).map(|at| at as u8).collect()
}

/// Writes the sequence number into a payload.
#[inline]
pub(crate) fn stamp(payload: &mut [u8], sequence: u64) {
    payload[..8].copy_from_slice(&sequence.to_le_bytes());
}

/// Appends one whole frame.
#[inline]
pub(crate) fn append(payload: &[u8], out: &mut Vec<u8>) {
    let length = (OVERHEAD_BYTES - 4 + payload.len()) as u32;
    let mut head = [0; OVERHEAD_BYTES];
    head[..4].copy_from_slice(&length.to_be_bytes());
    head[5..13].copy_from_slice(&0x0102_0304_0506_0708u64.to_le_bytes());
    head[13..21].copy_from_slice(&0x1112_1314_1516_1718u64.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
}

/// The payload of a frame body.
#[inline]
pub(crate) fn payload_of(body: &[u8]) -> &[u8] {
    &body[OVERHEAD_BYTES - 4..]
}
