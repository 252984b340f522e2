//! The tutorial for authors of plugins, followed to the letter: its commands are taken from its text
//! and run in an empty folder, in their order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::program;

const TUTORIAL: &str = include_str!("../../../plugin-api/src/tutorial.md");

/// From an empty folder to running in the demo; what comes after this heading is more than that.
const END: &str = "\n# Going on\n";
/// What the text has replaced by its next piece of code.
const REPLACED: &str = ".min_by_key(|index| view.stats(*index).in_flight())";
/// So many commands it may take.
const MOST: usize = 5;

/// The texts of the blocks that begin with a tag.
fn blocks<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    let fences = text.split("```").collect::<Vec<_>>();
    let inside = fences.iter().skip(1).step_by(2);
    inside.filter_map(|block| block.strip_prefix(&format!("{tag}\n"))).collect()
}

fn commands(text: &str) -> Vec<&str> {
    blocks(text, "sh").iter().flat_map(|block| block.lines()).collect()
}

/// All blocks in their order: their tags and texts.
fn steps(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let inside = text.split("```").skip(1).step_by(2);
    inside.filter_map(|block| block.split_once('\n'))
}

/// The binary `skymesh`, beside the demo. `cargo test --workspace` has built it.
fn skymesh() -> PathBuf {
    let path = Path::new(program("demo")).with_file_name("skymesh");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/cli");
    let built = path.metadata().and_then(|found| found.modified()).ok();
    if built.is_none_or(|built| newest(&sources) > built) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "-p", "skymesh-cli"]).current_dir(sources);
        assert!(cargo.status().unwrap().success(), "skymesh can't be built");
    }
    path
}

/// When anything below a folder was changed last.
fn newest(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let times = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => newest(&entry.path()),
        false => entry.metadata().unwrap().modified().unwrap(),
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A shell in the author's folder, with the programs in its path and nothing of this test's cargo.
fn shell(folder: &Path, skymesh: &Path) -> Command {
    let mut shell = Command::new("sh");
    for (name, _) in std::env::vars() {
        let of_cargo = name.starts_with("CARGO_") && name != "CARGO_HOME";
        if of_cargo || name.starts_with("SKYMESH_") || name == "RUSTFLAGS" {
            shell.env_remove(name);
        }
    }
    let programs = skymesh.parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    shell
        .current_dir(folder)
        .env("PATH", path)
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        // As the tutorial says: the folder of a build may belong to a group that may write there.
        .env("SKYMESH_PLUGINS__ALLOW_INSECURE_DIRS", "true")
        .env("SKYMESH_PLUGINS__CACHE_DIR", folder.with_file_name("cache"));
    shell
}

/// What a command must say, besides succeeding.
fn expected(command: &str) -> &'static [&'static str] {
    let said: [(&str, &[&str]); 7] = [
        ("skymesh plugin new", &[".: selector `my_router`, for skymesh-plugin-api "]),
        ("cargo test", &["test tests::keeps_the_contract ... ok"]),
        ("cargo build --release", &["Finished `release` profile"]),
        (
            "skymesh plugin check",
            &["my_router.so: ok\n", "  built     release, ", "keeps its contract"],
        ),
        (
            "demo --selector my_router",
            &[
                "ok  9000 messages sent, 9000 received, each of them once",
                "/target/release/libskymesh_selector_my_router.so",
                "claims, all of them checked",
            ],
        ),
        (
            "skymesh plugin bench",
            &["selector my_router of skymesh_selector_my_router 0.1.0, release"],
        ),
        // What else it says stands in the text, and is compared with that.
        ("skymesh sim", &["slow-node: 11 instances"]),
    ];
    let found = said.iter().find(|(start, _)| command.starts_with(start));
    found.map(|(_, said)| *said).unwrap_or_else(|| panic!("this test knows nothing of `{command}`"))
}

#[test]
fn it_takes_five_commands_and_each_of_them_does_what_it_says() {
    let (main, rest) = TUTORIAL.split_once(END).expect("the heading");
    assert!((1..=MOST).contains(&commands(main).len()), "{:?}", commands(main));

    let skymesh = skymesh();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial");
    let folder = root.join("author");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (number, command) in commands(main).iter().enumerate() {
        run(&folder, &skymesh, command);
        if number == 0 {
            // What cargo builds is kept for the next run of this test.
            let target = root.join("target");
            fs::create_dir_all(&target).unwrap();
            std::os::unix::fs::symlink(target, folder.join("target")).unwrap();
        }
    }

    let shown = blocks(TUTORIAL, "")[0].lines().filter(|line| !line.starts_with("# "));
    let made = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
    assert!(made.lines().eq(shown), "the tutorial shows another file than is made:\n{made}");
    go_on(rest, &folder, &skymesh);
}

/// The rest of the text: commands, a change of the code, and what the virtual fleet makes of it.
fn go_on(rest: &str, folder: &Path, skymesh: &Path) {
    let mut said = String::new();
    for (tag, text) in steps(rest) {
        match tag {
            "sh" => said = text.lines().map(|command| run(folder, skymesh, command)).collect(),
            "text" => {
                let said: Vec<String> = said.lines().map(words).collect();
                let missing = text.lines().map(words).find(|line| !said.contains(line));
                assert_eq!(missing, None, "the text shows what was not said: {said:#?}");
            }
            _ => {
                let file = folder.join("src/lib.rs");
                let code = fs::read_to_string(&file).unwrap();
                let changed = code.replacen(REPLACED, text, 1);
                assert!(rest.contains(REPLACED) && changed != code, "{REPLACED} is not there");
                fs::write(file, changed).unwrap();
            }
        }
    }
}

/// Runs a command of the text; answers what it said, which is what the text promises of it.
fn run(folder: &Path, skymesh: &Path, command: &str) -> String {
    let command = format!("umask 022; {command}");
    let output = shell(folder, skymesh).args(["-c", &command]).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let command = command.trim_start_matches("umask 022; ");
    assert!(output.status.success(), "{command}: {said}");
    for part in expected(command) {
        assert!(said.contains(part), "{command}: `{part}` is missing in {said}");
    }
    said
}

/// A line without how wide its columns are.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn its_configuration_is_valid() {
    let shown = blocks(TUTORIAL, "toml");
    assert_eq!(shown.len(), 1);
    skymesh::Config::from_toml(shown[0]).unwrap();
}
