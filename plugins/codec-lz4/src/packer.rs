//! LZ4 blocks, by tables and space that each thread keeps. Knows no envelopes.

use std::cell::RefCell;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

/// Space above this is not kept from one payload to the next: 1 MiB.
const KEPT_BYTES: usize = 1 << 20;

/// From this many bytes on, LZ4 needs the larger table.
const SMALL_BELOW: usize = u16::MAX as usize;

thread_local! {
    static PACKER: RefCell<Packer> = RefCell::new(Packer::new());
}

/// What one thread packs with.
struct Packer {
    /// 8 KiB.
    small: CompressTable,
    /// 16 KiB, from the first large payload on.
    large: Option<CompressTable>,
    space: Vec<u8>,
}

impl Packer {
    fn new() -> Self {
        Self { small: CompressTable::small(), large: None, space: Vec::new() }
    }

    fn pack(&mut self, payload: &[u8]) -> Option<&[u8]> {
        let most = get_maximum_output_size(payload.len());
        if self.space.len() < most {
            self.space.resize(most, 0);
        }
        let table = match payload.len() < SMALL_BELOW {
            true => &mut self.small,
            false => self.large.get_or_insert_with(CompressTable::large),
        };
        let len = compress_into_with_table(payload, &mut self.space, table).ok()?;
        self.space.get(..len)
    }

    fn shrink(&mut self) {
        if self.space.len() > KEPT_BYTES {
            self.space = Vec::new();
        }
    }
}

/// Packs a payload and hands the result to `write`; `None` if it can't be packed.
pub(crate) fn pack<R>(payload: &[u8], write: impl FnOnce(Option<&[u8]>) -> R) -> R {
    PACKER.with_borrow_mut(|packer| {
        let answer = write(packer.pack(payload));
        packer.shrink();
        answer
    })
}

/// Unpacks into all of `space`. Answers whether it was filled exactly.
pub(crate) fn unpack(packed: &[u8], space: &mut [u8]) -> bool {
    decompress_into(packed, space).is_ok_and(|len| len == space.len())
}
