//! The relocations: what the loader writes where, before any of the library's code runs.

use super::dynamic::{ADDRESS_BYTES, Dynamic, JMPREL, RELA, RELACOUNT, RELOCATION_BYTES, RELR};
use super::image::{Access, Image};
use super::symbols::Symbols;
use super::{Damage, number};

/// The types of relocations that libraries for this machine have. Not among them: `NONE`, which
/// linkers do not write into libraries, and which is what a page of zeros is full of; and those that write into code.
pub(super) struct Kinds {
    relative: u64,
    /// Calls a function of the library for the value.
    indirect: u64,
    /// Writes two words.
    descriptor: u64,
    others: &'static [u64],
}

/// Of this machine; `None` where they are not known here: then relocations, and what leads to them, are not
/// looked at.
pub(super) const KINDS: Option<Kinds> =
    if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        Some(Kinds { relative: 8, indirect: 37, descriptor: 36, others: &[1, 6, 7, 16, 17, 18] })
    } else if cfg!(all(target_arch = "aarch64", target_pointer_width = "64")) {
        let others = &[257, 1025, 1026, 1028, 1029, 1030];
        Some(Kinds { relative: 1027, indirect: 1032, descriptor: 1031, others })
    } else {
        None
    };

struct Relocation {
    offset: u64,
    kind: u64,
    symbol: u64,
    addend: u64,
}

/// Checks all relocations; answers how many functions of `arrays` they make.
pub(super) fn check(
    image: &Image<'_>,
    dynamic: &Dynamic,
    symbols: &Symbols<'_>,
    arrays: &[(u64, u64)],
    kinds: &Kinds,
) -> Result<u64, Damage> {
    let mut functions = 0;
    for (table, relative) in [(RELA, dynamic.get(RELACOUNT).unwrap_or(0)), (JMPREL, 0)] {
        let all = dynamic.relocations(image, table)?.chunks_exact(RELOCATION_BYTES as usize);
        if relative > all.len() as u64 {
            return Err(format!("it has {} relocations, and {relative} relative ones", all.len()));
        }
        for (index, entry) in all.map(Relocation::read).enumerate() {
            let fine = entry.check(image, symbols, kinds, (index as u64) < relative);
            fine.map_err(|what| format!("its relocation {index} (at {:#x}) {what}", entry.offset))?;
            functions += entry.starts(image, arrays, kinds)?;
        }
    }
    let packed = dynamic.relocations(image, RELR)?;
    for offset in addresses(packed) {
        let target = number(image.bytes(offset, ADDRESS_BYTES)?, 0, 8);
        if !image.spans(target) || !image.allows(offset, ADDRESS_BYTES, Access::Write) {
            return Err(format!("its packed relocation at {offset:#x} can't be"));
        }
        functions += starts(image, arrays, offset, target)?;
    }
    Ok(functions)
}

impl Relocation {
    fn read(entry: &[u8]) -> Self {
        Self {
            offset: number(entry, 0, 8),
            kind: number(entry, 8, 4),
            symbol: number(entry, 12, 4),
            addend: number(entry, 16, 8),
        }
    }

    fn check(
        &self,
        image: &Image<'_>,
        symbols: &Symbols<'_>,
        kinds: &Kinds,
        is_relative: bool,
    ) -> Result<(), Damage> {
        let &Self { offset, kind, symbol, addend } = self;
        let known = [kinds.relative, kinds.indirect, kinds.descriptor];
        if !known.contains(&kind) && !kinds.others.contains(&kind) {
            return Err(format!("is of type {kind}, which libraries do not have"));
        }
        if is_relative && kind != kinds.relative {
            return Err(format!("is of type {kind}, among the relative ones"));
        }
        let length = if kind == kinds.descriptor { 2 * ADDRESS_BYTES } else { ADDRESS_BYTES };
        if !image.allows(offset, length, Access::Write) {
            return Err("is outside of what may be written".into());
        }
        if kind == kinds.relative {
            // Linkers leave nothing there, or what it will be; anything else was not theirs.
            let now = image.number(offset, 8).unwrap_or(0);
            if symbol != 0 || !image.spans(addend) || (now != 0 && now != addend) {
                return Err(format!("says {addend:#x} where the file has {now:#x}"));
            }
        }
        if kind == kinds.indirect && !image.allows(addend, 1, Access::Execute) {
            return Err("asks what is no code".into());
        }
        if symbol == 0 { Ok(()) } else { symbols.check(symbol) }
    }

    /// 1 if it makes a function that the loader calls.
    fn starts(
        &self,
        image: &Image<'_>,
        arrays: &[(u64, u64)],
        kinds: &Kinds,
    ) -> Result<u64, Damage> {
        match self.kind == kinds.relative {
            true => starts(image, arrays, self.offset, self.addend),
            false => Ok(u64::from(is_in(arrays, self.offset))),
        }
    }
}

fn is_in(arrays: &[(u64, u64)], offset: u64) -> bool {
    arrays.iter().any(|(at, length)| (*at..at + length).contains(&offset))
}

fn starts(
    image: &Image<'_>,
    arrays: &[(u64, u64)],
    offset: u64,
    target: u64,
) -> Result<u64, Damage> {
    match is_in(arrays, offset) {
        true if image.allows(target, 1, Access::Execute) => Ok(1),
        true => Err(format!("it starts or ends with a function at {target:#x}, which is no code")),
        false => Ok(0),
    }
}

/// The addresses of packed relocations: each word is an address, or, if it is odd, a bit for each of
/// the 63 words that follow.
fn addresses(packed: &[u8]) -> impl Iterator<Item = u64> {
    let mut next = 0_u64;
    packed.chunks_exact(8).map(|word| number(word, 0, 8)).flat_map(move |word| {
        let (base, bits) = if word & 1 == 0 { (word, 1) } else { (next, word >> 1) };
        next = base.wrapping_add(if word & 1 == 0 { 8 } else { 63 * 8 });
        let set = (0..63).filter(move |bit| bits >> bit & 1 == 1);
        set.map(move |bit| base.wrapping_add(bit * 8))
    })
}
