//! Zstandard frames, by contexts and space that each thread keeps. Knows no envelopes.

use std::cell::RefCell;

use zstd_safe::{CCtx, DCtx};

/// Space above this is not kept from one payload to the next: 1 MiB.
const KEPT_BYTES: usize = 1 << 20;

thread_local! {
    static PACKER: RefCell<Packer> = const { RefCell::new(Packer { context: None, space: Vec::new() }) };
    static UNPACKER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// What one thread packs with.
struct Packer {
    context: Option<CCtx<'static>>,
    space: Vec<u8>,
}

impl Packer {
    /// `None` where it would not become smaller.
    fn pack(&mut self, payload: &[u8], level: i32) -> Option<&[u8]> {
        let most = payload.len().checked_sub(1)?;
        if self.space.len() < most {
            self.space.resize(most, 0);
        }
        if self.context.is_none() {
            // Out of memory at most: then payloads go as they are.
            self.context = CCtx::try_create();
        }
        let len = self.context.as_mut()?.compress(&mut self.space[..most], payload, level).ok()?;
        self.space.get(..len)
    }

    fn shrink(&mut self) {
        if self.space.len() > KEPT_BYTES {
            self.space = Vec::new();
        }
    }
}

/// Packs a payload and hands the result to `write`; `None` if it can't be packed.
pub(crate) fn pack<R>(payload: &[u8], level: i32, write: impl FnOnce(Option<&[u8]>) -> R) -> R {
    PACKER.with_borrow_mut(|packer| {
        let answer = write(packer.pack(payload, level));
        packer.shrink();
        answer
    })
}

/// Unpacks into all of `space`, never beyond. Answers whether it was filled exactly.
pub(crate) fn unpack(packed: &[u8], space: &mut [u8]) -> bool {
    UNPACKER.with_borrow_mut(|context| {
        if context.is_none() {
            *context = DCtx::try_create();
        }
        let len = context.as_mut().and_then(|context| context.decompress(space, packed).ok());
        len == Some(space.len())
    })
}
