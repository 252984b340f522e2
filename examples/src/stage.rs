//! The director's side of a play: starts copies of the running program in other roles, hears what
//! they print, cues them, kills them. None of them outlives the stage, however that ends: each is
//! killed when the stage is dropped, and leaves by itself when its standard input closes.

mod actor;
mod audience;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::role::STAGED;
pub use actor::Actor;
pub use audience::show;

/// How many lines may wait for the director before an actor that prints more has to wait.
const HEARD_LINES: usize = 1024;

/// What a program ends with after Ctrl-C, as shells expect it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// What a program ends with whose output nobody reads any more: as if by SIGPIPE, likewise.
const UNHEARD: u8 = 141;

/// What went wrong on the stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// An actor could not be started, or its log not be made.
    #[error("can't start {actor}: {source}")]
    Start {
        /// Who.
        actor: String,
        /// Why.
        source: io::Error,
    },
    /// An actor left the stage though the play was not over.
    #[error("{actor} ended unexpectedly: {status}")]
    Left {
        /// Who.
        actor: String,
        /// How.
        status: ExitStatus,
    },
    /// Nobody said what the play waits for.
    #[error("{what} did not happen within {waited:?}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
    },
    /// An actor no longer listens.
    #[error("{actor} does not listen any more")]
    Deaf {
        /// Who.
        actor: String,
    },
}

/// Something that the director hears.
#[derive(Debug)]
pub enum Heard {
    /// An actor printed a line.
    Line {
        /// Who.
        actor: String,
        /// Without its end.
        line: String,
    },
    /// An actor has left; every line of it was heard before.
    Left {
        /// Who.
        actor: String,
        /// How.
        status: ExitStatus,
    },
}

/// A program's processes; see the module.
#[derive(Debug)]
pub struct Stage {
    heard: mpsc::Receiver<Heard>,
    ears: mpsc::Sender<Heard>,
    ushers: JoinSet<()>,
    environment: Vec<(String, String)>,
    logs: Option<PathBuf>,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// An empty stage. Actors write their logs where this program does.
    pub fn new() -> Self {
        let (ears, heard) = mpsc::channel(HEARD_LINES);
        let (ushers, environment) = (JoinSet::new(), Vec::new());
        Self { heard, ears, ushers, environment, logs: None }
    }

    /// Actors write their logs into files of this folder instead.
    #[must_use]
    pub fn logs_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.logs = Some(folder.into());
        self
    }

    /// Sets an environment variable for the actors that start from now on.
    pub fn set(&mut self, variable: &str, value: impl fmt::Display) {
        self.environment.push((variable.to_owned(), value.to_string()));
    }

    /// Starts a copy of the running program with `arguments`.
    ///
    /// # Errors
    /// [`StageError::Start`].
    pub fn enter(&mut self, name: &str, arguments: &[&str]) -> Result<Actor, StageError> {
        let failed = |source| StageError::Start { actor: name.to_owned(), source };
        let program = std::env::current_exe().map_err(failed)?;
        let log = match &self.logs {
            Some(folder) => {
                File::create(folder.join(format!("{name}.log"))).map_err(failed)?.into()
            }
            None => Stdio::inherit(),
        };
        let mut child = Command::new(program)
            .args(arguments)
            .env(STAGED, "1")
            .envs(self.environment.iter().map(|(variable, value)| (variable, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C in a terminal is for the director, who then ends the play in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (kill, killed) = oneshot::channel();
        let actor = Actor::new(name, &mut child, kill).map_err(failed)?;
        self.ushers.spawn(actor::usher(name.to_owned(), child, killed, self.ears.clone()));
        Ok(actor)
    }

    /// What is heard next, from anybody.
    ///
    /// # Errors
    /// [`StageError::Late`] after `deadline`; `what` says what was waited for.
    pub async fn hear(&mut self, what: &str, deadline: Duration) -> Result<Heard, StageError> {
        let late = || StageError::Late { what: what.to_owned(), waited: deadline };
        // The stage has a sender of its own, so the channel never ends.
        timeout(deadline, self.heard.recv()).await.ok().flatten().ok_or_else(late)
    }

    /// Waits until `actor` prints a line that begins with `start`, and answers the rest of it.
    /// Other lines are shown as they come.
    ///
    /// # Errors
    /// [`StageError::Left`] if an actor leaves before, [`StageError::Late`] after `deadline`.
    pub async fn wait_for(
        &mut self,
        actor: &Actor,
        start: &str,
        deadline: Duration,
    ) -> Result<String, StageError> {
        let what = format!("`{start}` of {actor}");
        loop {
            match self.hear(&what, deadline).await? {
                Heard::Left { actor, status } => return Err(StageError::Left { actor, status }),
                Heard::Line { actor: who, line } => {
                    show(&format!("[{who}] {line}\n"));
                    if let Some(rest) = line.strip_prefix(start)
                        && who == actor.name()
                    {
                        return Ok(rest.trim().to_owned());
                    }
                }
            }
        }
    }

    /// Waits until `actor` leaves, and shows every line meanwhile.
    ///
    /// # Errors
    /// [`StageError::Left`] if it, or another one, leaves with anything but success;
    /// [`StageError::Late`] after `deadline`.
    pub async fn wait_for_exit(
        &mut self,
        actor: &Actor,
        deadline: Duration,
    ) -> Result<(), StageError> {
        let what = format!("the end of {actor}");
        loop {
            match self.hear(&what, deadline).await? {
                Heard::Line { actor, line } => show(&format!("[{actor}] {line}\n")),
                Heard::Left { actor, status } if !status.success() => {
                    return Err(StageError::Left { actor, status });
                }
                Heard::Left { actor: who, .. } if who == actor.name() => return Ok(()),
                Heard::Left { .. } => {}
            }
        }
    }
}

/// Runs a play to its end, to Ctrl-C, or until nobody reads any more what it [shows](show), of which
/// nothing is said; answers what the program ends with. The play owns its stage, so all actors are
/// gone when this returns.
pub async fn play<E: fmt::Display>(play: impl Future<Output = Result<(), E>>) -> ExitCode {
    let interrupted = async {
        let interrupt = signal(SignalKind::interrupt());
        let terminate = signal(SignalKind::terminate());
        match (interrupt, terminate) {
            (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            },
            // Without handlers, a signal ends the process, and the actors leave by themselves.
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = play => match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
        () = interrupted => {
            eprintln!("interrupted: every process is stopped");
            ExitCode::from(INTERRUPTED)
        }
        () = audience::has_left() => ExitCode::from(UNHEARD),
    }
}
