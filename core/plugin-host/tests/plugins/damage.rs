//! Libraries of full length with a part that was changed: each is refused, or opens; none ends the
//! process. Another process has a look at them, for what is tested would end the test.
//!
//! What is damaged is all that the system's loader goes by. In code and constants anything may be right,
//! so a damage there is a matter of pins, and not tried here.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use skymesh_plugin_host::inspect;

use crate::fixture::{Folder, built, file_name, set_mode};

const LIBRARY: &str = "skymesh_fixture_orderly";
/// Names the folder for the child.
const FOLDER: &str = "SKYMESH_DAMAGE_FOLDER";
/// How many damaged libraries one child opens: they stay mapped.
const BATCH: usize = 16;
const PAGE: usize = 4096;
const RELOCATION: usize = 24;

struct Case {
    name: String,
    file: Vec<u8>,
    /// It can't be right in any library.
    is_impossible: bool,
}

fn number(file: &[u8], at: usize, bytes: usize) -> usize {
    file[at..at + bytes].iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
}

/// Name, type and place in the file of each section that is loaded with content.
fn sections(file: &[u8]) -> Vec<(String, usize, Range<usize>)> {
    let (table, count, names) = (number(file, 40, 8), number(file, 60, 2), number(file, 62, 2));
    let names = number(file, table + names * 64 + 24, 8);
    let all = (0..count).map(|index| table + index * 64);
    let loaded = all.filter(|at| number(file, at + 8, 8) & 2 != 0 && number(file, at + 4, 4) != 8);
    let described = loaded.map(|at| {
        let name = &file[names + number(file, at, 4)..];
        let name = name.split(|byte| *byte == 0).next().unwrap();
        let (start, length) = (number(file, at + 24, 8), number(file, at + 32, 8));
        (String::from_utf8(name.into()).unwrap(), number(file, at + 4, 4), start..start + length)
    });
    described.collect()
}

/// The library with its `range` changed.
fn damaged(whole: &[u8], name: &str, range: Range<usize>, change: impl Fn(u8) -> u8) -> Case {
    let mut file = whole.to_owned();
    let name = format!("{name}-{:x}", range.start);
    file[range].iter_mut().for_each(|byte| *byte = change(*byte));
    Case { name, file, is_impossible: false }
}

/// Each page of what the loader reads, zeroed and inverted; of what it writes to, inverted; and one bit
/// each of some relocations' types.
fn cases(whole: &[u8]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, kind, range) in sections(whole) {
        // PROGBITS is what linkers know nothing of, RELA are relocations.
        let (is_table, is_written, relocates) = (kind != 1, name == ".data.rel.ro", kind == 4);
        for start in range.clone().step_by(PAGE).filter(|_| is_table || is_written) {
            let end = range.end.min(start + PAGE);
            let inverted = damaged(whole, &name, start..end.min(start + 4000), |byte| !byte);
            cases.push(Case { is_impossible: relocates, ..inverted });
            if is_table {
                let zeros = damaged(whole, &format!("{name}-zeros"), start..end, |_| 0);
                cases.push(Case { is_impossible: relocates, ..zeros });
            }
        }
        // A linear congruential generator's high bits are random enough.
        let step = |seed: &u64| Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let seeds = std::iter::successors(Some(2026), step).map(|seed| (seed >> 33) as usize);
        for seed in seeds.take(if name == ".rela.dyn" { 32 } else { 0 }) {
            let entry = seed % (range.len() / RELOCATION);
            let at = range.start + entry * RELOCATION + 8;
            // One of the upper bits: no type of that many is known, on any machine.
            let bit = 12 + seed % 20;
            let (at, mask) = (at + bit / 8, 1 << (bit % 8));
            let flipped = damaged(whole, "type", at..at + 1, |byte| byte ^ mask);
            cases.push(Case { is_impossible: true, ..flipped });
        }
    }
    // What a newcomer did, and what ended the nameserver.
    let found = damaged(whole, "newcomer", 0x1000..0x1000 + 4000, |byte| !byte);
    cases.push(Case { is_impossible: true, ..found });
    cases.push(Case { name: "whole".into(), file: whole.to_owned(), is_impossible: false });
    cases
}

fn put(root: &Path, case: &Case) {
    let place = root.join(&case.name);
    std::fs::create_dir_all(&place).unwrap();
    set_mode(&place, 0o755);
    std::fs::write(place.join(file_name(LIBRARY)), &case.file).unwrap();
    set_mode(&place.join(file_name(LIBRARY)), 0o755);
}

#[test]
#[ignore = "it is the child of the other test"]
fn child() {
    let root = std::env::var_os(FOLDER).expect("only the other test starts this one");
    let folder = Folder::new();
    for place in std::fs::read_dir(root).unwrap() {
        let place = place.unwrap();
        println!("\nlooks at {}", place.file_name().display());
        let found = inspect(&place.path().join(file_name(LIBRARY)), &folder.config());
        let error = found.error.map_or("none".to_owned(), |error| error.to_string());
        println!("\nanswer {} {error}", place.file_name().display());
    }
}

#[test]
fn damage_to_what_the_loader_goes_by_is_refused_and_ends_nobody() {
    let whole = std::fs::read(built().join(file_name(LIBRARY))).unwrap();
    let cases = cases(&whole);
    assert!(cases.iter().filter(|case| case.is_impossible).count() > 32, "{}", cases.len());
    for batch in cases.chunks(BATCH) {
        let folder = Folder::new();
        batch.iter().for_each(|case| put(&folder.path(), case));
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "damage::child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {said}\n{errors}", output.status);
        for case in batch {
            let prefix = format!("answer {} ", case.name);
            let answer = said.lines().find_map(|line| line.strip_prefix(&prefix)).expect(&prefix);
            if case.is_impossible {
                let file = folder.path().join(&case.name).join(file_name(LIBRARY));
                let expected = format!("{}: damaged: its relocation", file.display());
                assert!(answer.starts_with(&expected), "{}: {answer}", case.name);
            }
            assert!(case.name != "whole" || answer == "none", "{answer}");
        }
    }
}
