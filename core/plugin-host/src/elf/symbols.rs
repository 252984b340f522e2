//! The symbols, their names and versions, and the hash tables to find them by.

use super::Damage;
use super::dynamic::{
    Dynamic, GNU_HASH, HASH, STRSZ, STRTAB, SYMBOL_BYTES, SYMTAB, VERDEF, VERNEED, VERSYM,
};
use super::image::{Access, Image};
use super::number;

/// `STT_GNU_IFUNC`: the loader calls such a symbol to learn what it is.
const INDIRECT: u64 = 10;
/// The part of a version's number that is not a flag.
const VERSION: u64 = 0x7fff;

/// Of a record that names a version.
const VERSION_BYTES: u64 = 16;
/// What only a made-up file can be: its lists share their entries.
const IN_CIRCLES: &str = "its lists of versions go in circles";

/// See the module.
pub(super) struct Symbols<'a> {
    image: &'a Image<'a>,
    names: &'a [u8],
    table: u64,
    /// Where the symbols' versions are, and the highest one that there is.
    versions: Option<(u64, u64)>,
}

impl<'a> Symbols<'a> {
    /// Reads the tables, and checks those that lead to symbols.
    pub(super) fn new(image: &'a Image<'a>, dynamic: &Dynamic) -> Result<Self, Damage> {
        let names = image.bytes(dynamic.require(STRTAB)?, dynamic.require(STRSZ)?)?;
        if names.last() != Some(&0) {
            return Err("its table of names has no end".into());
        }
        let table = dynamic.require(SYMTAB)?;
        let mut symbols = Self { image, names, table, versions: None };
        for needed in &dynamic.needed {
            symbols.name(*needed)?;
        }
        let highest = symbols.needed_versions(dynamic)?.max(symbols.own_versions(dynamic)?);
        symbols.versions = dynamic.get(VERSYM).map(|at| (at, highest));
        match (dynamic.get(GNU_HASH), dynamic.get(HASH)) {
            (Some(at), _) => symbols.gnu_hash(at)?,
            (None, Some(at)) => symbols.hash(at)?,
            (None, None) => return Err("it has no table to find its symbols by".into()),
        }
        Ok(symbols)
    }

    /// The name at that place of the table.
    pub(super) fn name(&self, at: u64) -> Result<&'a [u8], Damage> {
        let rest = usize::try_from(at).ok().and_then(|at| self.names.get(at..));
        let name = rest.and_then(|rest| rest.split(|byte| *byte == 0).next());
        name.ok_or_else(|| format!("it has no name at {at:#x} of its table of names"))
    }

    /// Checks one symbol.
    pub(super) fn check(&self, index: u64) -> Result<(), Damage> {
        let none = || format!("its symbol {index} is not there");
        let at = index.checked_mul(SYMBOL_BYTES).and_then(|at| at.checked_add(self.table));
        let symbol = self.image.bytes(at.ok_or_else(none)?, SYMBOL_BYTES)?;
        if self.name(number(symbol, 0, 4))?.is_empty() {
            return Err(format!("its symbol {index} has no name"));
        }
        let (kind, section, value) =
            (number(symbol, 4, 1) & 0xf, number(symbol, 6, 2), number(symbol, 8, 8));
        if kind == INDIRECT && section != 0 && !self.image.allows(value, 1, Access::Execute) {
            return Err(format!("its symbol {index} asks what is no code"));
        }
        if let Some((versions, highest)) = self.versions {
            let version = self.image.number(versions.saturating_add(2 * index), 2)? & VERSION;
            if highest == 0 || version > highest {
                return Err(format!("its symbol {index} is of version {version} of {highest}"));
            }
        }
        Ok(())
    }

    /// Checks the versions of other libraries' symbols; answers the highest number of one.
    fn needed_versions(&self, dynamic: &Dynamic) -> Result<u64, Damage> {
        let Some(mut at) = dynamic.get(VERNEED) else { return Ok(0) };
        let needed: Vec<_> = dynamic.needed.iter().flat_map(|name| self.name(*name)).collect();
        let (mut highest, mut left) = (0, self.image.room_for(VERSION_BYTES));
        // The loader goes by the links, not by the counts.
        loop {
            let library = self.image.bytes(at, VERSION_BYTES)?;
            let file = self.name(number(library, 4, 4))?;
            if !needed.contains(&file) {
                return Err("it has versions of a library that it does not need".into());
            }
            let mut version_at = at.saturating_add(number(library, 8, 4));
            loop {
                left = left.checked_sub(1).ok_or(IN_CIRCLES)?;
                let version = self.image.bytes(version_at, VERSION_BYTES)?;
                self.name(number(version, 8, 4))?;
                highest = highest.max(number(version, 6, 2) & VERSION);
                match number(version, 12, 4) {
                    0 => break,
                    next => version_at = version_at.saturating_add(next),
                }
            }
            match number(library, 12, 4) {
                0 => return Ok(highest),
                next => at = at.saturating_add(next),
            }
        }
    }

    /// Checks the versions of its own symbols; answers the highest number of one.
    fn own_versions(&self, dynamic: &Dynamic) -> Result<u64, Damage> {
        let Some(mut at) = dynamic.get(VERDEF) else { return Ok(0) };
        let (mut highest, mut left) = (0, self.image.room_for(VERSION_BYTES));
        loop {
            left = left.checked_sub(1).ok_or(IN_CIRCLES)?;
            let version = self.image.bytes(at, 20)?;
            highest = highest.max(number(version, 4, 2) & VERSION);
            let name = self.image.bytes(at.saturating_add(number(version, 12, 4)), 8)?;
            self.name(number(name, 0, 4))?;
            match number(version, 16, 4) {
                0 => return Ok(highest),
                next => at = at.saturating_add(next),
            }
        }
    }

    /// Checks the table of `DT_GNU_HASH`: a filter, buckets, and chains that end.
    fn gnu_hash(&self, at: u64) -> Result<(), Damage> {
        let head = self.image.bytes(at, 16)?;
        let [buckets, first, words, shift] = [0, 4, 8, 12].map(|field| number(head, field, 4));
        if !words.is_power_of_two() || shift > 63 {
            return Err(format!("its hash table has a filter of {words} words"));
        }
        let start = at + 16 + words * 8;
        let table = self.image.bytes(start, buckets * 4)?;
        let chains = start + buckets * 4;
        let mut left = self.image.room_for(4);
        for bucket in table.chunks_exact(4).map(|bucket| number(bucket, 0, 4)) {
            if bucket == 0 {
                continue;
            }
            let place =
                bucket.checked_sub(first).ok_or("a chain of its hash table is not there")?;
            for place in place.. {
                left = left.checked_sub(1).ok_or("the chains of its hash table overlap")?;
                self.check(first + place)?;
                if self.image.number(chains + 4 * place, 4)? & 1 == 1 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Checks the table of `DT_HASH`: buckets, and chains that lead to symbols.
    fn hash(&self, at: u64) -> Result<(), Damage> {
        let head = self.image.bytes(at, 8)?;
        let (buckets, symbols) = (number(head, 0, 4), number(head, 4, 4));
        let links = self.image.bytes(at + 8, (buckets + symbols) * 4)?;
        if links.chunks_exact(4).any(|link| number(link, 0, 4) >= symbols.max(1)) {
            return Err("a chain of its hash table is not there".into());
        }
        (1..symbols).try_for_each(|index| self.check(index))
    }
}
