//! The uplink's task: dial, introduce, replay, keep alive, and again when the connection breaks.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use skymesh_proto::msg::Body;
use skymesh_proto::{
    AgentInfo, Goodbye, KeepAlive, Msg, RegisterApp, RegisterAppReply, Unwatch, Watch,
    WatchSnapshot,
};
use skymesh_transport::{Backoff, Connection, DialError, Outbox, PushError, ReadError, dial};
use skymesh_types::{Handle, RegistryId, Revision, ServiceName, SessionId};
use skymesh_wire::{Frames, decode_msg, encode_msg};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval_at, timeout};

use super::Command;
use super::ledger::{Ledger, Outcome, Session};
use super::v1::{Interpreter, Said};
use crate::convert::{self, ConvertError};
use crate::directory::{Followed, Word};
use crate::runtime::{Contact, Runtime, entropy};

/// How long a nameserver may take to answer the introduction.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// What takes the place of a lease with a nameserver of protocol 1, which grants none and is silent
/// as long as nothing happens: a heartbeat goes out every third of it, as often as the origin's.
const V1_LEASE: Duration = Duration::from_secs(6);

/// A nameserver of protocol 1 that has said nothing for so long has told of everybody; looked at for
/// the first time after twice that.
const V1_PAUSE: Duration = Duration::from_millis(250);

/// Why the nameserver can't be used. Dialling again may help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UplinkError {
    #[error("nameserver: {0}")]
    Dial(#[from] DialError),
    #[error("nameserver at {0} does not answer the introduction: is it a skymesh nameserver?")]
    NoAnswer(String),
    #[error("nameserver closed the connection")]
    Closed,
    #[error("nameserver: {0}")]
    Read(#[from] ReadError),
    #[error("nameserver: {0}")]
    Write(#[from] PushError),
    #[error("nameserver refuses this agent ({code}): {reason}")]
    Refused { code: i32, reason: String },
    #[error(
        "nameserver at {0} speaks protocol 1 only; set agent.nameserver_protocol = 1 to do without \
         what it does not know"
    )]
    Protocol(String),
    #[error("nameserver sent what can't be read: {0}")]
    Malformed(String),
    #[error("nameserver was silent for a whole lease of {0:?}")]
    Silent(Duration),
}

impl From<ConvertError> for UplinkError {
    fn from(error: ConvertError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// See the module.
pub(crate) struct Uplink {
    runtime: Arc<Runtime>,
    commands: mpsc::Receiver<Command>,
    ledger: Ledger,
    session: Option<SessionId>,
    drained: Option<oneshot::Sender<()>>,
    /// Set once the agent leaves: who waits for the goodbye.
    leaving: Option<oneshot::Sender<()>>,
}

/// An open connection that was introduced.
struct Line {
    connection: skymesh_transport::FrameReader,
    outbox: Outbox,
    registry: RegistryId,
    lease: Duration,
    /// Frames that came in the same read as the welcome.
    early: Option<Frames>,
    /// A snapshot whose parts are still coming.
    parts: Option<WatchSnapshot>,
    /// Speaks for a nameserver of protocol 1.
    v1: Option<Interpreter>,
    /// What the interpreter says in the nameserver's place and was not heeded yet.
    answers: VecDeque<Body>,
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
        while self.leaving.is_none() {
            match self.connect().await {
                Ok(mut line) => {
                    let served = Instant::now();
                    told = false;
                    self.runtime.directory.uplink_restored();
                    self.runtime.contact.send_replace(Contact::Made);
                    let error = match self.serve(&mut line).await {
                        Ok(()) => break,
                        Err(error) => error,
                    };
                    line.outbox.abort();
                    if served.elapsed() > line.lease {
                        backoff.reset();
                    }
                    self.runtime.counters.uplinks_lost.add(1);
                    self.runtime.directory.uplink_lost(self.runtime.elapsed());
                    self.runtime.contact.send_replace(Contact::Failed(error.to_string()));
                    tracing::warn!(%error, "lost the nameserver; what is known goes on serving");
                }
                Err(error) => {
                    self.runtime.directory.uplink_lost(self.runtime.elapsed());
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

    /// Waits before the next attempt; commands that come meanwhile are kept for it.
    async fn wait(&mut self, pause: Duration) {
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        while self.leaving.is_none() {
            tokio::select! {
                () = &mut pause => return,
                command = self.commands.recv() => drop(self.command(command)),
            }
        }
    }

    async fn connect(&mut self) -> Result<Line, UplinkError> {
        let config = &self.runtime.settings.agent;
        let read = self.runtime.read_config();
        let connection = dial(&config.nameserver, config.dial_timeout, &read).await?;
        let Connection { mut reader, write_half, .. } = connection;
        let (outbox, writer) = Outbox::new(self.runtime.outbox_config());
        self.runtime.tasks.spawn(writer.run(write_half, self.introduction()));
        let no_answer = || UplinkError::NoAnswer(config.nameserver.clone());
        let frames = timeout(HELLO_TIMEOUT, reader.next()).await.map_err(|_| no_answer())?;
        let frames = frames?.ok_or(UplinkError::Closed)?;
        reader.introduced();
        let welcome = self.welcome(&frames)?;
        let session = if welcome.resumed { Session::Resumed } else { Session::New };
        self.session = SessionId::new(welcome.session).ok();
        let (registry, lease, v1) = match self.speaks_v1() {
            true => {
                let registry = RegistryId::new(entropy() | 1).map_err(ConvertError::from)?;
                let (address, agent) = (self.runtime.address.to_string(), self.runtime.agent.get());
                (registry, V1_LEASE, Some(Interpreter::new(address, agent, registry)))
            }
            false => {
                let registry = RegistryId::new(welcome.registry).map_err(ConvertError::from)?;
                (registry, Duration::from_millis(welcome.lease_ms.max(1)), None)
            }
        };
        let mut line = Line {
            connection: reader,
            outbox,
            registry,
            lease,
            early: Some(frames),
            parts: None,
            v1,
            answers: VecDeque::new(),
        };
        for body in self.ledger.replay(session) {
            line.push(body).await?;
        }
        for position in self.runtime.directory.positions() {
            line.push(watch(&position.name, position.at)).await?;
        }
        Ok(line)
    }

    fn introduction(&self) -> Vec<u8> {
        let runtime = &self.runtime;
        let (server_address, app) = (runtime.address.to_string(), runtime.app.to_string());
        let agent = runtime.agent.get();
        let mut hello = AgentInfo {
            server_address: server_address.clone(),
            app: app.clone(),
            ..AgentInfo::default()
        };
        let mut register = RegisterApp { server_address, app, ..RegisterApp::default() };
        if !self.speaks_v1() {
            (hello.protocol, hello.agent) = (2, agent);
            (register.protocol, register.agent) = (2, agent);
            register.resume_session = self.session.map_or(0, SessionId::get);
            register.codecs = runtime.codec_ids();
        }
        let mut greeting = Vec::new();
        encode_msg(&Msg::from(hello), &mut greeting);
        encode_msg(&Msg::from(register), &mut greeting);
        greeting
    }

    fn speaks_v1(&self) -> bool {
        self.runtime.settings.agent.nameserver_protocol == 1
    }

    fn welcome(&self, frames: &Frames) -> Result<RegisterAppReply, UplinkError> {
        let malformed = |error| UplinkError::Malformed(format!("{error}"));
        let frame = frames.iter().next().ok_or(UplinkError::Closed)?;
        match decode_msg(frame.to_bytes()).map_err(malformed)?.body {
            Some(Body::RegisterAppReply(reply)) if reply.result != 0 => {
                Err(UplinkError::Refused { code: reply.result, reason: reply.reason })
            }
            Some(Body::RegisterAppReply(reply)) if reply.protocol < 2 && !self.speaks_v1() => {
                Err(UplinkError::Protocol(self.runtime.settings.agent.nameserver.clone()))
            }
            Some(Body::RegisterAppReply(reply)) => Ok(reply),
            Some(Body::Refusal(refusal)) => {
                Err(UplinkError::Refused { code: 0, reason: refusal.reason })
            }
            _ => Err(UplinkError::NoAnswer(self.runtime.settings.agent.nameserver.clone())),
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
        loop {
            tokio::select! {
                frames = line.connection.next() => {
                    heard = Instant::now();
                    let frames = frames?.ok_or(UplinkError::Closed)?;
                    self.take(line, &frames, 0).await?;
                }
                command = self.commands.recv() => {
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
                    if line.v1.is_some() {
                        line.beat(heard.elapsed()).await?;
                        self.catch_up(line).await?;
                        continue;
                    }
                    if heard.elapsed() > line.lease {
                        return Err(UplinkError::Silent(line.lease));
                    }
                    seq += 1;
                    line.outbox.push_control(|out| {
                        encode_msg(&Msg::from(KeepAlive { seq }), out);
                    })?;
                }
            }
        }
    }

    /// Notes a command, and answers what has to be said for it now.
    fn command(&mut self, command: Option<Command>) -> Vec<Body> {
        match command {
            Some(Command::Register { own, reply }) => vec![self.ledger.register(own, reply)],
            Some(Command::Unregister { handle, reply }) => {
                self.ledger.unregister(handle, Some(reply)).into_iter().collect()
            }
            Some(Command::Forget(handle)) => {
                self.ledger.unregister(handle, None).into_iter().collect()
            }
            Some(Command::ChangeAttributes { handle, change, reply }) => {
                self.ledger.change(handle, change, reply).into_iter().collect()
            }
            Some(Command::Attributes { handle, reply }) => {
                let _ = reply.send(self.ledger.attributes(handle));
                Vec::new()
            }
            Some(Command::Watch(name)) => vec![watch(&name, None)],
            Some(Command::Drain(drained)) => {
                self.drained = Some(drained);
                let bodies = self.ledger.drain();
                self.note_drained();
                bodies
            }
            Some(Command::Goodbye(said)) => {
                self.leaving = Some(said);
                Vec::new()
            }
            // The runtime holds a sender, so there is always another command to wait for.
            None => Vec::new(),
        }
    }

    fn note_drained(&mut self) {
        if !self.ledger.is_draining()
            && let Some(drained) = self.drained.take()
        {
            let _ = drained.send(());
        }
    }

    /// Takes the frames of one read.
    async fn take(
        &mut self,
        line: &mut Line,
        frames: &Frames,
        skip: usize,
    ) -> Result<(), UplinkError> {
        let mut changed = Vec::new();
        for frame in frames.iter().skip(skip) {
            let msg = decode_msg(frame.to_bytes())
                .map_err(|error| UplinkError::Malformed(error.to_string()))?;
            if line.v1.is_some() {
                line.hear(msg.body).await?;
            } else if let ControlFlow::Break(gap) = self.heed(line, msg.body, &mut changed)? {
                line.push(Unwatch { service_name: gap.to_string() }.into()).await?;
                line.push(watch(&gap, None)).await?;
            }
        }
        self.runtime.directory.outdated(changed);
        self.catch_up(line).await
    }

    /// Heeds what was said in the place of a nameserver of protocol 1.
    async fn catch_up(&mut self, line: &mut Line) -> Result<(), UplinkError> {
        let mut changed = Vec::new();
        while let Some(body) = line.answers.pop_front() {
            if let ControlFlow::Break(gap) = self.heed(line, Some(body), &mut changed)? {
                line.push(watch(&gap, None)).await?;
            }
        }
        self.runtime.directory.outdated(changed);
        Ok(())
    }

    /// Heeds one message; breaks with a name whose watch has to be asked for anew.
    fn heed(
        &mut self,
        line: &mut Line,
        body: Option<Body>,
        changed: &mut Vec<ServiceName>,
    ) -> Result<ControlFlow<ServiceName>, UplinkError> {
        let outcome = match body {
            Some(Body::RegisterInstanceReply(reply)) => {
                self.ledger.registered(reply, line.registry)
            }
            Some(Body::RequestReply(reply)) => {
                let outcome = self.ledger.replied(reply);
                self.note_drained();
                outcome
            }
            Some(Body::KickOffInstance(kick)) => match Handle::new(kick.handle) {
                Ok(handle) => self.ledger.kicked_off(handle, &kick.reason),
                Err(zero) => return Err(ConvertError::from(zero).into()),
            },
            Some(Body::WatchSnapshot(part)) => {
                if let Some(whole) = line.join(part) {
                    let snapshot = convert::snapshot(&whole)?;
                    return Ok(self.apply(Word::Snapshot(&snapshot), changed));
                }
                Outcome::Nothing
            }
            Some(Body::WatchDelta(delta)) => {
                let delta = convert::delta(&delta)?;
                return Ok(self.apply(Word::Delta(&delta), changed));
            }
            Some(Body::WatchRefused(refused)) => {
                let (name, reason) = (refused.service_name, refused.reason);
                tracing::warn!(%name, %reason, "the nameserver refuses a watch");
                Outcome::Nothing
            }
            Some(Body::Refusal(refusal)) => {
                return Err(UplinkError::Refused { code: 0, reason: refusal.reason });
            }
            Some(Body::KeepAliveReply(_)) => Outcome::Nothing,
            _ => {
                self.runtime.counters.unknown_commands.add(1);
                Outcome::Nothing
            }
        };
        if let Outcome::Left(handle) = outcome {
            self.runtime.directory.remove_local(handle);
        }
        Ok(ControlFlow::Continue(()))
    }

    fn apply(&self, word: Word<'_>, changed: &mut Vec<ServiceName>) -> ControlFlow<ServiceName> {
        let (name, followed) = self.runtime.directory.apply(word, &self.runtime.counters);
        match followed {
            Followed::Yes => {
                changed.push(name);
                ControlFlow::Continue(())
            }
            Followed::Gap => ControlFlow::Break(name),
        }
    }
}

impl Line {
    async fn push(&mut self, body: Body) -> Result<(), UplinkError> {
        match &mut self.v1 {
            None => self.write(body).await,
            Some(v1) => {
                let said = v1.say(body);
                self.pass_on(said).await
            }
        }
    }

    /// Has the interpreter hear what a nameserver of protocol 1 says.
    async fn hear(&mut self, body: Option<Body>) -> Result<(), UplinkError> {
        let said = match (&mut self.v1, body) {
            (Some(v1), Some(body)) => v1.hear(body),
            _ => Said::default(),
        };
        self.pass_on(said).await
    }

    /// What a nameserver of protocol 1 has to hear now and then, silent for `silence` itself.
    async fn beat(&mut self, silence: Duration) -> Result<(), UplinkError> {
        let Some(v1) = &mut self.v1 else { return Ok(()) };
        let mut said = if silence >= V1_PAUSE { v1.all_heard() } else { Said::default() };
        said.out.extend(v1.beat());
        self.pass_on(said).await
    }

    async fn pass_on(&mut self, said: Said) -> Result<(), UplinkError> {
        self.answers.extend(said.back);
        for body in said.out {
            self.write(body).await?;
        }
        Ok(())
    }

    /// Writes something; a nameserver that reads nothing for a whole lease is as good as gone.
    async fn write(&self, body: Body) -> Result<(), UplinkError> {
        let msg = Msg::from(body);
        let pushed = timeout(self.lease, self.outbox.push(|out| encode_msg(&msg, out))).await;
        Ok(pushed.map_err(|_| UplinkError::Silent(self.lease))??)
    }

    /// Joins the parts of a snapshot; `None` until the last one is there.
    fn join(&mut self, part: WatchSnapshot) -> Option<WatchSnapshot> {
        let more = part.more;
        let whole = match self.parts.take() {
            Some(mut whole) if whole.service_name == part.service_name => {
                whole.instances.extend(part.instances);
                whole.revision = part.revision;
                whole
            }
            _ => part,
        };
        if more {
            self.parts = Some(whole);
            return None;
        }
        Some(whole)
    }
}

fn watch(name: &ServiceName, at: Option<(RegistryId, Revision)>) -> Body {
    let (registry, revision) = at.map_or((0, 0), |(id, revision)| (id.get(), revision.0));
    Watch { service_name: name.to_string(), registry, revision }.into()
}
