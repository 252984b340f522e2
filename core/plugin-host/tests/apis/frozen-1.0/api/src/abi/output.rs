//! A bounded writer over space that may be uninitialised. It goes on counting past the end, so that
//! one failed encode tells how much the next needs.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Where a codec writes an envelope. Writing never fails: bytes past the end are counted only.
#[derive(Debug)]
pub struct Output<'a> {
    start: *mut u8,
    capacity: usize,
    /// Bytes asked for so far. Invariant: if it is at most `capacity`, that many from `start` on
    /// are initialised.
    needed: usize,
    space: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl<'a> Output<'a> {
    /// Writes into `space`.
    pub fn new(space: &'a mut [MaybeUninit<u8>]) -> Self {
        Self {
            start: space.as_mut_ptr().cast(),
            capacity: space.len(),
            needed: 0,
            space: PhantomData,
        }
    }

    /// # Safety
    /// `start` is valid for writes of `capacity` bytes for `'a`, and nothing else touches them.
    pub(crate) unsafe fn from_raw(start: *mut u8, capacity: usize) -> Self {
        Self { start, capacity, needed: 0, space: PhantomData }
    }

    /// How many bytes were written, or would have been with enough space.
    #[inline]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Whether all that was written fits so far.
    #[inline]
    pub fn fits(&self) -> bool {
        self.needed <= self.capacity
    }

    /// Appends bytes.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        let end = self.needed.saturating_add(bytes.len());
        if end <= self.capacity {
            // SAFETY: `needed..end` lies within the space by the check (and `needed <= end`), which
            // is ours alone, so `bytes` can't overlap it.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    bytes.as_ptr(),
                    self.start.add(self.needed),
                    bytes.len(),
                );
            }
        }
        self.needed = end;
    }

    /// Appends one byte.
    #[inline]
    pub fn put_u8(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Appends a number, lowest byte first.
    #[inline]
    pub fn put_u16_le(&mut self, number: u16) {
        self.put(&number.to_le_bytes());
    }

    /// Appends a number, lowest byte first.
    #[inline]
    pub fn put_u32_le(&mut self, number: u32) {
        self.put(&number.to_le_bytes());
    }

    /// Appends a number, lowest byte first.
    #[inline]
    pub fn put_u64_le(&mut self, number: u64) {
        self.put(&number.to_le_bytes());
    }

    /// Appends a number as a base-128 varint, as protobuf has it: 1 to 10 bytes.
    #[inline]
    pub fn put_varint(&mut self, mut number: u64) {
        let mut bytes = [0u8; 10];
        let mut len = 0;
        while number >= 0x80 {
            bytes[len] = number as u8 | 0x80;
            number >>= 7;
            len += 1;
        }
        bytes[len] = number as u8;
        self.put(&bytes[..=len]);
    }

    /// Appends `len` zero bytes and lends them to be overwritten, as a compressor needs it. `None`
    /// if they do not fit; they are counted all the same.
    pub fn put_zeroed(&mut self, len: usize) -> Option<&mut [u8]> {
        let from = self.needed;
        self.needed = from.saturating_add(len);
        if !self.fits() {
            return None;
        }
        // SAFETY: `from..from + len` lies within the space by the check, is ours alone, and is
        // initialised here before it becomes a slice.
        unsafe {
            let start = self.start.add(from);
            start.write_bytes(0, len);
            Some(std::slice::from_raw_parts_mut(start, len))
        }
    }

    /// Takes back what was written after the first `len` bytes. Once something did not fit, the
    /// encode is lost anyway: then the count stays above the capacity.
    pub fn truncate(&mut self, len: usize) {
        let least = if self.fits() { 0 } else { self.capacity + 1 };
        self.needed = self.needed.min(len.max(least));
    }

    /// What is written so far; `None` if it did not fit.
    pub fn written(&self) -> Option<&[u8]> {
        // SAFETY: while it fits, the first `needed` bytes are initialised (the field's invariant).
        self.fits().then(|| unsafe { std::slice::from_raw_parts(self.start, self.needed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_past_the_end_and_never_writes_there() {
        let mut space = [MaybeUninit::new(0xAAu8); 6];
        let mut out = Output::new(&mut space[..4]);
        out.put_u16_le(0x0102);
        assert_eq!(out.written(), Some([2, 1].as_slice()));
        out.put_u32_le(7);
        out.put_u8(9);
        assert_eq!((out.needed(), out.fits(), out.written()), (7, false, None));
        out.truncate(1);
        assert!(!out.fits(), "a hole can't be taken back");
        // SAFETY: all six were initialised above.
        assert!(space.iter().skip(2).all(|byte| unsafe { byte.assume_init() } == 0xAA));
    }

    #[test]
    fn zeroed_space_can_be_filled_and_shortened() {
        let mut space = [MaybeUninit::uninit(); 8];
        let mut out = Output::new(&mut space);
        out.put_varint(300);
        out.put_zeroed(5).unwrap()[..2].copy_from_slice(&[1, 2]);
        out.truncate(4);
        assert_eq!(out.written(), Some([0xAC, 2, 1, 2].as_slice()));
        assert!(out.put_zeroed(usize::MAX).is_none());
        assert_eq!(out.needed(), usize::MAX);
    }
}
