//! One connection, from accept to close: reads frames, introduces it, hands its messages on and
//! runs its writer. It decides nothing about names.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::{AgentInput, ConnectionId};
use skymesh_proto as proto;
use skymesh_transport::{
    CloseReason, Connection, FrameReader, LineBudget, Outbox, OutboxConfig, ReadError, WriteEnd,
};
use skymesh_types::ServicePattern;
use skymesh_wire::{DecodeError, Frame, decode_msg};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::NameserverHandle;
use crate::admin::{Denied, Desk, Token};
use crate::counters::Counters;
use crate::intake::{Intake, Speaks, read};
use crate::keeper::Event;
use crate::lines::Line;
use crate::render::frame;

/// How long a connection with an oversize frame stays open after the refusal: closing it at once,
/// with bytes unread, would make the system throw the refusal away.
const LINGER: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) counters: Arc<Counters>,
    /// For operators.
    pub(crate) nameserver: NameserverHandle,
    /// What operators must know; without it nobody may operate from outside.
    pub(crate) token: Option<Token>,
    pub(crate) introduce_within: Duration,
    pub(crate) close_within: Duration,
    pub(crate) outbox: OutboxConfig,
    /// Of warnings about connections.
    pub(crate) lines: LineBudget,
}

/// How reading a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the agent closed the connection")]
    Left,
    #[error("introduce the app first (RegisterApp), within {0:?}")]
    NotIntroduced(Duration),
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error(transparent)]
    Broken(#[from] ReadError),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("a listing was asked for and nothing of it read for {0:?}")]
    Unread(Duration),
    /// The keeper closed it, or is gone.
    #[error("the nameserver closed the connection")]
    HungUp,
}

/// Serves one connection until it ends. Cancelling it drops the connection as it is.
pub(crate) async fn serve(entrance: Arc<Entrance>, id: ConnectionId, connection: Connection) {
    let (outbox, writer) = Outbox::new(entrance.outbox.clone());
    let (hang_up, hung_up) = oneshot::channel();
    let mut talk = Talk {
        entrance: &entrance,
        id,
        outbox: &outbox,
        hang_up: Some(hang_up),
        speaks: Speaks::V1,
        registered: false,
        desk: Desk::default(),
    };
    let mut reader = connection.reader;
    let writing = writer.run(connection.write_half, Vec::new());
    tokio::pin!(writing);
    let end = tokio::select! {
        end = talk.listen(&mut reader) => end,
        _ = hung_up => End::HungUp,
        written = &mut writing => return written_off(&entrance, id, &written).await,
    };
    let speaks = talk.speaks;
    let _ = entrance.events.send(Event::Agent(id, AgentInput::Disconnected)).await;
    count(&entrance.counters, &end);
    let refused = !matches!(end, End::Left | End::HungUp);
    // One line at most for each connection, whatever it sends; and not for each of many.
    if refused && entrance.lines.admits() {
        tracing::warn!(peer = %connection.peer, reason = %end, "connection closed");
    } else {
        tracing::debug!(peer = %connection.peer, reason = %end, "connection closed");
    }
    if refused && speaks == Speaks::V2 {
        let refusal = frame(proto::Refusal { reason: end.to_string() });
        let _ = outbox.push_control(|out| out.extend_from_slice(&refusal));
    }
    // What is queued is written, if the peer reads it in time.
    let closing = async { tokio::join!(outbox.close(), &mut writing) };
    let _ = timeout(entrance.close_within, closing).await;
    if matches!(end, End::Broken(ReadError::TooLarge(_))) {
        sleep(LINGER).await;
    }
}

/// The writer ended first: the connection is gone.
async fn written_off(entrance: &Entrance, id: ConnectionId, written: &WriteEnd) {
    match written.reason {
        CloseReason::ControlOverrun => {
            if entrance.lines.admits() {
                tracing::warn!(connection = id.0, "asks and does not read the replies: closed");
            }
            entrance.counters.replies_unread.increment();
        }
        _ => entrance.counters.connections_broken.increment(),
    }
    let _ = entrance.events.send(Event::Agent(id, AgentInput::Disconnected)).await;
}

fn count(counters: &Counters, end: &End) {
    match end {
        End::Left | End::HungUp => {}
        End::NotIntroduced(_) => counters.not_introduced.increment(),
        End::Malformed(_) => counters.malformed_frames.increment(),
        End::Broken(ReadError::TooLarge(_)) => counters.oversize_frames.increment(),
        End::Broken(ReadError::Stalled { .. }) => counters.stalled_frames.increment(),
        End::Broken(_) => counters.connections_broken.increment(),
        End::Denied(_) => counters.admin_denied.increment(),
        End::Unread(_) => counters.replies_unread.increment(),
    }
}

/// The reading side of a connection.
struct Talk<'a> {
    entrance: &'a Entrance,
    id: ConnectionId,
    outbox: &'a Outbox,
    /// Goes to the keeper with the introduction.
    hang_up: Option<oneshot::Sender<Infallible>>,
    speaks: Speaks,
    /// The app was registered: from here on the registry's lease judges silence.
    registered: bool,
    /// For an operator, if it is one.
    desk: Desk,
}

impl Talk<'_> {
    async fn listen(&mut self, reader: &mut FrameReader) -> End {
        match self.try_listen(reader).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_listen(&mut self, reader: &mut FrameReader) -> Result<Infallible, End> {
        let patience = self.entrance.introduce_within;
        let mut deadline = Instant::now() + patience;
        loop {
            let next = if self.registered {
                reader.next().await
            } else {
                let next = timeout_at(deadline, reader.next()).await;
                next.map_err(|_| End::NotIntroduced(patience))?
            };
            for frame in &next?.ok_or(End::Left)? {
                if self.take(reader, frame).await? == Taken::Answered {
                    deadline = Instant::now() + patience;
                }
            }
        }
    }

    async fn take(&mut self, reader: &mut FrameReader, frame: Frame<'_>) -> Result<Taken, End> {
        let said = read(decode_msg(frame.to_bytes())?);
        if let Some(speaks) = introduces(&said) {
            self.introduce(reader, speaks).await?;
        } else if self.hang_up.is_some() {
            return Err(End::NotIntroduced(self.entrance.introduce_within));
        }
        let counters = &self.entrance.counters;
        match said {
            Intake::Input(input) => {
                self.registered |= matches!(input, AgentInput::Hello(_));
                return self.say(input).await;
            }
            Intake::List(pattern) => return self.list(pattern).await,
            Intake::AdminHello(hello) => {
                let challenge = self.desk.greet(self.entrance.token.as_ref(), &hello)?;
                return Ok(self.answer(challenge));
            }
            Intake::AdminRequest(request) => {
                // The connection is not read meanwhile, so it asks for one thing at a time.
                let reply = self.desk.serve(&self.entrance.nameserver, &request).await?;
                self.entrance.counters.admin_requests.increment();
                return Ok(self.answer(reply));
            }
            Intake::Refuse(reply) => {
                counters.malformed_requests.increment();
                self.answer(reply);
            }
            Intake::Introduction(_) => {}
            Intake::Unserved => counters.unserved_cmds.increment(),
            Intake::Unknown => counters.unknown_cmds.increment(),
        }
        // Whatever it was, the agent lives.
        self.say(AgentInput::Heard).await
    }

    /// Tells the keeper of the connection, once; from then on larger frames are allowed.
    async fn introduce(&mut self, reader: &mut FrameReader, speaks: Speaks) -> Result<(), End> {
        self.speaks = speaks;
        let Some(hang_up) = self.hang_up.take() else { return Ok(()) };
        reader.introduced();
        let line = Line::new(self.outbox.clone(), speaks, hang_up);
        self.send(Event::Opened(self.id, line)).await
    }

    fn answer(&self, reply: impl Into<proto::Msg>) -> Taken {
        let reply = frame(reply);
        // An error means that the connection closes: reading it ends as well.
        let _ = self.outbox.push_control(|out| out.extend_from_slice(&reply));
        Taken::Answered
    }

    async fn say(&self, input: AgentInput) -> Result<Taken, End> {
        self.send(Event::Agent(self.id, input)).await.map(|()| Taken::Input)
    }

    /// Answers with a listing. The connection is not read meanwhile, so it has one at a time. Anyone
    /// may ask, and the answer may be large: each part is made when the one before has found room,
    /// and who does not read is cut off.
    async fn list(&self, pattern: Option<ServicePattern>) -> Result<Taken, End> {
        let patience = self.entrance.introduce_within;
        let mut last = None;
        loop {
            let (to, part) = oneshot::channel();
            self.send(Event::List(pattern.clone(), last, to)).await?;
            let part = part.await.map_err(|_| End::HungUp)?;
            let push = self.outbox.push(|out| out.extend_from_slice(&part.frame));
            let pushed = timeout(patience, push).await.map_err(|_| End::Unread(patience))?;
            pushed.map_err(|_| End::HungUp)?;
            last = part.last;
            if last.is_none() {
                return Ok(Taken::Answered);
            }
        }
    }

    async fn send(&self, event: Event) -> Result<(), End> {
        self.entrance.events.send(event).await.map_err(|_| End::HungUp)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Input,
    Answered,
}

/// The protocol of a message that may be the first of a connection.
fn introduces(said: &Intake) -> Option<Speaks> {
    match said {
        Intake::Introduction(speaks) => Some(*speaks),
        Intake::Input(AgentInput::Hello(hello)) => Some(crate::intake::speaks_of(hello)),
        Intake::List(_) | Intake::AdminHello(_) => Some(Speaks::V2),
        _ => None,
    }
}
