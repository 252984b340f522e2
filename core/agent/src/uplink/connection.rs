//! The uplink's task: dial, introduce, replay, keep alive, and again when the connection breaks.

use std::sync::Arc;
use std::time::Duration;

use skymesh_proto::{Goodbye, KeepAlive, Msg};
use skymesh_transport::Backoff;
use skymesh_types::SessionId;
use skymesh_wire::encode_msg;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval_at, timeout};

use super::Command;
use super::error::UplinkError;
use super::ledger::Ledger;
use super::line::{Line, V1_PAUSE};
use crate::runtime::{Contact, Runtime, entropy};

/// How long a nameserver may take to answer the introduction.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Uplink {
    pub(super) runtime: Arc<Runtime>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) ledger: Ledger,
    pub(super) session: Option<SessionId>,
    pub(super) drained: Option<oneshot::Sender<()>>,
    /// Set once the agent leaves: who waits for the goodbye.
    pub(super) leaving: Option<oneshot::Sender<()>>,
}

impl Uplink {
    pub(crate) fn new(runtime: Arc<Runtime>, commands: mpsc::Receiver<Command>) -> Self {
        let ledger = Ledger::default();
        Self { runtime, commands, ledger, session: None, drained: None, leaving: None }
    }

    /// Runs until the agent says goodbye, or is stopped without one.
    pub(crate) async fn run(mut self) {
        let runtime = Arc::clone(&self.runtime);
        tokio::select! {
            () = runtime.stopped.cancelled() => {}
            () = self.connect_and_serve() => {}
        }
    }

    async fn connect_and_serve(&mut self) {
        let mut backoff = Backoff::default();
        let mut told = false;
        // Since when it is out of reach.
        let mut away: Option<Instant> = None;
        while self.leaving.is_none() {
            match self.connect().await {
                Ok(mut line) => {
                    let served = Instant::now();
                    told = false;
                    if let Some(since) = away.take() {
                        let after = since.elapsed();
                        tracing::info!(
                            ?after,
                            "connected to the nameserver after it was out of reach"
                        );
                    }
                    self.runtime.directory.uplink_restored();
                    self.runtime.contact.send_replace(Contact::Made);
                    let error = match self.serve(&mut line).await {
                        Ok(()) => break,
                        Err(error) => error,
                    };
                    if served.elapsed() > line.lease {
                        backoff.reset();
                    }
                    self.runtime.counters.uplinks_lost.add(1);
                    away = Some(Instant::now());
                    self.lost();
                    self.runtime.placements_unheard();
                    self.runtime.contact.send_replace(Contact::Failed(error.to_string()));
                    tracing::warn!(%error, "lost the nameserver; what is known goes on serving");
                }
                Err(error) => {
                    away.get_or_insert_with(Instant::now);
                    self.lost();
                    // Said once per outage; every attempt would fill the log.
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "can't reach the nameserver yet; trying on");
                    }
                    let failed = Contact::Failed(error.to_string());
                    self.runtime.contact.send_replace(failed);
                }
            }
            self.wait(backoff.next(entropy())).await;
        }
        if let Some(said) = self.leaving.take() {
            let _ = said.send(());
        }
    }

    /// The nameserver is out of reach.
    fn lost(&self) {
        self.runtime.directory.uplink_lost(self.runtime.elapsed());
        self.runtime.elections.disconnected();
    }

    /// Waits before the next attempt; commands that come meanwhile are kept for it.
    async fn wait(&mut self, pause: Duration) {
        let runtime = Arc::clone(&self.runtime);
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        while self.leaving.is_none() {
            tokio::select! {
                () = &mut pause => return,
                command = self.commands.recv() => drop(self.command(command)),
                // What is watched and who leaves is said on the next connection anyway.
                () = runtime.errands.waiting() => drop(self.errands()),
            }
        }
    }

    /// Serves one connection until it breaks; `Ok` after a goodbye.
    async fn serve(&mut self, line: &mut Line) -> Result<(), UplinkError> {
        if let Some(frames) = line.early.take() {
            self.take(line, &frames, 1).await?;
        }
        let beat = line.lease / 3;
        let first = if line.v1.is_some() { 2 * V1_PAUSE } else { beat };
        let mut keepalive = interval_at(Instant::now() + first, beat);
        let mut heard = Instant::now();
        let mut seq = 0;
        let runtime = Arc::clone(&self.runtime);
        loop {
            tokio::select! {
                frames = line.connection.next() => {
                    heard = Instant::now();
                    let frames = frames?.ok_or(UplinkError::Closed)?;
                    self.take(line, &frames, 0).await?;
                }
                () = runtime.errands.waiting() => self.run_errands(line).await?,
                command = self.commands.recv() => {
                    // What was left to do before it was asked.
                    self.run_errands(line).await?;
                    for body in self.command(command) {
                        line.push(body).await?;
                    }
                    self.catch_up(line).await?;
                    if self.leaving.is_some() {
                        line.push(Goodbye { reason: "the agent stops".to_owned() }.into()).await?;
                        let _ = timeout(HELLO_TIMEOUT, line.outbox.close()).await;
                        return Ok(());
                    }
                }
                _ = keepalive.tick() => {
                    seq += 1;
                    self.runtime.elections.beat_sent(seq);
                    if line.v1.is_some() {
                        line.beat(seq, heard.elapsed()).await?;
                        self.catch_up(line).await?;
                        continue;
                    }
                    if heard.elapsed() > line.lease {
                        return Err(UplinkError::Silent(line.lease));
                    }
                    line.outbox.push_control(|out| {
                        encode_msg(&Msg::from(KeepAlive { seq }), out);
                    })?;
                }
            }
        }
    }

    async fn run_errands(&mut self, line: &mut Line) -> Result<(), UplinkError> {
        for body in self.errands() {
            line.push(body).await?;
        }
        self.catch_up(line).await
    }
}

#[cfg(test)]
mod tests {
    use skymesh_proto::RegisterAppReply;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::bare;
    use crate::heard::Heard;
    use crate::runtime::Settings;

    const GUARD: Duration = Duration::from_secs(60);

    /// Answers an agent that introduces itself.
    async fn welcome(nameserver: &TcpListener) -> TcpStream {
        let (mut agent, _) = nameserver.accept().await.unwrap();
        assert_ne!(agent.read(&mut [0; 1024]).await.unwrap(), 0);
        let reply = RegisterAppReply {
            protocol: 2,
            session: 1,
            registry: 1,
            lease_ms: 600_000,
            ..RegisterAppReply::default()
        };
        let mut frame = Vec::new();
        encode_msg(&Msg::from(reply), &mut frame);
        agent.write_all(&frame).await.unwrap();
        agent
    }

    #[tokio::test]
    async fn the_end_of_an_outage_is_told_once_as_its_begin_is() {
        let log = Heard::listen();
        let nameserver = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut settings = Settings::default();
        settings.agent.nameserver = nameserver.local_addr().unwrap().to_string();
        let (runtime, commands) = bare::runtime_with(settings);
        let mut contact = runtime.contact.subscribe();
        let (gone, back) = ("lost the nameserver", "connected to the nameserver after");
        let script = async {
            let agent = welcome(&nameserver).await;
            contact.wait_for(|contact| matches!(contact, Contact::Made)).await.unwrap();
            assert_eq!((log.with(gone).len(), log.with(back).len()), (0, 0));
            drop(agent);
            contact.wait_for(|contact| matches!(contact, Contact::Failed(_))).await.unwrap();
            let _agent = welcome(&nameserver).await;
            contact.wait_for(|contact| matches!(contact, Contact::Made)).await.unwrap();
            assert_eq!((log.with(gone).len(), log.with(back).len()), (1, 1));
            let line = log.with(back).remove(0);
            assert!(line.contains(" INFO ") && line.contains("after="), "{line}");
        };
        let uplink = Uplink::new(Arc::clone(&runtime), commands).run();
        tokio::select! {
            () = uplink => panic!("it ends with its agent"),
            ended = timeout(GUARD, script) => ended.unwrap(),
        }
    }
}
