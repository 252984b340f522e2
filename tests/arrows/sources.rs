//! The text of a crate without I/O, searched for what it must not name.

use std::fs;
use std::path::Path;

/// Clocks, threads, files, sockets and dice of the standard library, as they are written.
const FORBIDDEN: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::fs",
    "std::io::Read",
    "std::io::Write",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::process",
    "RandomState",
    "thread_rng",
];

/// Where sources below `folder` name any of it outside of their tests: the file, the line and the
/// name.
pub(crate) fn forbidden_below(folder: impl AsRef<Path>) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                found.extend(forbidden_below(&path));
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(forbidden_in(&text).map(|what| format!("{}: {what}", path.display())));
        }
    }
    found
}

/// As [`forbidden_below`], in one source; its tests come last, as everywhere here.
fn forbidden_in(text: &str) -> impl Iterator<Item = String> {
    let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let code = shipped.lines().enumerate().filter(|(_, line)| !line.trim().starts_with("//"));
    code.flat_map(|(at, line)| {
        let named = FORBIDDEN.iter().filter(|name| line.contains(**name));
        named.map(move |name| format!("line {}: {name}", at + 1)).collect::<Vec<_>>()
    })
}

#[test]
fn what_is_forbidden_is_found_outside_of_comments_and_tests() {
    let text = "// SystemTime\nlet now = Instant::now();\n#[cfg(test)]\nmod tests {\nstd::fs::read();\n}\n";
    assert_eq!(forbidden_in(text).collect::<Vec<_>>(), ["line 2: Instant::now"]);
}
