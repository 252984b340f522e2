//! The dynamic section and the tables that it names, as the system's loader reads them: it follows
//! every number there, and ends the process, by an assertion or a fault, over one that can't be.

use std::collections::BTreeMap;

use super::Damage;
use super::image::{Access, Image};
use super::relocations::{self, Kinds};
use super::symbols::Symbols;

const NEEDED: u64 = 1;
const PLTRELSZ: u64 = 2;
const INIT: u64 = 12;
const FINI: u64 = 13;
const RPATH: u64 = 15;
const SONAME: u64 = 14;
const REL: u64 = 17;
const RELASZ: u64 = 8;
const RELAENT: u64 = 9;
const PLTREL: u64 = 20;
const RUNPATH: u64 = 29;
const RELRSZ: u64 = 35;
const RELRENT: u64 = 37;
pub(super) const STRTAB: u64 = 5;
pub(super) const SYMTAB: u64 = 6;
pub(super) const RELA: u64 = 7;
pub(super) const STRSZ: u64 = 10;
const SYMENT: u64 = 11;
pub(super) const JMPREL: u64 = 23;
pub(super) const RELR: u64 = 36;
pub(super) const RELACOUNT: u64 = 0x6fff_fff9;
pub(super) const HASH: u64 = 4;
pub(super) const GNU_HASH: u64 = 0x6fff_fef5;
pub(super) const VERSYM: u64 = 0x6fff_fff0;
pub(super) const VERDEF: u64 = 0x6fff_fffc;
pub(super) const VERNEED: u64 = 0x6fff_fffe;
/// Arrays of functions that the loader calls, and their sizes.
const ARRAYS: [(u64, u64); 2] = [(25, 27), (26, 28)];

/// Bytes of an entry of the dynamic section, of a symbol and of a relocation.
const ENTRY_BYTES: usize = 16;
pub(super) const SYMBOL_BYTES: u64 = 24;
pub(super) const RELOCATION_BYTES: u64 = 24;
pub(super) const ADDRESS_BYTES: u64 = 8;

/// The dynamic section: the last value of each tag, as the loader takes it, and all libraries needed.
pub(super) struct Dynamic {
    values: BTreeMap<u64, u64>,
    pub(super) needed: Vec<u64>,
}

/// Checks all that the loader goes by.
pub(super) fn check(image: &Image<'_>, kinds: &Kinds) -> Result<(), Damage> {
    let dynamic = Dynamic::read(image)?;
    dynamic.sizes()?;
    let symbols = Symbols::new(image, &dynamic)?;
    for tag in [SONAME, RPATH, RUNPATH] {
        dynamic.get(tag).map_or(Ok(()), |name| symbols.name(name).map(drop))?;
    }
    let arrays = dynamic.arrays(image)?;
    for tag in [INIT, FINI] {
        if dynamic.get(tag).is_some_and(|at| !image.allows(at, 1, Access::Execute)) {
            return Err("its first or last function is no code".into());
        }
    }
    let relocated = relocations::check(image, &dynamic, &symbols, &arrays, kinds)?;
    let functions: u64 = arrays.iter().map(|(_, bytes)| bytes / ADDRESS_BYTES).sum();
    match relocated == functions {
        true => Ok(()),
        false => {
            Err(format!("it has {functions} functions to start and end, {relocated} are code"))
        }
    }
}

impl Dynamic {
    fn read(image: &Image<'_>) -> Result<Self, Damage> {
        let (at, length) = image.dynamic;
        let mut dynamic = Self { values: BTreeMap::new(), needed: Vec::new() };
        for entry in image.bytes(at, length)?.chunks_exact(ENTRY_BYTES) {
            match (super::number(entry, 0, 8), super::number(entry, 8, 8)) {
                (0, _) => return Ok(dynamic),
                (NEEDED, name) => dynamic.needed.push(name),
                (tag, value) => drop(dynamic.values.insert(tag, value)),
            }
        }
        Err("its dynamic section has no end".into())
    }

    pub(super) fn get(&self, tag: u64) -> Option<u64> {
        self.values.get(&tag).copied()
    }

    pub(super) fn require(&self, tag: u64) -> Result<u64, Damage> {
        self.get(tag).ok_or_else(|| format!("its dynamic section has no entry {tag:#x}"))
    }

    /// Sizes of entries, of which the loader knows one each.
    fn sizes(&self) -> Result<(), Damage> {
        let expected = [
            (SYMENT, SYMBOL_BYTES),
            (RELAENT, RELOCATION_BYTES),
            (RELRENT, ADDRESS_BYTES),
            (PLTREL, RELA),
        ];
        let wrong =
            expected.iter().find(|(tag, size)| self.get(*tag).is_some_and(|is| is != *size));
        match wrong {
            Some((tag, size)) => Err(format!(
                "entry {tag:#x} of its dynamic section is {:?}, not {size}",
                self.get(*tag)
            )),
            None if self.get(REL).is_some() => {
                Err("its relocations are of another machine's".into())
            }
            None => Ok(()),
        }
    }

    /// A table of relocations: its bytes, none if there is no such table.
    pub(super) fn relocations<'a>(
        &self,
        image: &Image<'a>,
        table: u64,
    ) -> Result<&'a [u8], Damage> {
        let Some(at) = self.get(table) else { return Ok(&[]) };
        let (size, each, companion) = match table {
            RELA => (RELASZ, RELOCATION_BYTES, RELAENT),
            JMPREL => (PLTRELSZ, RELOCATION_BYTES, PLTREL),
            _ => (RELRSZ, ADDRESS_BYTES, RELRENT),
        };
        self.require(companion)?;
        let length = self.require(size)?;
        if length % each != 0 {
            return Err(format!("{length} bytes of relocations are no table of {each} bytes each"));
        }
        image.bytes(at, length)
    }

    /// Where functions stand that the loader calls, and how many bytes of them.
    fn arrays(&self, image: &Image<'_>) -> Result<Vec<(u64, u64)>, Damage> {
        let mut arrays = Vec::new();
        for (array, size) in ARRAYS {
            let Some(at) = self.get(array) else { continue };
            let length = self.require(size)?;
            if length % ADDRESS_BYTES != 0 || !image.allows(at, length, Access::Write) {
                return Err(
                    "the functions to start and end it with are in none of its segments".into()
                );
            }
            arrays.push((at, length));
        }
        Ok(arrays)
    }
}
