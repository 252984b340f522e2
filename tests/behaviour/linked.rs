//! The program `skymesh` as one file: everything that needs plugins finds them in the executable.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use skymesh_agent::{Agent, Event, Inbox, Instance};
use skymesh_tests::{SOON, next_event, within};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

/// The executable alone in a folder, away from the libraries that cargo has built.
struct OneFile(TempDir);

impl OneFile {
    fn new() -> Self {
        // A link: what was just written can't be run while another thread of this process forks.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let program = env!("CARGO_BIN_EXE_skymesh-linked");
        std::fs::hard_link(program, folder.path().join("skymesh")).unwrap();
        Self(folder)
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("skymesh")
    }

    fn config(&self, text: &str) -> String {
        let file = self.0.path().join("mesh.toml");
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    /// Standard output of a run that succeeds.
    fn says(&self, arguments: &[&str]) -> String {
        let output = Command::new(self.program()).args(arguments).env_clear().output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out
    }
}

#[test]
fn plugins_are_checked_measured_and_simulated_without_a_library_file() {
    let one = OneFile::new();
    let config = one.config(
        r#"
        [services."app.*.*"]
        selector = { use = "p2c" }
        codec = { use = "zstd" }
        election = { use = "lowest_id" }
        "#,
    );
    one.says(&["config", "check", &config]);
    let schema = one.says(&["plugin", "schema", "quality"]);
    assert!(schema.contains("sharpness"), "{schema}");
    let bench = ["plugin", "bench", "round_robin", "--rounds", "1", "--calls", "1000"];
    assert!(one.says(&bench).contains("round_robin"));
    let sim = one.says(&["sim", "round_robin", "p2c", "--scenario", "steady", "--duration", "1s"]);
    assert!(sim.contains("round_robin") && sim.contains("p2c"), "{sim}");
    // Without the stock in it the same would be told as missing: the name is looked for in files.
    let unknown =
        ["config", "check", &one.config("[services.\"a.b.c\"]\nselector = { use = \"no\" }")];
    let output = Command::new(one.program()).args(unknown).env_clear().output().unwrap();
    assert!(!output.status.success());
}

async fn candidate(agent: &Agent, instance: u64) -> (Instance, Inbox) {
    let url = format!("app.test.room/{instance}");
    let (candidate, inbox) = agent.register(url.as_str()).await.unwrap();
    within(SOON, candidate.run_for_leader().into_future()).await.unwrap();
    (candidate, inbox)
}

/// The built-in rule would leave whoever came first in its seat.
#[tokio::test]
async fn a_nameserver_holds_elections_by_an_algorithm_that_is_linked() {
    let one = OneFile::new();
    let config = one.config(
        r#"
        [nameserver]
        listen = "127.0.0.1:0"
        lease = "1s"
        recovery = "0s"
        store = { kind = "memory" }
        [services."app.*.*"]
        election = { use = "lowest_id" }
        "#,
    );
    let mut command = tokio::process::Command::new(one.program());
    command.args(["nameserver", "--config", &config]).env_clear();
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut nameserver = command.spawn().unwrap();
    let mut lines = BufReader::new(nameserver.stdout.take().unwrap()).lines();
    let line = within(SOON, lines.next_line()).await.unwrap().unwrap();
    let address = line.strip_prefix("listening on ").unwrap();
    let agent = Agent::builder().app("app").nameserver(address).connect().await.unwrap();
    let elected = |event: &Event| matches!(event, Event::Elected { .. }).then_some(());
    let (_second, mut second) = candidate(&agent, 2).await;
    next_event(&mut second, elected).await;
    let (_first, mut first) = candidate(&agent, 1).await;
    next_event(&mut first, elected).await;
}
