//! The director of the demo: starts the five processes, hears them, counts what the servers say they
//! got, and checks claims. What is played is in `scenes`.

mod logs;
mod mesh_file;
mod opening;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use skymesh_examples::stage::{Actor, Heard, Stage, StageError};
use tempfile::TempDir;

use crate::claim::{self, Claim};
use crate::fact::{Act, Cue, Fact, Plugin};
use crate::screen::{Bar, Screen};
use crate::tally::{Received, Tally};
use mesh_file::MeshFile;

/// How long all processes together may be silent before something must be wrong.
const SILENCE: Duration = Duration::from_secs(6);

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
    #[error("the demo is too slow: it took longer than {0:?}")]
    Slow(Duration),
}

/// What the director hears of one process.
#[derive(Debug)]
pub(crate) enum Word {
    Said(Fact),
    Left(ExitStatus),
}

/// An act whose messages are shown as bars.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) act: Act,
    /// How many messages of a server fill its bar.
    pub(crate) full: u32,
    /// From which message on keys are counted anew.
    pub(crate) changed: Option<u32>,
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
    /// Whose messages are shown as they come, if those of any act.
    shown: Option<Shown>,
    leaving: BTreeSet<String>,
    /// What each agent last reported of its plugins.
    plugins: BTreeMap<String, Vec<Plugin>>,
    claims: u32,
    file: MeshFile,
    /// Last, so that it outlives the processes.
    folder: TempDir,
}

impl Director {
    /// What is heard next. What servers got, and what agents loaded, is noted on the way, and the
    /// bars grow.
    pub(crate) async fn hear(&mut self, what: &str) -> Result<(String, Word), DemoError> {
        match self.stage.hear(what, SILENCE).await? {
            Heard::Line { actor, line } => {
                let Ok(fact) = serde_json::from_str(&line) else {
                    return Err(DemoError::Nonsense { actor, line });
                };
                match (&fact, self.number_of(&actor)) {
                    (Fact::Got(parcel), Some(number)) => self.tally.note(number, parcel),
                    (
                        Fact::Ready { plugins, .. }
                        | Fact::Reloaded { plugins, .. }
                        | Fact::Plugins(plugins),
                        _,
                    ) => {
                        self.plugins.insert(actor.clone(), plugins.clone());
                    }
                    _ => {}
                }
                if let Some(shown) = self.shown.filter(|_| self.screen.is_due()) {
                    self.screen.draw(&self.bars(shown), shown.full);
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

    /// Waits until the client has joined the mesh, and sees all servers.
    pub(crate) async fn joined(&mut self) -> Result<(), DemoError> {
        let client = self.client.name().to_owned();
        let ready = |actor: &str, fact: &Fact| {
            (actor == client && matches!(fact, Fact::Ready { .. })).then_some(())
        };
        self.until("the client's word that it has joined", ready).await
    }

    /// Waits until the servers have received so many messages of an act.
    pub(crate) async fn until_received(
        &mut self,
        act: Act,
        messages: u32,
        what: &str,
    ) -> Result<(), DemoError> {
        while self.tally.received(act) < messages {
            self.hear(what).await?;
        }
        Ok(())
    }

    /// Has the client stop sending; answers how many messages of the act it has sent, and how many of
    /// them were not accepted.
    pub(crate) async fn halt(&mut self, act: Act) -> Result<(u32, u32), DemoError> {
        self.cue_client(&Cue::Halt).await?;
        let played = |_: &str, fact: &Fact| match fact {
            Fact::Played { act: of, sent, refused } if *of == act => Some((*sent, *refused)),
            _ => None,
        };
        self.until("the client's account", played).await
    }

    /// Saves the configuration file of the running mesh with another choice of a selector.
    pub(crate) fn save(&self, choice: &str) -> Result<(), DemoError> {
        self.file.save(choice)
    }

    pub(crate) fn is_client(&self, actor: &str) -> bool {
        self.client.name() == actor
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

    /// Shows the messages of an act from now on.
    pub(crate) fn show(&mut self, shown: Shown) {
        self.shown = Some(shown);
    }

    /// Counts the keys of what is shown anew from that message on.
    pub(crate) fn show_keys_from(&mut self, message: u32) {
        if let Some(shown) = &mut self.shown {
            shown.changed = Some(message);
        }
    }

    /// What is shown stays so.
    pub(crate) fn settle(&mut self) {
        if let Some(shown) = self.shown.take() {
            self.screen.settle(&self.bars(shown), shown.full);
        }
    }

    /// Kills a server with SIGKILL.
    pub(crate) fn kill(&mut self, number: u64) {
        if let Some(server) = self.servers.get_mut(&number) {
            self.leaving.insert(server.name().to_owned());
            server.kill();
            self.killed = Some(number);
        }
    }

    fn bars(&self, shown: Shown) -> Vec<Bar> {
        let received = self.tally.act(shown.act);
        let parts =
            shown.changed.map(|changed| (received.part(..changed), received.part(changed..)));
        let bar = |number: &u64| {
            let count = received.at(*number);
            let keys = match &parts {
                None => format!("{} keys", received.keys_at(*number)),
                Some((before, since)) => {
                    format!("{} keys, then {}", before.keys_at(*number), since.keys_at(*number))
                }
            };
            let killed = if self.killed == Some(*number) { ", killed" } else { "" };
            Bar { label: format!("server {number}"), count, note: format!("{keys}{killed}") }
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
        logs::print(self.folder.path());
    }
}

/// Shown with the time that has passed.
pub(crate) fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
