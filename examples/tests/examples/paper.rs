//! What is written about the examples: each says its own command at its head, and the README has it
//! too; the code and configuration in the README are real.

use std::fs;
use std::path::{Path, PathBuf};

use crate::PROGRAMS;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()))
}

fn readme() -> String {
    read(folder().join("../README.md"))
}

/// The texts of the README's blocks in a language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut parts = readme.split("\n```");
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        let (tag, text) = block.split_once('\n').unwrap_or((block, ""));
        if tag.split(',').next() == Some(language) {
            found.push(text.to_owned());
        }
    }
    found
}

#[test]
fn every_example_is_listed_with_its_command() {
    let readme = readme();
    let mut found = 0;
    for entry in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(source) = fs::read_to_string(entry.join("main.rs")) else { continue };
        if entry.ends_with("tests") {
            continue;
        }
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        let command = format!("cargo run -p skymesh-examples --bin {name}");
        let head: Vec<&str> = source.lines().take_while(|line| line.starts_with("//!")).collect();
        let says = |line: &&str| line.trim_start_matches("//!").trim() == command;
        assert!(head.iter().any(says), "{name}: its head lacks `{command}`");
        let row = format!("| [`{name}`](examples/{name}) | `{command}` |");
        assert!(readme.contains(&row), "README.md lacks the row {row}");
        assert!(PROGRAMS.iter().any(|(program, _)| *program == name), "{name} is not tested");
        found += 1;
    }
    assert_eq!(found, PROGRAMS.len());
}

#[test]
fn the_two_commands_are_the_demo_and_what_ci_runs() {
    let readme = readme();
    let commands: Vec<String> = blocks(&readme, "sh");
    let lines: Vec<&str> = commands[0].lines().collect();
    assert_eq!(lines, ["cargo run -p skymesh-examples --bin demo", "cargo test --workspace"]);
    let ci = read(folder().join("../.ci/run"));
    let last = ci.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with('#'));
    assert_eq!(last, Some(lines[1]), "the last thing that .ci/run does");
}

#[test]
fn the_plugin_in_the_readme_is_the_example_and_has_less_than_40_lines() {
    let source = read(folder().join("custom_selector/plugin/src/lib.rs"));
    assert!(source.lines().count() < 40, "{} lines", source.lines().count());
    let shown = blocks(&readme(), "rust");
    assert!(shown.iter().any(|block| block.trim() == source.trim()), "README.md shows another one");
}

#[test]
fn the_configurations_in_the_readme_and_of_the_examples_are_valid() {
    let shown = blocks(&readme(), "toml");
    let configurations: Vec<&String> =
        shown.iter().filter(|text| !text.starts_with("[dependencies]")).collect();
    assert!(!configurations.is_empty(), "README.md shows no configuration");
    for text in configurations {
        skymesh::Config::from_toml(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    }
    for (name, _) in PROGRAMS {
        let text = read(folder().join(name).join("mesh.toml"));
        skymesh::Config::from_toml(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn what_the_quick_start_depends_on_is_there() {
    let shown = blocks(&readme(), "toml");
    let dependencies = shown.iter().find(|text| text.starts_with("[dependencies]")).unwrap();
    let (_, path) = dependencies.split_once("\"../skymesh/").expect("a path into this checkout");
    let (path, rest) = path.split_once('"').unwrap();
    let manifest = read(folder().join("..").join(path).join("Cargo.toml"));
    assert!(manifest.contains("name = \"skymesh\"\n"), "{manifest}");
    // What `#[tokio::main]` needs.
    assert!(rest.contains(r#"features = ["macros", "rt-multi-thread"]"#), "{rest}");
}

/// Holds the excerpt in the README against what the demo has printed: the same lines in the same order,
/// but for what differs each time. `[...]` stands for any number of lines.
pub(crate) fn the_excerpt_is_of(printed: &str) {
    let shown = blocks(&readme(), "text");
    let excerpt = shown.iter().find(|text| text.starts_with("1. ")).expect("an excerpt");
    let printed: Vec<String> = printed.lines().map(masked).collect();
    let mut at = 0;
    for part in excerpt.trim_end().split("\n[...]\n") {
        let part: Vec<String> = part.trim_matches('\n').lines().map(masked).collect();
        let found = printed[at..].windows(part.len()).position(|lines| lines == part);
        let lacks = || part.iter().find(|line| !printed.contains(*line));
        let found = found.unwrap_or_else(|| panic!("the demo does not print so: {:?}", lacks()));
        at += found + part.len();
    }
}

/// A line without what differs each time: numbers, how long the bars are, and in which folders the
/// libraries lie; of a path, the file's name remains.
fn masked(line: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(['(', ')', ',', ';', ':', '.']);
        if bare.starts_with('#') {
            return None;
        }
        let number = bare.starts_with(|first: char| first.is_ascii_digit());
        let name = bare.rsplit('/').next().filter(|_| bare.starts_with('/'));
        let kept = match name {
            _ if number => "N",
            Some(file) if file.contains('.') => file,
            Some(_) => "FOLDER",
            None => bare,
        };
        Some(word.replace(bare, kept))
    };
    line.split_whitespace().filter_map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_differs_each_time_is_masked_and_nothing_else() {
    let cases = [
        ("   server 1  ###    1099  111 keys, killed", "server N N N keys, killed"),
        ("ok  codec compact is /home/x/libc.so, in all", "ok codec compact is libc.so, in all"),
        ("library `a` in /home/x/deps, /home/x", "library `a` in FOLDER, FOLDER"),
        ("4. kill -9 14185: server 2 dies", "N. kill -9 N: server N dies"),
        ("after 1.0s; 9ms (others 7)", "after N; N (others N)"),
    ];
    for (line, expected) in cases {
        assert_eq!(masked(line), expected);
    }
}
