//! One process on the stage: what the director may do to it, and the task that hears it.

use std::fmt;
use std::io;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, oneshot};

use super::{Heard, StageError};

/// One process on the stage, from the director's side.
#[derive(Debug)]
pub struct Actor {
    name: String,
    pid: u32,
    cues: Option<ChildStdin>,
    kill: Option<oneshot::Sender<()>>,
}

impl Actor {
    /// Takes the child's standard input over.
    pub(super) fn new(
        name: &str,
        child: &mut Child,
        kill: oneshot::Sender<()>,
    ) -> io::Result<Self> {
        let pid = child.id().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { name: name.to_owned(), pid, cues: child.stdin.take(), kill: Some(kill) })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its name on the stage.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it a line to act on.
    ///
    /// # Errors
    /// [`StageError::Deaf`] if it has left.
    pub async fn cue(&mut self, line: &str) -> Result<(), StageError> {
        let deaf = || StageError::Deaf { actor: self.name.clone() };
        let cues = self.cues.as_mut().ok_or_else(deaf)?;
        cues.write_all(format!("{line}\n").as_bytes()).await.map_err(|_| deaf())
    }

    /// Asks it to leave in order: closes its standard input.
    pub fn dismiss(&mut self) {
        self.cues = None;
    }

    /// Kills it with SIGKILL: it can't do anything any more, not even say goodbye.
    pub fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            // It may have left by itself.
            let _ = kill.send(());
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Passes on what one actor prints, until its last line, and how it left.
pub(super) async fn usher(
    actor: String,
    mut child: Child,
    mut killed: oneshot::Receiver<()>,
    ears: mpsc::Sender<Heard>,
) {
    let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
    let Some(mut lines) = lines else { return };
    let mut may_kill = true;
    loop {
        tokio::select! {
            line = lines.next_line() => match line {
                Ok(Some(line)) => {
                    let heard = Heard::Line { actor: actor.clone(), line };
                    if ears.send(heard).await.is_err() {
                        return;
                    }
                }
                Ok(None) | Err(_) => break,
            },
            wanted = &mut killed, if may_kill => {
                may_kill = false;
                // An error means that it has ended already.
                let _ = wanted.ok().map(|()| child.start_kill());
            }
        }
    }
    if let Ok(status) = child.wait().await {
        // The stage may be gone; then nobody waits for this.
        let _ = ears.send(Heard::Left { actor, status }).await;
    }
}
