//! The director of the demo: starts the five processes, hears them, counts what the servers say they
//! got, and checks claims. What is played is in `scenes`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use skymesh_examples::stage::{Actor, Heard, Stage, StageError};
use tempfile::TempDir;

use crate::SERVERS;
use crate::claim::{self, Claim};
use crate::fact::{Act, Cue, Fact, Plugin};
use crate::screen::{Bar, Screen};
use crate::tally::{Received, Tally};

/// How long all processes together may be silent before something must be wrong.
const SILENCE: Duration = Duration::from_secs(6);

const CONFIG: &str = include_str!("mesh.toml");

/// The place in the configuration where the selector is chosen.
const CHOICE: &str = r#"selector = { use = "round_robin" }"#;

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("not so: {0}")]
    Claim(String),
    #[error("{doing}: {source}")]
    File { doing: String, source: io::Error },
    #[error("{actor} said what makes no sense: {line}")]
    Nonsense { actor: String, line: String },
    #[error("the demo took longer than {0:?}")]
    Slow(Duration),
}

/// What the director hears of one process.
#[derive(Debug)]
pub(crate) enum Word {
    Said(Fact),
    Left(ExitStatus),
}

/// See the module. Dropping it ends all processes and removes the folder.
pub(crate) struct Director {
    stage: Stage,
    pub(crate) screen: Screen,
    pub(crate) tally: Tally,
    nameserver: Actor,
    pub(crate) servers: BTreeMap<u64, Actor>,
    client: Actor,
    pub(crate) killed: Option<u64>,
    leaving: BTreeSet<String>,
    /// What each agent reported of its plugins when it was ready.
    plugins: BTreeMap<String, Vec<Plugin>>,
    claims: u32,
    config: PathBuf,
    /// Last, so that it outlives the processes.
    folder: TempDir,
}

impl Director {
    /// Starts every process; the client has not joined the mesh yet. Plugins are looked for in
    /// `plugins`, too.
    pub(crate) async fn open(plugins: Option<&Path>) -> Result<Self, DemoError> {
        let failed = |doing: &str, source| DemoError::File { doing: doing.to_owned(), source };
        let folder = tempfile::Builder::new().prefix("skymesh-demo-").tempdir();
        let folder = folder.map_err(|source| failed("making a temporary folder", source))?;
        let config = folder.path().join("mesh.toml");
        fs::write(&config, CONFIG).map_err(|source| failed("copying mesh.toml", source))?;
        let path = config.to_string_lossy().into_owned();

        let mut stage = Stage::new().logs_in(folder.path());
        stage.set("SKYMESH_PLUGINS__CACHE_DIR", folder.path().join("plugins").display());
        if let Some(folder) = plugins {
            stage.set("SKYMESH_PLUGINS__DIRS", format!("[{:?}]", folder.display().to_string()));
            // Somebody's own folder, named by hand, on a machine of one's own: by the usual umask, a
            // group may write there.
            stage.set("SKYMESH_PLUGINS__ALLOW_INSECURE_DIRS", true);
        }
        // Any free port, so that the demo never collides with anything.
        stage.set("SKYMESH_NAMESERVER__LISTEN", "127.0.0.1:0");
        let nameserver = stage.enter("nameserver", &["nameserver", &path])?;
        let listens = async {
            let address = first_address(&mut stage).await?;
            stage.set("SKYMESH_AGENT__NAMESERVER", address);
            let mut servers = BTreeMap::new();
            for number in (1..).take(SERVERS) {
                let arguments = ["server", path.as_str(), &number.to_string()];
                servers.insert(number, stage.enter(&format!("server {number}"), &arguments)?);
            }
            let client = stage.enter("client", &["client", &path])?;
            Ok((address, servers, client))
        };
        let (address, servers, client) = match listens.await {
            Ok(all) => all,
            Err(error) => {
                print_logs(&folder);
                return Err(error);
            }
        };
        let mut director = Self {
            stage,
            screen: Screen::new(),
            tally: Tally::default(),
            nameserver,
            servers,
            client,
            killed: None,
            leaving: BTreeSet::new(),
            plugins: BTreeMap::new(),
            claims: 0,
            config,
            folder,
        };
        director.introduce(address);
        Ok(director)
    }

    fn introduce(&mut self, address: SocketAddr) {
        let actors = std::iter::once(&self.nameserver).chain(self.servers.values());
        let row = |actor: &Actor| format!("   {:<11} process {}", actor.name(), actor.pid());
        let mut rows: Vec<String> = actors.chain([&self.client]).map(row).collect();
        rows[0] += &format!(", listens on {address}");
        rows.iter().for_each(|row| self.screen.line(row));
    }

    /// What is heard next. What servers got, and what agents loaded, is noted on the way.
    pub(crate) async fn hear(&mut self, what: &str) -> Result<(String, Word), DemoError> {
        match self.stage.hear(what, SILENCE).await? {
            Heard::Line { actor, line } => {
                let Ok(fact) = serde_json::from_str(&line) else {
                    return Err(DemoError::Nonsense { actor, line });
                };
                match (&fact, self.number_of(&actor)) {
                    (Fact::Got(parcel), Some(number)) => self.tally.note(number, parcel),
                    (Fact::Ready { plugins, .. } | Fact::Plugins(plugins), _) => {
                        self.plugins.insert(actor.clone(), plugins.clone());
                    }
                    _ => {}
                }
                Ok((actor, Word::Said(fact)))
            }
            Heard::Left { actor, status } if self.leaving.remove(&actor) => {
                Ok((actor, Word::Left(status)))
            }
            Heard::Left { actor, status } => Err(StageError::Left { actor, status }.into()),
        }
    }

    /// Waits for a fact.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&str, &Fact) -> Option<T>,
    ) -> Result<T, DemoError> {
        loop {
            if let (actor, Word::Said(fact)) = self.hear(what).await?
                && let Some(found) = wanted(&actor, &fact)
            {
                return Ok(found);
            }
        }
    }

    fn number_of(&self, actor: &str) -> Option<u64> {
        let found = self.servers.iter().find(|(_, server)| server.name() == actor);
        found.map(|(number, _)| *number)
    }

    /// Instance numbers of the servers that live.
    pub(crate) fn living(&self) -> Vec<u64> {
        self.servers.keys().copied().filter(|number| Some(*number) != self.killed).collect()
    }

    pub(crate) async fn cue_client(&mut self, cue: &Cue) -> Result<(), DemoError> {
        let line = serde_json::to_string(cue).expect("invariant: cues are plain values");
        Ok(self.client.cue(&line).await?)
    }

    /// Changes the selector's line in the configuration file and lets the client join the mesh by it.
    pub(crate) async fn switch_to(&mut self, choice: &str) -> Result<(), DemoError> {
        if CONFIG.matches(CHOICE).count() != 1 {
            return Err(DemoError::Claim(format!("mesh.toml says once `{CHOICE}`")));
        }
        let text = CONFIG.replace(CHOICE, choice);
        let failed = |source| DemoError::File { doing: "changing mesh.toml".to_owned(), source };
        // Whoever reads it just now, such as a server that is slow to start, finds a whole file.
        let written = self.config.with_extension("new");
        fs::write(&written, text).map_err(failed)?;
        fs::rename(&written, &self.config).map_err(failed)?;
        self.cue_client(&Cue::Join).await?;
        let client = self.client.name().to_owned();
        self.until("the client's word that it has joined", |actor, fact| {
            matches!(fact, Fact::Ready { .. } if actor == client).then_some(())
        })
        .await
    }

    /// Whether the client has loaded a plugin from a library file.
    pub(crate) fn loaded_by_client(&self, kind: &str, id: &str) -> Claim {
        self.loaded(&self.client, kind, id)
    }

    /// Whether every agent has.
    pub(crate) fn loaded_by_all(&self, kind: &str, id: &str) -> Claim {
        for server in self.servers.values() {
            self.loaded(server, kind, id)?;
        }
        Ok(format!("{}, in all four agents", self.loaded_by_client(kind, id)?))
    }

    fn loaded(&self, actor: &Actor, kind: &str, id: &str) -> Claim {
        let plugins = self.plugins.get(actor.name()).map_or(&[][..], Vec::as_slice);
        claim::loaded(plugins, kind, id, actor.pid()).map_err(|error| format!("{actor}: {error}"))
    }

    /// Kills a server with SIGKILL.
    pub(crate) fn kill(&mut self, number: u64) {
        if let Some(server) = self.servers.get_mut(&number) {
            self.leaving.insert(server.name().to_owned());
            server.kill();
            self.killed = Some(number);
        }
    }

    pub(crate) fn bars(&self, act: Act) -> Vec<Bar> {
        let received = self.tally.act(act);
        let bar = |number: &u64| {
            let (count, keys) = (received.at(*number), received.keys_at(*number));
            let killed = if self.killed == Some(*number) { ", killed" } else { "" };
            Bar { label: format!("server {number}"), count, note: format!("{keys} keys{killed}") }
        };
        self.servers.keys().map(bar).collect()
    }

    /// Shows a sentence that holds; fails the demo over one that does not.
    pub(crate) fn claim(&mut self, claim: Claim) -> Result<(), DemoError> {
        let sentence = claim.map_err(DemoError::Claim)?;
        self.claims += 1;
        self.screen.holds(&sentence);
        Ok(())
    }

    pub(crate) fn act(&self, act: Act) -> Received {
        self.tally.act(act)
    }

    /// Dismisses everyone who is left, in order; answers the servers' own totals.
    pub(crate) async fn close(&mut self) -> Result<BTreeMap<u64, u64>, DemoError> {
        let mut totals = BTreeMap::new();
        self.client.dismiss();
        self.gone(self.client.name().to_owned(), &mut totals).await?;
        for number in self.living() {
            if let Some(server) = self.servers.get_mut(&number) {
                server.dismiss();
                let name = server.name().to_owned();
                self.gone(name, &mut totals).await?;
            }
        }
        self.nameserver.dismiss();
        self.gone(self.nameserver.name().to_owned(), &mut totals).await?;
        Ok(totals)
    }

    async fn gone(
        &mut self,
        name: String,
        totals: &mut BTreeMap<u64, u64>,
    ) -> Result<(), DemoError> {
        self.leaving.insert(name.clone());
        let what = format!("the end of {name}");
        loop {
            match self.hear(&what).await? {
                (actor, Word::Said(Fact::Total { messages })) => {
                    totals.extend(self.number_of(&actor).map(|number| (number, messages)));
                }
                (_, Word::Said(_)) => {}
                (_, Word::Left(status)) if status.success() => return Ok(()),
                (actor, Word::Left(status)) => {
                    return Err(StageError::Left { actor, status }.into());
                }
            }
        }
    }

    /// How many claims were checked.
    pub(crate) fn claims(&self) -> u32 {
        self.claims
    }

    /// What the processes logged, for a demo that failed.
    pub(crate) fn print_logs(&self) {
        print_logs(&self.folder);
    }
}

async fn first_address(stage: &mut Stage) -> Result<SocketAddr, DemoError> {
    match stage.hear("the nameserver's address", SILENCE).await? {
        Heard::Left { actor, status } => Err(StageError::Left { actor, status }.into()),
        Heard::Line { actor, line } => match serde_json::from_str(&line) {
            Ok(Fact::Listens { address }) => Ok(address),
            _ => Err(DemoError::Nonsense { actor, line }),
        },
    }
}

fn print_logs(folder: &TempDir) {
    let files = fs::read_dir(folder.path()).into_iter().flatten().flatten();
    for path in files.map(|file| file.path()).filter(|path| path.extension().is_some()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if path.extension().is_some_and(|end| end == "log") {
            text.lines().for_each(|line| eprintln!("[{name}] {line}"));
        }
    }
}

/// Shown with the time that has passed.
pub(crate) fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
