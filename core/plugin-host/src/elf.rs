//! Whether the bytes of a file are a whole ELF library for this host, and one that the system's loader
//! survives. It maps what the headers say and reads it: past the end of a file that was cut short,
//! that is a SIGBUS. It follows what the dynamic section says, and ends the process, by an assertion
//! or a fault, over what no linker writes. No one could catch and report that.
//!
//! What this is not: a check of the code and the data, where nothing tells what is right (pins and signatures do:
//! `plugins.require_pins`), or of anything on hosts that load no ELF.

mod dynamic;
mod image;
mod relocations;
mod symbols;

use std::mem::size_of;
use std::ops::Range;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// The headers speak of more bytes than there are.
    Truncated {
        /// The least size of a whole file, in bytes, as far as its headers can be read.
        needs: u64,
    },
    /// Not a library, or one for another host.
    Foreign(&'static str),
    /// The loader would be led astray.
    Damaged(Damage),
}

/// What no linker writes, in words.
type Damage = String;

const WIDE: bool = size_of::<usize>() == 8;
const MAGIC: &[u8] = b"\x7fELF";
const HEADER_BYTES: u64 = if WIDE { 64 } else { 52 };
const PROGRAM_HEADER_BYTES: u64 = if WIDE { 56 } else { 32 };
const SECTION_HEADER_BYTES: u64 = if WIDE { 64 } else { 40 };
/// `EI_CLASS` and `EI_DATA` of libraries that this host loads.
const CLASS: u8 = if WIDE { 2 } else { 1 };
const ORDER: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
/// `ET_DYN`, what a shared library is.
const SHARED: u64 = 3;

/// `e_machine` of this host; `None` where it is not known here, and then not compared.
const MACHINE: Option<u64> = if cfg!(target_arch = "x86_64") {
    Some(62)
} else if cfg!(target_arch = "aarch64") {
    Some(183)
} else if cfg!(target_arch = "x86") {
    Some(3)
} else if cfg!(target_arch = "arm") {
    Some(40)
} else if cfg!(any(target_arch = "riscv64", target_arch = "riscv32")) {
    Some(243)
} else {
    None
};

/// Checks magic, class, byte order, kind and machine, then that everything that the headers place in
/// the file ends within it, then all that the loader goes by: the segments, the dynamic section, its
/// tables, and each relocation.
///
/// # Errors
/// The first [`Misfit`].
pub(crate) fn check(file: &[u8]) -> Result<(), Misfit> {
    if !file.starts_with(&MAGIC[..file.len().min(MAGIC.len())]) {
        return Err(Misfit::Foreign("not an ELF file"));
    }
    let size = file.len() as u64;
    let within = |end: u64| {
        if end <= size { Ok(()) } else { Err(Misfit::Truncated { needs: end }) }
    };
    within(HEADER_BYTES)?;
    identity(file)?;
    let (programs, sections) = tables(file);
    // The section table mostly stands at the end, so that it tells the size of the whole file.
    within(programs.end.max(sections.end))?;
    let ends = programs.step_by(PROGRAM_HEADER_BYTES as usize).map(|header| {
        let (offset, length) = if WIDE { (8, 32) } else { (4, 16) };
        word(file, header + offset).saturating_add(word(file, header + length))
    });
    within(ends.max().unwrap_or(0))?;
    let Some(kinds) = relocations::KINDS else { return Ok(()) };
    let image = image::Image::new(file);
    image.and_then(|image| dynamic::check(&image, &kinds)).map_err(Misfit::Damaged)
}

fn identity(file: &[u8]) -> Result<(), Misfit> {
    let machine = number(file, 18, 2);
    let checks = [
        (file[4] == CLASS, "an ELF file of another word size than this program"),
        (file[5] == ORDER, "an ELF file of another byte order than this host"),
        (number(file, 16, 2) == SHARED, "an ELF file, and not a shared library"),
        (MACHINE.is_none_or(|ours| ours == machine), "built for another kind of processor"),
    ];
    match checks.into_iter().find(|(good, _)| !good) {
        Some((_, reason)) => Err(Misfit::Foreign(reason)),
        None => Ok(()),
    }
}

/// Where the tables of program headers and of section headers lie.
fn tables(file: &[u8]) -> (Range<u64>, Range<u64>) {
    let (programs, sections, counts) = if WIDE { (32, 40, 56) } else { (28, 32, 44) };
    let table = |start: u64, count: u64, each: u64| start..start.saturating_add(count * each);
    let (program_count, section_count) = (number(file, counts, 2), number(file, counts + 4, 2));
    (
        table(word(file, programs), program_count, PROGRAM_HEADER_BYTES),
        table(word(file, sections), section_count, SECTION_HEADER_BYTES),
    )
}

/// A file offset or size.
fn word(file: &[u8], at: u64) -> u64 {
    number(file, at, size_of::<usize>())
}

/// A number in the byte order of this host. The caller has checked that it lies in the file.
fn number(file: &[u8], at: u64, bytes: usize) -> u64 {
    let at = usize::try_from(at).expect("invariant: within a file that is in memory");
    let field = &file[at..at + bytes];
    let shifted = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if ORDER == 1 { field.iter().rev().fold(0, shifted) } else { field.iter().fold(0, shifted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This very test: an ELF file of this host, mostly a position-independent one.
    fn library() -> Vec<u8> {
        let mut file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        file[16..18].copy_from_slice(&3_u16.to_ne_bytes());
        file
    }

    #[test]
    fn a_whole_library_passes_and_no_part_of_it_does() {
        let file = library();
        assert_eq!(check(&file), Ok(()));
        let size = file.len();
        for length in [0, 1, 4, 5, 63, 64, 100, 4096, size / 2, size - 1] {
            let Err(Misfit::Truncated { needs }) = check(&file[..length]) else {
                panic!("{length} of {size} bytes: {:?}", check(&file[..length]));
            };
            assert!(needs > length as u64 && needs <= size as u64, "{length}: {needs}");
        }
    }

    #[test]
    fn what_is_for_another_host_is_told_by_its_header() {
        let cases: [(usize, u8, &str); 5] = [
            (0, b'#', "not an ELF file"),
            (4, 3 - CLASS, "word size"),
            (5, 3 - ORDER, "byte order"),
            (16, 7, "not a shared library"),
            (18, 0x7f, "processor"),
        ];
        for (at, value, expected) in cases {
            let mut file = library();
            file[at] = value;
            let Err(Misfit::Foreign(reason)) = check(&file) else { panic!("{expected}") };
            assert!(reason.contains(expected), "{reason}");
        }
        assert_eq!(check(b"a text"), Err(Misfit::Foreign("not an ELF file")));
    }

    /// Where the program header of that type is.
    fn header(file: &[u8], kind: u64) -> Option<usize> {
        let (programs, _) = tables(file);
        let mut headers = programs.step_by(PROGRAM_HEADER_BYTES as usize);
        headers.find(|at| number(file, *at, 4) == kind).map(|at| at as usize)
    }

    #[test]
    fn what_linkers_round_up_to_pages_is_right() {
        const RELRO: u64 = 0x6474_e552;
        let mut file = library();
        let at = header(&file, RELRO).expect("linkers of today make it");
        let start = number(&file, at as u64 + 16, 8);
        let load = {
            let (programs, _) = tables(&file);
            let mut loads = programs
                .step_by(PROGRAM_HEADER_BYTES as usize)
                .filter(|at| number(&file, *at, 4) == 1)
                .map(|at| (number(&file, at + 16, 8), number(&file, at + 40, 8)));
            loads.find(|(from, bytes)| (*from..from + bytes).contains(&start)).unwrap()
        };
        let end_of_page = (load.0 + load.1).next_multiple_of(4096);
        // As lld up to 17 has it; and a page that is not there.
        for (end, expected) in [(end_of_page, true), (end_of_page + (1 << 21), false)] {
            file[at + 40..at + 48].copy_from_slice(&(end - start).to_ne_bytes());
            assert_eq!(check(&file).is_ok(), expected, "{end:#x} of {load:#x?}");
        }
    }

    #[test]
    fn storage_of_threads_that_is_all_zeros_may_be_between_two_segments() {
        const TLS: u64 = 7;
        let mut file = library();
        let at = header(&file, TLS).expect("the standard library has some");
        // In no segment; as today's lld has it where that is aligned widely.
        file[at + 16..at + 24].copy_from_slice(&(1_u64 << 46).to_ne_bytes());
        assert!(matches!(check(&file), Err(Misfit::Damaged(_))));
        file[at + 32..at + 40].fill(0);
        assert_eq!(check(&file), Ok(()));
    }

    #[test]
    fn absurd_headers_do_not_overflow() {
        let mut file = library();
        file[24..HEADER_BYTES as usize].fill(0xff);
        assert_eq!(check(&file), Err(Misfit::Truncated { needs: u64::MAX }));
    }
}
