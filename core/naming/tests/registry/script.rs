//! Scripts: lines of inputs, each followed by the actions that the registry answered. The files in
//! `scripts/` are inputs and expected outputs at once; `SKYMESH_BLESS=1` writes them anew, for a
//! human to read before committing.
//!
//! A line is `TIME WHO WHAT...`: milliseconds, a letter for the connection (or `op`, or `-` to let
//! time pass), an input. Before it, the clock is run to `TIME` with a tick at every deadline.
//! `room/1` means `app.env.room/1`. Lines that begin with `  ` are actions, `#` begins a case, and
//! `config KEY=VALUE...` changes the registry that the case starts with.

mod elector;
mod parse;
mod print;

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use skymesh_naming::{Action, Input, Registry};
use skymesh_types::RegistryId;

struct Player {
    registry: Registry,
    transcript: String,
}

impl Player {
    fn new(settings: &str) -> Self {
        let (config, elector) = parse::settings(settings);
        let registry = Registry::new(config, RegistryId::new(7).unwrap(), Duration::ZERO);
        let registry = match elector {
            Some(elector) => registry.with_elector(elector),
            None => registry,
        };
        Self { registry, transcript: String::new() }
    }

    fn handle(&mut self, now: Duration, input: Input) {
        let mut actions: Vec<Action> = Vec::new();
        self.registry.handle(now, input, &mut actions);
        for action in &actions {
            let line = format!("  {} {}\n", now.as_millis(), print::action(action));
            self.transcript.push_str(&line);
        }
    }

    fn run_to(&mut self, now: Duration) {
        while let Some(due) = self.registry.next_deadline().filter(|due| *due <= now) {
            self.handle(due, Input::Tick);
        }
    }

    fn play(&mut self, line: &str) {
        let (now, input) = parse::line(line);
        match input {
            Some(parse::Step::Late) => self.handle(now, Input::Tick),
            Some(parse::Step::Input(input)) => {
                self.run_to(now);
                self.handle(now, input);
            }
            None => self.run_to(now),
        }
    }
}

/// Plays the inputs of a file and gives the file as it should be.
fn play(script: &str) -> String {
    let mut player = Player::new("");
    let mut out = String::new();
    for line in script.lines().filter(|line| !line.starts_with("  ")) {
        out.push_str(line);
        out.push('\n');
        if line.starts_with('#') {
            player = Player::new("");
        } else if let Some(settings) = line.strip_prefix("config ") {
            player = Player::new(settings);
        } else if !line.is_empty() {
            player.play(line);
            out.push_str(&std::mem::take(&mut player.transcript));
        }
    }
    out
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/registry/scripts")
        .join(name)
        .with_extension("txt");
    let script = fs::read_to_string(&path).unwrap();
    let played = play(&script);
    assert_eq!(played, play(&script), "the same inputs give the same actions");
    if env::var_os("SKYMESH_BLESS").is_some() {
        fs::write(&path, played).unwrap();
        return;
    }
    let mut case = "";
    for (line, (expected, got)) in script.lines().zip(played.lines()).enumerate() {
        case = if expected.starts_with('#') { expected } else { case };
        assert_eq!(got, expected, "{} line {}, {case}", path.display(), line + 1);
    }
    assert_eq!(script.lines().count(), played.lines().count(), "{}: {case}", path.display());
}

macro_rules! scripts {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })+
    };
}
scripts! {
    sessions registrations attributes watches coalescing slow_watchers mass_loss recovery operators
    whole_app limits elections preemption placement rounds
}
