//! A library as it would lie in memory: which bytes of the file its loadable segments put where, and
//! what may be done with them there.

use super::{Damage, PROGRAM_HEADER_BYTES, number, tables};

/// Of a program header, as `p_type` says.
const LOAD: u64 = 1;
const DYNAMIC: u64 = 2;
const NOTE: u64 = 4;
const TLS: u64 = 7;
const RELRO: u64 = 0x6474_e552;
const PROPERTY: u64 = 0x6474_e553;

/// Thread-local storage of a library, at most, in bytes: the system's loader ends the process where it
/// can't have it.
const TLS_BYTES: u64 = 256 * 1024 * 1024;
const TLS_ALIGN: u64 = 64 * 1024;

/// The loader works in pages: what a segment says of its last one counts for all of it.
const PAGE: u64 = 4096;

/// No process has addresses above this. It keeps sums of two of them from overflowing.
const ADDRESSES: u64 = 1 << 47;

/// What may be done with memory, as in `p_flags`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    Execute = 1,
    Write = 2,
    Read = 4,
}

struct Header {
    kind: u64,
    flags: u64,
    offset: u64,
    address: u64,
    file_bytes: u64,
    memory_bytes: u64,
    align: u64,
}

/// See the module.
pub(super) struct Image<'a> {
    file: &'a [u8],
    loads: Vec<Header>,
    /// Where the dynamic section is, and its length.
    pub(super) dynamic: (u64, u64),
}

impl<'a> Image<'a> {
    /// The image of a file whose headers end within it.
    pub(super) fn new(file: &'a [u8]) -> Result<Self, Damage> {
        let (programs, _) = tables(file);
        let headers =
            programs.step_by(PROGRAM_HEADER_BYTES as usize).map(|at| Header::at(file, at));
        let (loads, others): (Vec<_>, Vec<_>) = headers.partition(|header| header.kind == LOAD);
        let mut end = 0;
        for load in &loads {
            let sound = load.address >= end
                && load.memory_bytes >= load.file_bytes
                && load.flags & Access::Read as u64 != 0
                && load.address.checked_add(load.memory_bytes).is_some_and(|end| end <= ADDRESSES);
            if !sound {
                return Err("its segments overlap, or are out of order".into());
            }
            end = load.address + load.memory_bytes;
        }
        let dynamic = others.iter().find(|header| header.kind == DYNAMIC);
        let dynamic = dynamic.ok_or("it has no dynamic section")?;
        let dynamic = (dynamic.address, dynamic.file_bytes);
        let image = Self { file, loads, dynamic };
        match others.iter().find(|header| !image.bears(header)) {
            Some(header) => Err(format!("its program header of type {:#x} can't be", header.kind)),
            None => Ok(image),
        }
    }

    /// Whether what a header speaks of is in the segments, as far as the loader relies on it.
    fn bears(&self, header: &Header) -> bool {
        let Header { address, file_bytes, memory_bytes, align, .. } = *header;
        match header.kind {
            NOTE | PROPERTY | DYNAMIC => self.bytes(address, file_bytes.max(memory_bytes)).is_ok(),
            // lld up to 17 rounds the end of this one up, and not that of the segment.
            RELRO => self.loads.iter().any(|load| {
                let end = load.address + load.memory_bytes;
                let pages = load.address..=end.next_multiple_of(load.page());
                load.flags & Access::Write as u64 != 0
                    && (load.address..=end).contains(&address)
                    && address.checked_add(memory_bytes).is_some_and(|end| pages.contains(&end))
            }),
            TLS => {
                // What is filled with zeros may lie anywhere, even between two segments.
                (file_bytes == 0 || self.bytes(address, file_bytes).is_ok())
                    && (file_bytes..=TLS_BYTES).contains(&memory_bytes)
                    && align <= TLS_ALIGN
                    && (align == 0 || align.is_power_of_two())
            }
            _ => true,
        }
    }

    /// The file's bytes for that memory: all of one segment, none of them filled in with zeros.
    pub(super) fn bytes(&self, address: u64, length: u64) -> Result<&'a [u8], Damage> {
        let bytes = self.loads.iter().find_map(|load| {
            let from = address.checked_sub(load.address)?;
            let end = from.checked_add(length).filter(|end| *end <= load.file_bytes)?;
            let at = |part: u64| usize::try_from(load.offset.checked_add(part)?).ok();
            self.file.get(at(from)?..at(end)?)
        });
        bytes.ok_or_else(|| format!("{length} bytes at {address:#x} are in none of its segments"))
    }

    /// How many records of so many bytes the file has room for: none of its lists is longer.
    pub(super) fn room_for(&self, bytes: u64) -> u64 {
        self.file.len() as u64 / bytes
    }

    /// A number in the file's bytes.
    pub(super) fn number(&self, address: u64, bytes: usize) -> Result<u64, Damage> {
        Ok(number(self.bytes(address, bytes as u64)?, 0, bytes))
    }

    /// Whether that memory is of one segment, which allows that.
    pub(super) fn allows(&self, address: u64, length: u64, access: Access) -> bool {
        self.loads.iter().filter(|load| load.flags & access as u64 != 0).any(|load| {
            let from = address.checked_sub(load.address);
            let end = from.and_then(|from| from.checked_add(length));
            end.is_some_and(|end| end <= load.memory_bytes)
        })
    }

    /// Whether an address is between the first segment and the end of the last one.
    pub(super) fn spans(&self, address: u64) -> bool {
        let start = self.loads.first().map_or(0, |first| first.address);
        let end = self.loads.last().map_or(0, |last| last.address + last.memory_bytes);
        (start..=end.next_multiple_of(TLS_ALIGN)).contains(&address)
    }
}

impl Header {
    /// In what its segment is loaded, in bytes.
    fn page(&self) -> u64 {
        if (PAGE..=ADDRESSES).contains(&self.align) { self.align } else { PAGE }
    }

    fn at(file: &[u8], at: u64) -> Self {
        let field = |offset, bytes| number(file, at + offset, bytes);
        Self {
            kind: field(0, 4),
            flags: field(4, 4),
            offset: field(8, 8),
            address: field(16, 8),
            file_bytes: field(32, 8),
            memory_bytes: field(40, 8),
            align: field(48, 8),
        }
    }
}
