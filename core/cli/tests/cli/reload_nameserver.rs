//! Reloads of a nameserver process: by `skymesh reload --nameserver`, by SIGHUP, and by files that change.

use std::fs::{copy, read, rename, write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use skymesh::{Agent, Inbox, Leadership};
use tempfile::TempDir;
use tokio::io::{BufReader, Lines};
use tokio::process::ChildStderr;
use tokio::time::timeout;

use crate::binary::{Answer, Running, run};

/// A guard against waiting for ever; nothing waits for this to pass.
const GUARD: Duration = Duration::from_secs(60);

const FOREMOST: &str =
    "[services.'shop.*.*']\nelection = { use = 'skymesh_fixture_orderly/foremost' }\n";

/// A nameserver process, its configuration file, and what it logs.
struct Stage {
    nameserver: Running,
    log: Lines<BufReader<ChildStderr>>,
    folder: TempDir,
}

impl Stage {
    async fn start(keys: &str, tables: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path().join("mesh.toml"), text(folder.path(), keys, tables)).unwrap();
        let (nameserver, log) = Running::start_telling_by(&folder.path().join("mesh.toml")).await;
        Self { nameserver, log, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("mesh.toml")
    }

    /// Writes the file anew.
    fn write(&self, keys: &str, tables: &str) {
        write(self.file(), text(self.folder.path(), keys, tables)).unwrap();
    }

    /// The next line of the log that tells of a reload.
    async fn hears(&mut self) -> String {
        let told = async {
            loop {
                let line = self.log.next_line().await.unwrap().expect("the log goes on");
                if line.contains(" reload: ") || line.contains(" reload refused: ") {
                    return line;
                }
            }
        };
        timeout(GUARD, told).await.expect("the log tells of a reload")
    }

    /// Asks the nameserver as an operator who has its token.
    async fn operate(&self, command: &[&str]) -> Answer {
        let token = self.folder.path().join("data/admin.token");
        let address = self.nameserver.address.as_str();
        let place = ["--nameserver", address, "--token-file", token.to_str().unwrap()];
        run(&[command, &place].concat()).await
    }
}

/// A file with these keys of `[nameserver]`, and these tables.
fn text(folder: &Path, keys: &str, tables: &str) -> String {
    let data = folder.join("data").display().to_string();
    format!(
        "[nameserver]\nlisten = '127.0.0.1:0'\nlease = '1s'\n{keys}\n\
         [nameserver.store]\npath = '{data}'\n{tables}"
    )
}

/// A candidate that leads: there is no other.
async fn leader(stage: &Stage) -> (Agent, Inbox, Leadership) {
    let agent = Agent::builder().app("shop").nameserver(&stage.nameserver.address);
    let agent = agent.connect().await.unwrap();
    let (instance, inbox) = agent.register("shop.test.till/7").await.unwrap();
    instance.run_for_leader().await.unwrap();
    let elected = timeout(GUARD, instance.elected()).await;
    let leadership = elected.expect("it is elected").unwrap();
    (agent, inbox, leadership)
}

#[tokio::test]
async fn a_nameserver_reloads_on_hangup_and_for_operators_and_its_leaders_stay() {
    let mut stage = Stage::start("", FOREMOST).await;
    let (agent, _inbox, leadership) = leader(&stage).await;
    let idle = stage.operate(&["reload"]).await;
    assert_eq!(idle.good(), "nothing changed: configuration 0 holds\n");
    assert!(stage.hears().await.contains("reload: nothing changed"));

    // Another rule, another level of the log, and what needs a restart.
    stage.write(
        "history = 7",
        "[log]\nlevel = 'debug'\n[services.'shop.test.*']\nelection = { use = 'builtin' }\n",
    );
    stage.nameserver.signal(Signal::HUP);
    let told = stage.hears().await;
    for part in [
        "INFO",
        "reload: configuration 1 holds",
        "election of shop.*.*: skymesh_fixture_orderly/foremost 0.4.1 -> no rule",
        "log.level: \"info\" -> \"debug\"",
        "needs a restart: nameserver.history: 1024 -> 7",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }

    // A mistake: the reason is named, and all goes on.
    stage.write("", "[services.'shop.*.*']\nelection = { use = 'foremst' }\n");
    let refused = stage.operate(&["reload"]).await;
    assert_eq!(
        (refused.code, refused.stdout.as_str()),
        (Some(1), "refused: configuration 1 still holds\n")
    );
    let reason = "services.\"shop.*.*\".election: election `foremst` not found";
    assert!(refused.stderr.contains(reason), "{refused:?}");
    let told = stage.hears().await;
    assert!(told.contains("WARN") && told.contains(reason), "{told}");
    stage.write("", "[nameservers]\n");
    let refused = stage.operate(&["reload"]).await;
    assert!(refused.stderr.contains("unknown key `nameservers`"), "{refused:?}");

    stage.write("", FOREMOST);
    let applied = stage.operate(&["reload"]).await;
    let line = "  election of shop.*.*: no rule -> skymesh_fixture_orderly/foremost 0.4.1";
    assert!(applied.good().lines().any(|one| one == line), "{applied:?}");
    assert!(!applied.stdout.contains("restart"), "the file is as at the start: {applied:?}");
    assert!(leadership.is_valid(), "four reloads later it still leads");

    let listed = stage.operate(&["plugin", "list"]).await;
    let row = |start: &str| listed.good().lines().find(|line| line.starts_with(start));
    assert!(row("foremost ").unwrap().contains("active"), "{listed:?}");
    assert!(row("shop.*.* ").unwrap().ends_with("foremost 0.4.1  healthy"), "{listed:?}");
    assert!(row("last reload: configuration 2 holds").is_some(), "{listed:?}");
    let json = stage.operate(&["plugin", "list", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(json.good()).unwrap();
    assert_eq!(json["elections"][0]["pattern"], "shop.*.*");
    agent.shutdown().await;
    assert_eq!(stage.nameserver.end(Signal::TERM).await.0, Some(0));
}

#[tokio::test]
async fn a_nameserver_notices_files_that_change() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!(
        "{}skymesh_fixture_orderly{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let built = Path::new(env!("CARGO_BIN_EXE_skymesh")).parent().unwrap().join("deps").join(&name);
    let library = folder.path().canonicalize().unwrap().join(&name);
    copy(&built, &library).unwrap();
    let tables = format!("[[plugins.load]]\npath = '{}'\n{FOREMOST}", library.display());
    let mut stage = Stage::start("watch_files = '10ms'", &tables).await;

    // Another content under the same name: to the loader, another library.
    let other = folder.path().join("new");
    write(&other, [read(&built).unwrap(), b"other".to_vec()].concat()).unwrap();
    rename(&other, &library).unwrap();
    let told = stage.hears().await;
    let exchanged = "election of shop.*.*: skymesh_fixture_orderly/foremost 0.4.1 -> skymesh_fixture_orderly/foremost 0.4.1";
    assert!(told.contains("configuration 1 holds") && told.contains(exchanged), "{told}");

    // Half a library is refused, and the one that serves goes on.
    let bytes = read(&built).unwrap();
    write(&other, &bytes[..bytes.len() / 2]).unwrap();
    rename(&other, &library).unwrap();
    let told = stage.hears().await;
    assert!(told.contains("refused: configuration 1 still holds"), "{told}");
    let listed = stage.operate(&["plugin", "list"]).await;
    assert!(listed.good().contains("foremost 0.4.1  healthy"), "{listed:?}");

    stage.write("watch_files = '10ms'", "");
    let told = stage.hears().await;
    assert!(told.contains("configuration 2 holds"), "{told}");
}

#[tokio::test]
async fn who_has_no_token_reloads_no_nameserver() {
    let mut stage = Stage::start("", "").await;
    let address = stage.nameserver.address.clone();
    let forged = stage.folder.path().join("forged");
    write(&forged, "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::set_permissions(&forged, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let refused =
        run(&["reload", "--nameserver", &address, "--token-file", forged.to_str().unwrap()]).await;
    assert!(refused.errors()[0].contains("the token is not that of the nameserver"), "{refused:?}");
    stage.operate(&["reload"]).await.good();
    assert!(stage.hears().await.contains("nothing changed"), "the first reload that was");
    let help = run(&["reload", "--help"]).await;
    assert!(
        help.good().contains("--nameserver <ADDR>") && help.stdout.contains("--agent"),
        "{help:?}"
    );
}
